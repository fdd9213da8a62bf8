"""tf2 that reads /tf only when a click needs it.

A robot publishes hundreds of transforms a second, and an operator clicks only sometimes.  So the messages
wait in the middleware as bytes.  For a click they are read from the newest one backwards, until the
transform at its stamp is known.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.time import Time

from sam2_ros.errors import InvalidPrompt
from sam2_ros.messages import nanoseconds
from sam2_ros.ros.pacing import OnDemand
from sam2_ros.stamps import JUMP

try:
    import tf2_ros
except ImportError:  # there is no wheel of it
    tf2_ros = None

#: How many of the newest messages of a topic are kept: some seconds of a fast topic.
KEPT = 1000
#: After a failed lookup the same two frames are not looked up again for this many seconds.
PATIENCE = 0.5
#: The meaning of tf2's exceptions.
REASONS = {
    "LookupException": "no transform names one of them",
    "ConnectivityException": "no chain of transforms connects them",
    "ExtrapolationException": "their transforms are too far apart in time",
    "InvalidArgumentException": "a name or a rotation is not valid",
}


def installed() -> bool:
    """Whether tf2_ros can be imported."""
    return tf2_ros is not None


class Transforms:
    """The transforms of a robot; only where tf2_ros is installed."""

    def __init__(self, node: RosNode) -> None:
        self._feed = _Feed(tf2_ros.Buffer())  # a buffer with a node would offer tf2_frames in the node's namespace
        self._topics = _Topics(node)
        # The listener knows topics, types and callbacks; this class decides when messages are read.
        self._listener = tf2_ros.TransformListener(self._feed, self._topics)
        self._refused: dict[tuple[str, str], float] = {}  # time of the last failed lookup

    def between(self, target: str, source: str, stamp: Any) -> Any:
        """The geometry_msgs/Transform from frame ``source`` to ``target`` at ``stamp``, or the newest one.

        Raises InvalidPrompt when there is no transform.
        """
        if time.monotonic() - self._refused.get((target, source), -PATIENCE) < PATIENCE:
            raise InvalidPrompt(f"there was no transform from frame {source!r} to {target!r} a moment ago")
        when, buffer = Time.from_msg(stamp), self._feed.buffer
        self._read(lambda: _suffices(buffer, target, source, when))
        if not buffer.can_transform(target, source, when):
            when = Time()  # the newest
        try:
            return buffer.lookup_transform(target, source, when).transform
        except tf2_ros.TransformException as error:
            self._refused = {(target, source): time.monotonic()}
            raise InvalidPrompt(
                f"there is no transform from frame {source!r} to {target!r}: {self._reason(error)}"
            ) from error

    def _read(self, enough: Callable[[], bool]) -> None:
        """Read latched messages, then the others from the newest one back, until ``enough`` returns true."""
        self._feed.start()
        for topic in self._topics.latched():
            for message in topic.messages():
                topic.callback(message)
        for topic in self._topics.passing():
            for message in topic.messages(newest_first=True):
                if enough() or self._feed.went_back:
                    break
                topic.callback(message)

    def _reason(self, error: Exception) -> str:
        if not self._topics.arrived():
            return "nothing has arrived on /tf and /tf_static"
        return REASONS.get(type(error).__name__, str(error))


def _suffices(buffer: Any, target: str, source: str, when: Time) -> bool:
    """Whether older messages cannot bring a better transform."""
    if not buffer.can_transform(target, source, Time()):
        return False
    newest = nanoseconds(buffer.lookup_transform(target, source, Time()).header.stamp)
    return newest <= when.nanoseconds or when.nanoseconds == 0 or buffer.can_transform(target, source, when)


class _Feed:
    """The buffer of a TransformListener; it ignores transforms from before the clock went back."""

    def __init__(self, buffer: Any) -> None:
        self.buffer = buffer
        self.went_back = False
        self._earliest: dict[str, int] = {}  # stamp of the transform that was read last, by child frame

    def start(self) -> None:
        """Forget every transform that is not latched."""
        self.buffer.clear()
        self.went_back = False
        self._earliest.clear()

    def set_transform(self, transform: Any, authority: str) -> None:
        child, stamp = transform.child_frame_id, nanoseconds(transform.header.stamp)
        # A transform that is much newer than a later message is from before the clock went back.
        self.went_back |= stamp > self._earliest.get(child, stamp) + JUMP
        if not self.went_back:
            self._earliest[child] = stamp
            self.buffer.set_transform(transform, authority)

    def set_transform_static(self, transform: Any, authority: str) -> None:
        self.buffer.set_transform_static(transform, authority)


class _Topic:
    """One topic of the listener: its newest messages as bytes."""

    def __init__(self, node: RosNode, kind: type, name: str, callback: Callable[[Any], None], qos: QoSProfile) -> None:
        self.callback = callback
        self.latched = qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
        more = QoSProfile(depth=KEPT, reliability=qos.reliability, durability=qos.durability)
        self._source = OnDemand(node, kind, name, more, raw=True)
        self._kind = kind
        self._kept: deque[bytes] = deque(maxlen=KEPT)

    @property
    def subscription(self) -> Any:
        """The subscription of rclpy."""
        return self._source.subscription

    def arrived(self) -> bool:
        """Whether any message had arrived when messages were last read."""
        return bool(self._kept)

    def messages(self, newest_first: bool = False) -> Iterator[Any]:
        """The kept messages, the oldest first by default; each is deserialised only when the caller gets to it."""
        self._kept.extend(self._source.take())
        for part in tuple(reversed(self._kept) if newest_first else self._kept):
            yield deserialize_message(part, self._kind)


class _Topics:
    """The node of a TransformListener."""

    def __init__(self, node: RosNode) -> None:
        self._node = node
        self._topics: list[_Topic] = []

    def create_subscription(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos_profile: QoSProfile | int, **options: Any
    ) -> _Topic:
        """A topic that only this module reads; options are ignored, because the executor never serves it."""
        qos = QoSProfile(depth=qos_profile) if isinstance(qos_profile, int) else qos_profile
        self._topics.append(_Topic(self._node, kind, topic, callback, qos))
        return self._topics[-1]

    def destroy_subscription(self, topic: _Topic) -> bool:
        """Called by the listener when it is deleted."""
        return self._node.destroy_subscription(topic.subscription)

    def latched(self) -> list[_Topic]:
        return [topic for topic in self._topics if topic.latched]

    def passing(self) -> list[_Topic]:
        return [topic for topic in self._topics if not topic.latched]

    def arrived(self) -> bool:
        return any(topic.arrived() for topic in self._topics)
