"""The health of the node for a supervisor: /diagnostics once a second, and a trace file if one is set.

The sentence is that of the log (``Status``), the times are those of ``sam2_ros.stages``.  Without diagnostic_msgs there
is no topic; everything else works.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile

from sam2_ros.model.device_memory import gpu_memory
from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.depth import Depth
from sam2_ros.ros.diagnosis import Diagnosis, Facts
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.status import Status
from sam2_ros.ros.topics import message_class
from sam2_ros.ros.trace import Trace
from sam2_ros.stages import PERCENTILES, STAGES, StageTimes
from sam2_ros.stream.counts import Counts
from sam2_ros.stream.worker import Measured, Result
from sam2_ros.types import State

TOPIC = "/diagnostics"
#: Seconds between two messages, as in REP 107.
PERIOD = 1.0
#: Images over which the offset between the clocks is taken.
OFFSETS = 100
#: States of ``diagnosis`` in which there are no masks; the other warnings are less than an error.
WITHOUT_MASKS = frozenset({"no camera", "no images", "incompatible", "silent", "unreadable", "stuck"})
OK, WARN, ERROR = 0, 1, 2
#: Megabytes are reported.
_MEGA = 1e6


@dataclass(frozen=True, slots=True)
class Entry:
    """One status of a DiagnosticArray; task: what its name ends with, level: OK, WARN or ERROR."""

    task: str
    level: int
    message: str
    values: Mapping[str, object] = field(default_factory=dict)


class Diagnostics:
    """Gathers what is measured, and publishes it.

    ``arrived`` is called where images arrive, ``published`` and ``measured`` on the worker's thread.
    """

    def __init__(self, node: RosNode, parameters: Parameters) -> None:
        #: What happens where there is no state yet.
        self.doing = Entry("tracking", OK, "starting")
        self.model = ""  # in a few words; empty while none is loaded
        self.engine = ""  # what computes it, in which arithmetic
        self._node, self._parameters = node, parameters
        self._name = node.get_fully_qualified_name().lstrip("/")
        self._stages = StageTimes()
        self._objects: Counter[str] = Counter()
        self._offsets: deque[int] = deque(maxlen=OFFSETS)  # node's clock minus stamp, nanoseconds
        self._trace: Trace | None = None
        self._watched: tuple[Status, CameraSubscriber, Depth, Counts] | None = None
        self._status: Any = message_class("diagnostic_msgs/msg/DiagnosticStatus")
        self._array: Any = message_class("diagnostic_msgs/msg/DiagnosticArray")
        self._value: Any = message_class("diagnostic_msgs/msg/KeyValue")
        if self._array is None:
            node.get_logger().info("diagnostic_msgs is not installed: nothing is published on /diagnostics")
            return
        self._publisher = node.create_publisher(self._array, TOPIC, QoSProfile(depth=10))
        group = MutuallyExclusiveCallbackGroup()  # its own: other callbacks may take long
        node.create_timer(PERIOD, self.publish, group, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def unwatch(self) -> None:
        """Report only ``doing`` from now on."""
        self._watched = None
        self._objects = Counter()

    def watch(self, status: Status, camera: CameraSubscriber, depth: Depth, counts: Counts) -> None:
        """Report what these know from now on."""
        self._watched = status, camera, depth, counts

    def trace(self, path: str, about: Mapping[str, Any]) -> None:
        """Write a trace into ``path``; about: for its first line.  Raises InvalidInput."""
        self._trace = Trace(path, about, self._node.get_logger().warning)

    def close(self) -> None:
        """End the trace."""
        if self._trace is not None:
            self._trace.close()
        self._trace = None

    def arrived(self, stamp: int) -> None:
        """An image of a stamp in nanoseconds has come, 0 = it has none."""
        if stamp:
            self._offsets.append(self._node.get_clock().now().nanoseconds - stamp)

    def published(self, result: Result) -> None:
        """Masks were published."""
        self._objects = Counter(track.state.name.lower() for track in result.view.tracks)

    def measured(self, measured: Measured) -> None:
        """An image has gone through all stages."""
        self._stages.add(measured.stages)
        if self._trace is None or measured.view.frame is None:
            return
        rounded = {name: round(seconds, 6) for name, seconds in measured.stages.items()}
        self._trace.write(
            {
                "stamp": measured.view.frame.stamp,
                "time": round(time.time(), 6),
                "age": round(measured.age, 6),
                "dropped": measured.dropped,
                "objects": dict(self._objects),
                "stages": rounded,
            }
        )

    def publish(self) -> None:
        """Publish all entries."""
        array = self._array(status=[self._message(entry) for entry in self.entries()])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def entries(self) -> list[Entry]:
        """The current entries."""
        weights = self._parameters.node.model
        found = [self.doing, resources(self.model, weights, process_memory(), gpu_memory(), self.engine)]
        watched = self._watched
        if watched is not None:
            status, camera, depth, counts = watched
            if status.facts is not None:
                found[0] = tracking(status.diagnosis, status.facts, counts, self._objects)
            found += [of_camera(camera, status.facts, self._offset()), of_depth(depth)]
        return [*found, stage_times(self._stages)]

    def _offset(self) -> float | None:
        """Seconds by which the clock of the node is ahead of the camera's; the time of the transport is in it."""
        offsets = list(self._offsets)
        return min(offsets) / 1e9 if offsets else None

    def _message(self, entry: Entry) -> Any:
        values = [self._value(key=key, value=text_of(value)) for key, value in entry.values.items()]
        return self._status(
            level=bytes([entry.level]),
            name=f"{self._name}: {entry.task}",
            message=entry.message,
            hardware_id=self._name,
            values=values,
        )


