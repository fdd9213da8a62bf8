"""The image subscription: raw or compressed, as reliable as the camera offers.

With ``auto`` it subscribes once a camera is there to be asked, and again when the camera turns
out to be another one.  A reliable subscription gets nothing from a best-effort camera, and a
best-effort one loses large images, so neither is a good guess.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node as RosNode
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage, Image

from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.topics import subscribe

#: The callback only hands images on; a short queue spans the moments when it is not scheduled.
DEPTH = 5
_TYPES = {"raw": ("sensor_msgs/msg/Image", Image), "compressed": ("sensor_msgs/msg/CompressedImage", CompressedImage)}
IMAGE_TYPES = tuple(kind for _, kind in _TYPES.values())


class Camera:
    """Subscribes to the images of one camera and counts them."""

    def __init__(self, node: RosNode, parameters: Parameters, on_image: Callable[[Any], None]) -> None:
        self._node = node
        self._settings = parameters.node
        self._on_image = on_image
        base = node.resolve_topic_name("image")
        #: Topic by transport; remapping ``image`` moves both.
        self.topics = {"raw": base, "compressed": node.resolve_topic_name(f"{base}/compressed")}
        self.frame_id = ""
        self.received = 0
        self.lost = 0  # messages that the middleware knows it did not get
        self.last_time = time.monotonic()  # of the last image, or of the start
        self._chosen: tuple[str, bool] | None = None  # transport, reliable
        self._hesitated = False
        self._subscription: Any = None
        self.look()

    @property
    def topic(self) -> str:
        """The topic that is subscribed to, or that would be first."""
        return self.topics[self._transport]

    @property
    def reliable(self) -> bool | None:
        """Quality of service in use; None before a subscription."""
        return None if self._subscription is None else (
            self._subscription.qos_profile.reliability == ReliabilityPolicy.RELIABLE)

    def publishers(self) -> list[Any]:
        """The publishers of images on ``topic``, each with its ``qos_profile``."""
        return self._publishers_of(self._transport)

    def other_type(self) -> str:
        """The type of what is published on ``topic`` and cannot be heard as images; empty when there is no such thing."""
        types = {info.topic_type for info in self._node.get_publishers_info_by_topic(self.topic)}
        return min(types - {_TYPES[self._transport][0]}, default="")

    def look(self) -> None:
        """Subscribe, or subscribe anew, if what is published asks for it; called now and then."""
        wanted = self._wanted()
        if wanted is not None and wanted != self._chosen:
            if self._subscription is not None:
                self._node.destroy_subscription(self._subscription)
            self._chosen, (transport, reliable) = wanted, wanted
            self._subscription = self._subscribe(transport, reliable)

    @property
    def _transport(self) -> str:
        return self._chosen[0] if self._chosen else "compressed" if self._settings.image_transport == "compressed" else "raw"

    def _publishers_of(self, transport: str) -> list[Any]:
        kind = _TYPES[transport][0]
        return [info for info in self._node.get_publishers_info_by_topic(self.topics[transport]) if info.topic_type == kind]

    def _wanted(self) -> tuple[str, bool] | None:
        """Transport and reliability for what is published now; None to leave things as they are."""
        wish, reliability = self._settings.image_transport, self._settings.image_reliability
        publishers = {transport: self._publishers_of(transport)
                      for transport in self.topics if wish in ("auto", transport)}
        transport = max(publishers, key=lambda name: (bool(publishers[name]), name == self._transport))
        if not publishers[transport] and "auto" in (wish, reliability):
            return None
        if transport == "compressed" and wish == "auto" and not (self._chosen or self._hesitated):
            self._hesitated = True  # the raw topic of the same camera may be discovered a moment later
            return None
        if reliability != "auto":
            return transport, reliability == "reliable"
        # A best-effort subscription hears both kinds of publishers.
        offered = {info.qos_profile.reliability for info in publishers[transport]}
        return transport, offered == {ReliabilityPolicy.RELIABLE}

    def _subscribe(self, transport: str, reliable: bool) -> Any:
        qos = QoSProfile(
            depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        # qos_overrides of a topic are declared once, with the first default: a change of mind
        # about reliability must not be overruled by it.
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        name = f"qos_overrides.{self.topics[transport]}.subscription.reliability"
        if not self._node.has_parameter(name):
            kinds.append(QoSPolicyKind.RELIABILITY)
        return subscribe(self._node, _TYPES[transport][1], self.topics[transport], self._receive, qos,
                         on_lost=self._count_lost,
                         # Of its own: a subscription destroyed in the midst of a callback may leave its group taken.
                         callback_group=MutuallyExclusiveCallbackGroup(),
                         qos_overriding_options=QoSOverridingOptions(kinds))

    def _receive(self, message: Any) -> None:
        self.received += 1
        self.last_time = time.monotonic()
        self.frame_id = message.header.frame_id
        self._on_image(message)

    def _count_lost(self, count: int) -> None:
        self.lost += count
