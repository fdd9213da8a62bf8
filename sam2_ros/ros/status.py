"""Logs the state of the node in one sentence: when it changes, and repeated at intervals."""

from __future__ import annotations

import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import ReliabilityPolicy

from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.detections import Tally
from sam2_ros.ros.diagnosis import Diagnosis, Facts, after_pause, diagnose
from sam2_ros.ros.image_topics import ImageTopic, ImageTopicSearch
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.prompts import Prompts
from sam2_ros.stream.worker import Worker

#: Files that Docker and Podman put into their containers.
_CONTAINER = ("/.dockerenv", "/run/.containerenv")
#: Counts of the worker that decide about the state.
_COUNTED = ("processed", "refused", "late", "repeated", "restarts", "merged", "turned_away")
#: Seconds between checks of the names of all nodes.
NAMES = 1.0
#: The state is that of the last seconds: as many as report_period says, but at most these.
LONGEST = 60.0
#: When the state was not updated for this many seconds, the process of this node did not run.
PAUSE = 2.0
#: Seconds after such a pause in which the middleware still reports what was lost meanwhile.
SETTLING = 2.0


class Status:
    """Checks the camera and the worker regularly, and logs the sentence of ``diagnose``."""

    def __init__(
        self,
        node: RosNode,
        camera: CameraSubscriber,
        worker: Worker,
        parameters: Parameters,
        tally: Tally,
        prompts: Prompts,
    ) -> None:
        self._node, self._camera, self._worker, self._parameters = node, camera, worker, parameters
        self._tally, self._prompts = tally, prompts
        self._logger = node.get_logger()
        self._name = node.get_fully_qualified_name()
        self._others = ImageTopicSearch(node)
        self._container = any(Path(path).exists() for path in _CONTAINER)
        #: What was known at the last update, and what followed from it; None before that.
        self.facts: Facts | None = None
        self.diagnosis: Diagnosis | None = None
        self._state = ""
        self._namesakes, self._names_at = 0, 0.0
        self._answered, self._answered_at = 0, time.monotonic()  # images, and when that number last grew
        self._unread = Unread()
        self._period_at = self._updated_at = time.monotonic()
        self._settles_until = 0.0
        self._samples = deque([(self._period_at, *self._counts())])  # times and counts, the oldest first

    def update(self) -> None:
        """Log the state when it has changed, and again after the parameter report_period."""
        now, settings = time.monotonic(), self._parameters.node
        self._notice_pause(now)
        self._forget_samples(now, min(settings.report_period, LONGEST))
        self.facts = self._facts(now)
        self.diagnosis = diagnosis = diagnose(self.facts, settings)
        if diagnosis is None:
            return
        periodic = now - self._period_at >= settings.report_period
        if diagnosis.state != self._state or periodic:
            if diagnosis.warns:
                self._logger.warning(diagnosis.sentence)
            else:  # a ROS logger allows one severity for each line of code
                self._logger.info(diagnosis.sentence)
            self._state = diagnosis.state
        if periodic:
            self._period_at = now

    def _notice_pause(self, now: float) -> None:
        """Begin again after a pause of this process: neither was the camera silent nor the tracker stuck."""
        paused, self._updated_at = now - self._updated_at, now
        if paused >= PAUSE:
            self._logger.warning(after_pause(paused))
            self._camera.begin_again()
            self._settles_until = now + SETTLING
        if now < self._settles_until:
            self._answered_at = now
            self._samples = deque([(now, *self._counts())])

    def _forget_samples(self, now: float, window: float) -> None:
        """Keep one sample that is ``window`` seconds old: the state follows from the counts since then.

        If each report started again from zero, every camera would look good for a while after it.
        """
        while len(self._samples) > 1 and now - self._samples[1][0] >= window:
            self._samples.popleft()

    def _counts(self) -> tuple[Counter[str], Counter[str]]:
        """Counts since the start, and those of detections that were left out, by reason."""
        counts, tally = self._worker.counts, self._tally
        counted = Counter(
            received=self._camera.received,
            lost=self._camera.lost,
            boxes=tally.boxes,
            refused_prompts=self._prompts.refused,
            **{name: getattr(counts, name) for name in _COUNTED},
        )
        return counted, Counter(tally.left_out) + Counter(counts.left_out)  # copies: other threads go on counting

    def _facts(self, now: float) -> Facts:
        began, counts_before, left_out_before = self._samples[0]
        counts, left_out = self._counts()
        self._samples.append((now, counts, left_out))
        since = counts - counts_before
        publishers = self._camera.publishers()
        best_effort = sum(info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for info in publishers)
        return Facts(
            topic=self._camera.topic,
            publishers=len(publishers),
            best_effort_publishers=best_effort,
            reliable=self._camera.reliable,
            silence=self._camera.silence,
            seconds=now - began,
            received=since["received"],
            lost=since["lost"],
            processed=since["processed"],
            refused=since["refused"],
            repeated=since["repeated"],
            restarts=since["restarts"],
            late=since["late"],
            merged=since["merged"],
            turned_away=since["turned_away"],
            boxes=since["boxes"],
            refused_prompts=since["refused_prompts"],
            objects=len(self._worker.view.tracks),
            unread=self._unread.since(counts),
            prompt_topic=self._prompts.topic,
            reason=self._prompts.reason,
            other_type=self._camera.other_type(),
            unwanted="" if publishers else self._camera.unwanted(),
            others=self._other_images(bool(publishers)),
            arrived=self._camera.arrived,
            container=self._container,
            names=tuple(sorted(map(_full_name, publishers))),
            node=self._name,
            namesakes=self._count_namesakes(now),
            waiting=self._worker.counts.waiting,
            age=self._worker.counts.age,
            unanswered=self._unanswered(now),
            left_out=left_out - left_out_before,
        )

    def _other_images(self, published: bool) -> tuple[ImageTopic, ...] | None:
        """Searched for only while the camera's topic has no publisher."""
        if published:
            self._others.stop()
            return ()
        return self._others.update()

    def _unanswered(self, now: float) -> float:
        """Seconds in which images have come and none was answered or refused."""
        counts = self._worker.counts
        answered = counts.processed + counts.refused + counts.late
        if answered != self._answered or self._camera.silence >= now - self._answered_at:
            self._answered, self._answered_at = answered, now
        return now - self._answered_at

    def _count_namesakes(self, now: float) -> int:
        """The number of other nodes with this name, counted once in ``NAMES`` seconds."""
        if now - self._names_at >= NAMES:
            found = self._node.get_node_names_and_namespaces()
            same = sum(f"{space.rstrip('/')}/{name}" == self._name for name, space in found)
            self._names_at, self._namesakes = now, max(same - 1, 0)
        return self._namesakes


class Unread:
    """Counts refused images since the last image that could be read."""

    def __init__(self) -> None:
        self._processed = self._refused = 0

    def since(self, counts: Counter[str]) -> int:
        if counts["processed"] != self._processed:
            self._processed, self._refused = counts["processed"], counts["refused"]
        return counts["refused"] - self._refused


def _full_name(info: Any) -> str:
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"
