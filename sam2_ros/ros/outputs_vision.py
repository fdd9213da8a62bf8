"""The objects as standard detections: vision_msgs, where that package is installed.

Each message is made only while it has a subscriber, with the header of its image; an image without a seen object gives
an empty array.  The id of a detection is that of the object, its class is the object's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from sam2_ros.geometry.fields import quaternion
from sam2_ros.geometry.positions import Position
from sam2_ros.ros.detections import centre_of
from sam2_ros.ros.topics import message_class, quality
from sam2_ros.types import Track

#: Of vision_msgs.
TYPES = (
    "Detection2DArray",
    "Detection2D",
    "Detection3DArray",
    "Detection3D",
    "ObjectHypothesisWithPose",
    "LabelInfo",
    "VisionClass",
)


class VisionOutputs:
    """The publishers of one node; none where vision_msgs, or a part of it, is not installed."""

    def __init__(self, node: RosNode) -> None:
        found = {name: message_class(f"vision_msgs/msg/{name}") for name in TYPES}
        #: The classes by name; empty where one of them is missing: LabelInfo came with version 4.
        self._types: dict[str, Any] = {} if None in found.values() else found
        self._labels: tuple[tuple[int, str], ...] | None = None  # those that were published last
        if not self._types:
            return
        qos = QoSProfile(depth=5)
        self._flat = node.create_publisher(self._types["Detection2DArray"], "~/detections", qos)
        self._solid = node.create_publisher(self._types["Detection3DArray"], "~/detections_3d", qos)
        latched = quality(1, latched=True)  # for those that subscribe later
        self._label_info = node.create_publisher(self._types["LabelInfo"], "~/label_info", latched)

    def publish(self, tracks: Sequence[Track], header: Header, positions: Mapping[int, Position]) -> None:
        """Publish what somebody wants of one image; the names of the ids whenever they have changed."""
        if not self._types:
            return
        labels = tuple((track.id, track.name) for track in tracks)
        if labels != self._labels:
            self._labels = labels
            self._label_info.publish(label_info(self._types, header, labels))
        if self._flat.get_subscription_count():
            self._flat.publish(detections(self._types, header, tracks))
        if self._solid.get_subscription_count():
            self._solid.publish(detections_3d(self._types, header, tracks, positions))


def label_info(types: Mapping[str, Any], header: Header, labels: Sequence[tuple[int, str]]) -> Any:
    """The names of the values in the label image; 0 is the background.  types: the classes of vision_msgs by name."""
    classes = [types["VisionClass"](class_id=one, class_name=name) for one, name in labels]
    return types["LabelInfo"](header=header, class_map=classes, threshold=0.0)


def detections(types: Mapping[str, Any], header: Header, tracks: Sequence[Track]) -> Any:
    """A box in pixels for each object that is seen; the centre of the first pixel is at (0, 0)."""
    found = []
    for track in tracks:
        box = track.box
        if box is None:
            continue
        one = types["Detection2D"](header=header, id=str(track.id), results=[_hypothesis(types, track)])
        x0, y0, x1, y1 = box
        centre = centre_of(one.bbox)
        centre.x, centre.y = (x0 + x1) / 2, (y0 + y1) / 2
        one.bbox.size_x, one.bbox.size_y = float(x1 - x0 + 1), float(y1 - y0 + 1)
        found.append(one)
    return types["Detection2DArray"](header=header, detections=found)


def detections_3d(
    types: Mapping[str, Any], header: Header, tracks: Sequence[Track], positions: Mapping[int, Position]
) -> Any:
    """A box in metres for each object that was measured on this image, in the optical frame of the camera."""
    found = []
    for track in tracks:
        position = positions.get(track.id)
        if position is None or position.age:
            continue
        surface, hypothesis = position.surface, _hypothesis(types, track)
        one = types["Detection3D"](header=header, id=str(track.id), results=[hypothesis])
        _place(hypothesis.pose.pose, surface.position, surface.box_axes)
        _place(one.bbox.center, surface.box_centre, surface.box_axes)
        one.bbox.size.x, one.bbox.size.y, one.bbox.size.z = map(float, surface.box_size)
        found.append(one)
    return types["Detection3DArray"](header=header, detections=found)


def _hypothesis(types: Mapping[str, Any], track: Track) -> Any:
    one = types["ObjectHypothesisWithPose"]()
    one.hypothesis.class_id, one.hypothesis.score = track.name, track.probability
    return one


def _place(pose: Any, position: Any, axes: Any) -> None:
    pose.position.x, pose.position.y, pose.position.z = map(float, position)
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion(axes)
