"""Finds the image topics that other nodes publish, with their types and rates, when the camera is silent.

Runs only while nobody publishes the image topic.  Each topic is subscribed to once, for ``WINDOW``
seconds, and only a few at a time, so the work is bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node as RosNode
from sensor_msgs.msg import CompressedImage, Image

from sam2_ros.ros.topics import all_reliable, quality, subscribe

_TYPES = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
#: Seconds for which the messages of a topic are counted.
WINDOW = 1.5
#: Topics that are counted at the same time, and topics in total.
AT_ONCE, IN_ALL = 4, 12


@dataclass(frozen=True, slots=True)
class ImageTopic:
    """A published topic of images; rate: messages per second while they were counted, None = unknown."""

    topic: str
    type: str
    rate: float | None

    def __str__(self) -> str:
        rate = "" if self.rate is None else f", {self.rate:.0f}/s"
        return f"{self.topic} ({self.type.rpartition('/')[2]}{rate})"


class _Count:
    """The messages of one topic, as bytes that nobody reads."""

    def __init__(self, node: RosNode, topic: str, kind: str, group: ReentrantCallbackGroup, now: float) -> None:
        self.started, self.kind = now, kind
        self._times: list[float] = []
        # Best-effort may lose large images, but lost ones are counted.
        qos = quality(5, all_reliable(node.get_publishers_info_by_topic(topic)))
        self.subscription = subscribe(
            node, _TYPES[kind], topic, lambda _: self._add(1), qos, on_lost=self._add, raw=True, callback_group=group
        )

    def _add(self, count: int) -> None:
        self._times += [time.monotonic()] * count

    def rate(self, now: float) -> float:
        times = list(self._times)
        if len(times) > 1:
            return (len(times) - 1) / max(times[-1] - times[0], 1e-3)
        return len(times) / max(now - self.started, 1e-3)


class ImageTopicSearch:
    """Looks for image topics that other nodes publish."""

    def __init__(self, node: RosNode, clock: Callable[[], float] = time.monotonic) -> None:
        self._node, self._clock = node, clock
        self._group = ReentrantCallbackGroup()
        self._found: dict[str, ImageTopic] = {}
        self._counting: dict[str, _Count] = {}

    def update(self) -> tuple[ImageTopic, ...] | None:
        """The topics that are published now; None while some are being counted.  Called regularly."""
        topics = self._published()
        now = self._clock()
        for topic in [topic for topic, count in self._counting.items() if now - count.started >= WINDOW]:
            count = self._counting.pop(topic)
            self._node.destroy_subscription(count.subscription)
            self._found[topic] = ImageTopic(topic, count.kind, count.rate(now))
        for topic, kind in topics.items():
            if self._node.resolve_topic_name(topic) != topic:  # remapped, like /image itself: it cannot be counted
                self._found[topic] = ImageTopic(topic, kind, None)
            elif topic not in self._found and topic not in self._counting and len(self._counting) < AT_ONCE:
                self._counting[topic] = _Count(self._node, topic, kind, self._group, now)
        if self._counting:
            return None
        return tuple(self._found[topic] for topic in topics)

    def stop(self) -> None:
        """Stop counting, and forget what was found."""
        for count in self._counting.values():
            self._node.destroy_subscription(count.subscription)
        self._counting.clear()
        self._found.clear()

    def _published(self) -> dict[str, str]:
        """Types by topic of what other nodes publish, cameras before depth images."""
        own = self._node.get_fully_qualified_name() + "/"
        kinds = {
            topic: next((kind for kind in types if kind in _TYPES), "")
            for topic, types in self._node.get_topic_names_and_types()
            if not topic.startswith(own)
        }
        topics = [topic for topic, kind in kinds.items() if kind and self._node.count_publishers(topic)]
        topics.sort(key=lambda topic: ("depth" in topic.lower(), topic))
        return {topic: kinds[topic] for topic in topics[:IN_ALL]}
