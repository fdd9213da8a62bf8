"""Why is the node silent?  One sentence about the state of affairs, written when it changes and now and then again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rclpy.qos import ReliabilityPolicy

from sam2_ros import large_images
from sam2_ros.ros.camera import Camera
from sam2_ros.ros.parameters import NodeSettings, Parameters
from sam2_ros.ros.worker import Worker

#: From this share of lost or repeated images on it is worth a warning, once there were so many images.
LOSS, ENOUGH = 0.2, 10


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the last ``seconds``; counts are of images."""

    topic: str
    publishers: int
    best_effort_publishers: int
    reliable: bool | None  # the subscription; None = there is none
    silence: float  # seconds since the last image
    seconds: float
    received: int
    lost: int
    processed: int
    refused: int
    repeated: int  # with the stamp of the image before
    objects: int
    prompt_topic: str
    other_type: str = ""  # what is published on the topic instead of images


def describe(facts: Facts, settings: NodeSettings) -> tuple[str, bool, str] | None:
    """(state, warns, sentence): a name of the case, whether it is worth a warning, and what to say.

    None when it is too early to say anything.
    """
    deaf = facts.reliable and facts.publishers == facts.best_effort_publishers > 0
    if not facts.publishers and facts.other_type:
        return "no images", True, (
            f"{facts.topic} carries {facts.other_type}: remap 'image' to a topic of sensor_msgs/msg/Image, or to the name "
            "of a compressed one without its /compressed")
    if not facts.publishers and facts.silence > settings.silence_after:
        return "no camera", True, f"nobody publishes {facts.topic}: remap 'image' or start the camera"
    if deaf:
        return "incompatible", True, (
            f"{facts.topic} is published best-effort but subscribed to as reliable, so nothing arrives: "
            "set image_reliability to auto or best_effort")
    sent = facts.lost + facts.received
    if sent >= ENOUGH and facts.lost > LOSS * sent:
        advice = "" if facts.reliable else (
            "large best-effort images are lost between processes; make the camera reliable, give its process "
            f"{large_images.variable()}=.../{large_images.PROFILE}, or use image_transport compressed")
        return "losing", True, (
            f"only {facts.received} of {sent} images of {facts.topic} arrived in "
            f"{facts.seconds:.0f} s: {advice or 'the network or this machine is too slow for them'}")
    if facts.silence > settings.silence_after:
        return "silent", True, (
            f"no image on {facts.topic} for {facts.silence:.0f} s, though {facts.publishers} publish it")
    if not facts.received:
        return None
    if not facts.processed and facts.refused:
        return "unreadable", True, f"none of the last {facts.refused} images of {facts.topic} could be read"
    if facts.processed >= ENOUGH and facts.repeated > LOSS * facts.processed:
        return "repeating", True, (
            f"{facts.repeated} of {facts.processed} images of {facts.topic} carry the stamp of the image before and are taken "
            "for it, so their masks are those of before: the camera must stamp every image by itself")
    if not facts.objects:
        return "idle", False, f"images arrive, nothing is tracked yet: send a prompt to {facts.prompt_topic}"
    rate = facts.processed / facts.seconds if facts.seconds else 0.0
    return "tracking", False, (f"tracking {facts.objects} object{'s' * (facts.objects > 1)} at {rate:.1f} images/s "
                                f"of {facts.received / max(facts.seconds, 1e-9):.1f} that arrive")


class Status:
    """Looks at the camera and the worker once in a while and logs what ``describe`` says."""

    def __init__(self, camera: Camera, worker: Worker, parameters: Parameters, logger: Any, prompt_topic: str) -> None:
        self._camera, self._worker, self._parameters = camera, worker, parameters
        self._logger, self._prompt_topic = logger, prompt_topic
        self._state = ""
        self._counted = self._now()

    def look(self) -> None:
        """Log the state when it is a new one, and again after the parameter report_period."""
        facts, settings = self._facts(), self._parameters.node
        described = describe(facts, settings)
        if described is None:
            return
        state, warns, sentence = described
        periodic = facts.seconds >= settings.report_period
        if state != self._state or periodic:
            if warns:
                self._logger.warning(sentence)
            else:  # a call site of a ROS logger keeps one severity
                self._logger.info(sentence)
            self._state = state
        if periodic:
            self._counted = self._now()

    def _now(self) -> tuple[float, int, int, int, int, int]:
        counts = self._worker.counts
        return (time.monotonic(), self._camera.received, self._camera.lost, counts.processed, counts.refused,
                self._worker.session.repeated)

    def _facts(self) -> Facts:
        seconds, received, lost, processed, refused, repeated = (
            now - before for now, before in zip(self._now(), self._counted))
        publishers = self._camera.publishers()
        best_effort = sum(info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for info in publishers)
        return Facts(
            topic=self._camera.topic, publishers=len(publishers), best_effort_publishers=best_effort,
            reliable=self._camera.reliable, silence=time.monotonic() - self._camera.last_time, seconds=seconds,
            received=received, lost=lost, processed=processed, refused=refused, repeated=repeated,
            objects=len(self._worker.session.view.tracks), prompt_topic=self._prompt_topic,
            other_type=self._camera.other_type())