def tracking(diagnosis: Diagnosis | None, facts: Facts, counts: Counts, objects: Mapping[str, int]) -> Entry:
    """What the node does, as in its log; rates are of the last seconds, counts since the start."""
    level = OK
    if diagnosis is not None and diagnosis.warns:
        level = ERROR if diagnosis.state in WITHOUT_MASKS else WARN
    seconds = max(facts.seconds, 1e-9)
    values = {
        "state": diagnosis.state if diagnosis else "",
        "images arriving [1/s]": facts.received / seconds,
        "images answered [1/s]": facts.processed / seconds,
        "age of masks, 95 % [s]": counts.age,
        **{f"objects {state.name.lower()}": objects.get(state.name.lower(), 0) for state in State},
        "images answered": counts.processed,
        "images dropped": counts.dropped,
        "images too late": counts.late,
        "images refused": counts.refused,
        "images repeated": counts.repeated,
        "restarts of time": counts.restarts,
        "prompts refused [last seconds]": facts.refused_prompts,
        "detections left out": sum(counts.left_out.values()),
        "requests waiting": counts.waiting,
        "requests merged": counts.merged,
        "requests turned away": counts.turned_away,
    }
    return Entry("tracking", level, diagnosis.sentence if diagnosis else "images are waited for", values)


def of_camera(camera: CameraSubscriber, facts: Facts | None, offset: float | None) -> Entry:
    """The source of the images; offset: of the clocks, see ``Diagnostics._offset``."""
    values: dict[str, object] = {
        "topic": camera.topic,
        "frame": camera.frame_id,
        "publishers": facts.publishers if facts else 0,
        "reliable": camera.reliable,
        "images received": camera.received,
        "images lost": camera.lost,
        "seconds without an image": camera.silence,
        "clock of the node minus stamp [s]": offset,
    }
    return Entry("camera", OK, camera.topic, values)


def of_depth(depth: Depth) -> Entry:
    """The source of the depth."""
    values: dict[str, object] = {
        "topic": depth.topic,
        "images received": depth.received,
        "images too late": depth.late,
        "seconds without an image": depth.silence if depth.received else None,
    }
    if depth.fault:
        return Entry("depth", WARN, f"no positions in 3-D: {depth.fault}", values)
    return Entry("depth", OK, depth.topic or "nobody publishes depth: there are no positions in 3-D", values)


def resources(
    model: str, weights: str, process: int | None, gpus: Mapping[str, tuple[int, int]], engine: str = ""
) -> Entry:
    """The model, what computes it, and the memory; process: bytes, None = not known."""
    values: dict[str, object] = {"model": model, "parameter model": weights, "engine": engine}
    if process is not None:
        values["memory of the process [MB]"] = process / _MEGA
    for name, (used, reserved) in gpus.items():
        values[f"memory of tensors on {name} [MB]"] = used / _MEGA
        values[f"memory reserved on {name} [MB]"] = reserved / _MEGA
    return Entry("model", OK, model or "no model is loaded", values)


def stage_times(window: StageTimes) -> Entry:
    """Milliseconds of each stage; on a GPU a stage counts until its work is handed over, and ``remember`` waits."""
    found = window.percentiles()
    values: dict[str, object] = {
        f"{name} {percent} % [ms]": 1e3 * seconds
        for name in (*STAGES, "total")
        for percent, seconds in zip(PERCENTILES, found.get(name, ()))
    }
    return Entry("stages", OK, f"of the last {len(window)} images", values)


def process_memory() -> int | None:
    """Bytes of memory that this process has; None where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def text_of(value: object) -> str:
    """A value for people: few digits, and nothing for what is not known."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
