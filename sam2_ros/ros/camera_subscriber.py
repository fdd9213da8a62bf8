"""The image subscription: raw or compressed, as reliable as the camera offers.

With ``auto`` it subscribes when a camera publishes, with the QoS that the camera offers, and
subscribes again when another camera takes over.  A reliable subscription gets nothing from a
best-effort camera, and a best-effort one loses large images, so neither is a good default.
If every publisher keeps its last image for later subscribers (transient local), the subscription asks for that image.

Images wait in the middleware until the tracker asks for the newest (``pulled.Pulled``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rclpy.node import Node as RosNode
from rclpy.qos import QoSPolicyKind, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.pulled import Pulled
from sam2_ros.ros.topics import all_latched, all_reliable

#: Images that wait; only the newest is needed.
DEPTH = 10
_COMPRESSED = "/compressed"
_TYPES = {"raw": ("sensor_msgs/msg/Image", Image), "compressed": ("sensor_msgs/msg/CompressedImage", CompressedImage)}


class _Choice(NamedTuple):
    """A subscription: topic and QoS; latched: it asks for the last image from before it."""

    transport: str
    topic: str
    reliable: bool
    latched: bool


class CameraSubscriber:
    """Subscribes to the images of one camera and counts them."""

    def __init__(self, node: RosNode, parameters: Parameters, on_image: Callable[[Any, float], None]) -> None:
        """on_image: gets each message, and when it came in seconds of ``time.monotonic``, on the thread of ``pull``."""
        self._node = node
        self._settings = parameters.node
        self._on_image = on_image
        named = node.resolve_topic_name("image")
        base = named.removesuffix(_COMPRESSED) or named
        #: Topic by transport; remapping ``image`` moves both, and may name either.
        self.topics = {"raw": base, "compressed": node.resolve_topic_name(base + _COMPRESSED)}
        #: Transports and topics that may carry the images, the preferred first; a compressed topic may have any name.
        self._sources = [("raw", base), ("compressed", self.topics["compressed"]), ("compressed", base)]
        if named != base:
            self._sources.insert(0, self._sources.pop(1))
        self.frame_id = ""
        self.received = 0
        self.lost = 0  # messages that the middleware reports as lost
        self._last_time = time.monotonic()  # of the last image, of the start, or of the last pause of this process
        self._published_since: float | None = None  # None without a publisher
        self._before = 0  # images that had come before that
        self._chosen: _Choice | None = None
        self._hesitated = False
        self._pulled = Pulled(node, "an image", DEPTH, self._receive)
        self.update()

    @property
    def topic(self) -> str:
        """The topic that is subscribed to, or the preferred one."""
        return self._source[1]

    @property
    def silence(self) -> float:
        """Seconds since the last image, or since there is a publisher."""
        return time.monotonic() - max(self._last_time, self._published_since or 0.0)

    @property
    def arrived(self) -> bool:
        """Whether an image has come from the present publishers."""
        return self.received > self._before

    @property
    def reliable(self) -> bool | None:
        """Quality of service in use; None before a subscription."""
        if (subscription := self._pulled.subscription) is None:
            return None
        return bool(subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE)

    def publishers(self) -> list[Any]:
        """The publishers of images on ``topic``, each with its ``qos_profile``."""
        return self._publishers_of(self._source)

    def other_type(self) -> str:
        """A type that is published on ``topic`` and cannot be read as images; empty without one."""
        types = {info.topic_type for info in self._node.get_publishers_info_by_topic(self.topic)}
        readable = {_TYPES[transport][0] for transport, topic in self._allowed() if topic == self.topic}
        return min(types - readable, default="")

    def unwanted(self) -> str:
        """Topic and type of this camera's images that image_transport excludes; empty without any."""
        for source in self._sources:
            if source not in self._allowed() and self._publishers_of(source):
                transport, topic = source
                return f"{topic} ({_TYPES[transport][1].__name__})"
        return ""

    def begin_again(self) -> None:
        """Count the silence from now on."""
        self._last_time = time.monotonic()

    def pull(self) -> None:
        """Hand over the images that have come since the last call; any thread may call it."""
        self._pulled.pull()

    def listen(self, tell: Callable[[], object]) -> float:
        """Call ``tell``, once, when an image waits for ``pull``; seconds after which to pull and listen again.

        They are infinite, unless the camera is too fast to be told of each image: then ``tell`` is not called.
        """
        return self._pulled.listen(tell)

    def update(self) -> None:
        """Subscribe to what is published, or subscribe again when that has changed; called regularly."""
        wanted = self._wanted()
        if wanted is not None and wanted != self._chosen:
            self._chosen = wanted
            self._subscribe(wanted)
        if not self.publishers():
            self._published_since = None
        elif self._published_since is None:
            self._published_since, self._before = time.monotonic(), self.received
        self._pulled.serve()  # a tracker that is always busy does not listen

    @property
    def _source(self) -> tuple[str, str]:
        """Transport and topic that are subscribed to, or the preferred ones."""
        return self._chosen[:2] if self._chosen else self._allowed()[0]

    def _allowed(self) -> list[tuple[str, str]]:
        return [source for source in self._sources if self._settings.image_transport in ("auto", source[0])]

    def _publishers_of(self, source: tuple[str, str]) -> list[Any]:
        transport, topic = source
        kind = _TYPES[transport][0]
        return [info for info in self._node.get_publishers_info_by_topic(topic) if info.topic_type == kind]

    def _wanted(self) -> _Choice | None:
        """What fits the publishers that there are now; None = no change."""
        wish, reliability = self._settings.image_transport, self._settings.image_reliability
        publishers = {source: self._publishers_of(source) for source in self._allowed()}
        source = max(publishers, key=lambda one: (bool(publishers[one]), one == self._source))
        if not publishers[source] and "auto" in (wish, reliability):
            return None
        if source[0] == "compressed" and wish == "auto" and not (self._chosen or self._hesitated):
            self._hesitated = True  # the raw topic of the same camera may be discovered a moment later
            return None
        latched = self._latched(publishers[source])
        if reliability != "auto":
            return _Choice(*source, reliability == "reliable", latched)
        return _Choice(*source, all_reliable(publishers[source]), latched)

    def _latched(self, publishers: list[Any]) -> bool:
        """Whether to ask for earlier images, too."""
        if not publishers:
            return self._chosen is not None and self._chosen.latched
        return all_latched(publishers)

    def _subscribe(self, choice: _Choice) -> None:
        # qos_overrides of a topic are declared once, with the first default, which must not
        # override a later choice of reliability.
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        name = f"qos_overrides.{choice.topic}.subscription.reliability"
        if not self._node.has_parameter(name):
            kinds.append(QoSPolicyKind.RELIABILITY)
        self._pulled.subscribe(
            _TYPES[choice.transport][1],
            choice.topic,
            reliable=choice.reliable,
            latched=choice.latched,
            on_lost=self._count_lost,
            qos_overriding_options=QoSOverridingOptions(kinds),
        )

    def _receive(self, message: Any, came: float) -> None:
        self.received += 1
        self._last_time = max(self._last_time, came)
        self.frame_id = message.header.frame_id
        self._on_image(message, came)

    def _count_lost(self, count: int) -> None:
        self.lost += count
