"""A topic for the mask of each object, for programs that take one binary mask, such as pose estimators.

The topic is ``~/mask/NAME``, where NAME is the name of the object in characters that ROS allows.  A mask is made
only while its topic has a subscriber.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from rclpy.node import Node as RosNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.throttle import SELDOM
from sam2_ros.types import Mask, Track

#: Each topic costs every node of the robot memory; objects beyond this number have none.
MOST = 64
#: Letters of a name that are used.
LONGEST = 60


class MaskOutputs:
    """The publishers of the masks; they come and go with their objects while the parameter mask_topics is true."""

    def __init__(self, node: RosNode, parameters: Parameters, bridge: Bridge) -> None:
        self._node, self._parameters, self._bridge = node, parameters, bridge
        self._publishers: dict[int, tuple[str, Publisher]] = {}  # token and publisher by the id of the object

    def publish(self, tracks: Sequence[Track], header: Header) -> None:
        """Publish the masks that have a subscriber."""
        wanted = tracks if self._parameters.node.mask_topics else ()
        if not wanted and not self._publishers:
            return
        self._follow(wanted)
        for track in wanted:
            publisher = self._publishers[track.id][1] if track.id in self._publishers else None
            if publisher is not None and publisher.get_subscription_count():
                publisher.publish(mask_image(track.mask, header, self._bridge))

    def _follow(self, tracks: Sequence[Track]) -> None:
        """Make the topics of new objects, and destroy those of objects that are gone."""
        for gone in self._publishers.keys() - {track.id for track in tracks}:
            self._node.destroy_publisher(self._publishers.pop(gone)[1])
        for track in tracks:
            if track.id in self._publishers:
                continue
            if len(self._publishers) >= MOST:
                self._node.get_logger().warning(
                    f"only {MOST} objects have a mask topic: {track.name} has none; its pixels are in the label image",
                    **SELDOM,
                )
                return
            token = token_of(track.name, track.id, {taken for taken, _ in self._publishers.values()})
            publisher = self._node.create_publisher(Image, f"~/mask/{token}", QoSProfile(depth=5))
            self._publishers[track.id] = token, publisher


def mask_image(mask: Mask, header: Header, bridge: Bridge = Bridge()) -> Image:
    """One mask as mono8, 255 on the object."""
    return bridge.fill(Image(header=header), mask.astype(np.uint8) * 255)


def token_of(name: str, number: int, taken: set[str]) -> str:
    """A part of a topic's name for an object: letters, digits and single underscores, no digit first.

    Letters lose their accents; one that is taken gets the ``number`` of the object.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    token = re.sub(r"[^A-Za-z0-9]+", "_", plain)[:LONGEST].strip("_")
    if not token:
        return f"object_{number}" if f"object_{number}" not in taken else f"object_id_{number}"
    token = f"object_{token}" if token[0].isdigit() else token
    return token if token not in taken else f"{token}_id_{number}"
