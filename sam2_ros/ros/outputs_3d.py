"""The other outputs in 3-D: markers, a point cloud, and a frame for each object.

Markers and points are made only while they have a subscriber.  All of it is in the optical frame of the camera, with
the header of its image.
"""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from sam2_ros.drawing import colour
from sam2_ros.geometry.cloud import POINT, cloud
from sam2_ros.geometry.fields import quaternion
from sam2_ros.geometry.locator import Located
from sam2_ros.geometry.positions import Position
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.topics import message_class
from sam2_ros.types import Frame, Track, label_image

#: How opaque the box of an object is: measured on this image, and known from an earlier one.
NOW, BEFORE = 0.45, 0.12
#: Height of a name, and the least thickness of a box, in metres.
LETTERS, THIN = 0.03, 0.002
_FLOAT, _WHOLE = PointField.FLOAT32, PointField.UINT32
#: Of ``geometry.cloud.POINT``: four bytes each; PCL and RViz read the bytes of a colour as a float.
_FIELDS = [
    PointField(name=name, offset=4 * place, datatype=kind, count=1)
    for place, (name, kind) in enumerate(
        (("x", _FLOAT), ("y", _FLOAT), ("z", _FLOAT), ("rgb", _FLOAT), ("label", _WHOLE))
    )
]


class Outputs3D:
    """The publishers in 3-D of one node; those whose message types are not installed are left out."""

    def __init__(self, node: RosNode, parameters: Parameters) -> None:
        self._parameters = parameters
        self._marker: Any = message_class("visualization_msgs/msg/Marker")
        self._marker_array: Any = message_class("visualization_msgs/msg/MarkerArray")
        self._transforms: Any = message_class("tf2_msgs/msg/TFMessage")
        qos = QoSProfile(depth=5)
        self._points = node.create_publisher(PointCloud2, "~/points", qos)
        self._markers = node.create_publisher(self._marker_array, "~/markers", qos) if self._marker_array else None
        self._node = node
        self._frames: Any = None  # a publisher of /tf, once somebody wants one
        self._framed: tuple[int, set[int]] = 0, set()  # objects whose frame was published at a stamp

    def publish(self, frame: Frame, tracks: Sequence[Track], header: Header, located: Located) -> None:
        """Publish what somebody wants of one image."""
        if self._markers is not None and self._markers.get_subscription_count():
            marked = markers(self._marker, header, tracks, located.positions)
            self._markers.publish(self._marker_array(markers=marked))
        if self._transforms is not None and self._parameters.node.object_frames:
            self._publish_frames(frame.stamp, header, located.positions)
        if located.depth is not None and located.camera is not None and self._points.get_subscription_count():
            labels = label_image(tracks, frame.size)
            organized = self._parameters.node.organized_points
            points = cloud(labels, located.depth, located.camera, frame.image, organized)
            self._points.publish(point_cloud(header, points))

    def _publish_frames(self, stamp: int, header: Header, positions: Mapping[int, Position]) -> None:
        """Publish the frames of the objects measured on this image, each once: tf2 keeps the first of a stamp."""
        known = self._framed[1] if self._framed[0] == stamp else set()
        measured = {one: position for one, position in positions.items() if not position.age and one not in known}
        if not measured:
            return
        self._framed = stamp, known | set(measured)
        self._frames = self._frames or self._node.create_publisher(self._transforms, "/tf", QoSProfile(depth=100))
        self._frames.publish(self._transforms(transforms=frames(header, measured)))


def point_cloud(header: Header, points: np.ndarray) -> PointCloud2:
    """Points (N,) or (H, W) of ``geometry.cloud`` as a message."""
    data = array.array("B")
    data.frombytes(points.tobytes())  # rclpy takes an array as it is, and goes through bytes one by one
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=_FIELDS,
        point_step=POINT.itemsize,
        row_step=POINT.itemsize * width,
        is_dense=points.ndim == 1,
        data=data,
    )


def frames(header: Header, positions: Mapping[int, Position]) -> list[TransformStamped]:
    """A frame at the position of each object that was measured on this image; its axes are those of the camera."""
    found = []
    for one, position in positions.items():
        if position.age:
            continue
        transform = TransformStamped(header=header, child_frame_id=f"{header.frame_id}/object/{one}")
        place = transform.transform.translation
        place.x, place.y, place.z = map(float, position.surface.position)
        found.append(transform)
    return found


def markers(kind: Any, header: Header, tracks: Sequence[Track], positions: Mapping[int, Position]) -> list[Any]:
    """A box and a name for each object with a position, fainter when it is an earlier one; kind: the class Marker."""
    found = [kind(header=header, action=kind.DELETEALL)]
    for track in tracks:
        position = positions.get(track.id)
        if position is not None:
            found += [_box(kind, header, track, position), _name(kind, header, track, position)]
    return found


def _box(kind: Any, header: Header, track: Track, position: Position) -> Any:
    marker = _marker(kind, header, track, "box", BEFORE if position.age else NOW)
    marker.type = kind.CUBE
    surface, pose = position.surface, marker.pose
    pose.position.x, pose.position.y, pose.position.z = map(float, surface.box_centre)
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion(surface.box_axes)
    marker.scale.x, marker.scale.y, marker.scale.z = (max(float(one), THIN) for one in surface.box_size)
    return marker


def _name(kind: Any, header: Header, track: Track, position: Position) -> Any:
    marker = _marker(kind, header, track, "name", 1.0)
    marker.type = kind.TEXT_VIEW_FACING
    marker.text = f"{track.name} ({position.age:.1f} s ago)" if position.age else track.name
    surface, place = position.surface, marker.pose.position
    place.x, place.y, place.z = float(surface.position[0]), float(surface.low[1]) - LETTERS, float(surface.position[2])
    marker.pose.orientation.w = 1.0
    marker.scale.z = LETTERS
    return marker


def _marker(kind: Any, header: Header, track: Track, namespace: str, opaque: float) -> Any:
    marker = kind(header=header, ns=namespace, id=track.id, action=kind.ADD)
    red, green, blue = colour(track.id)
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = red / 255, green / 255, blue / 255, opaque
    return marker
