"""Clicks from the operator's tools, as pixels.

RViz and Foxglove publish ``clicked_point`` (geometry_msgs/PointStamped) in 3-D, some image viewers
publish it in pixels.  rqt_image_view publishes ``<topic>_mouse_left`` (geometry_msgs/Point), on the
camera's image or on the overlay, raw or compressed.
A point without a frame, or with z = 0 in the frame of the image, is a pixel.  A point in front of
the camera is projected with camera_info; a point in another frame is first transformed with tf2,
if that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, PointStamped
from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo

from sam2_ros.errors import InvalidInput, InvalidPrompt, MissingDependency, Sam2RosError
from sam2_ros.geometry.camera import Camera
from sam2_ros.messages import nanoseconds
from sam2_ros.ros import transforms
from sam2_ros.ros.camera_subscriber import CameraSubscriber
from sam2_ros.ros.pacing import OnDemand
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.throttle import SELDOM


class Clicks:
    """Subscribes to clicks and passes them on as pixels."""

    def __init__(
        self,
        node: RosNode,
        parameters: Parameters,
        camera: CameraSubscriber,
        on_click: Callable[[float, float, int], None],
    ) -> None:
        """on_click: called with x and y in pixels and the stamp of the click in nanoseconds, 0 = now."""
        self._parameters = parameters
        self._camera = camera
        self._on_click = on_click
        self._logger = node.get_logger()
        self._info: CameraInfo | None = None
        self._transforms = transforms.Transforms(node) if transforms.installed() else None
        image_topic = camera.topics["raw"]
        self._infos = OnDemand(node, CameraInfo, info_topic(node, image_topic), qos_profile_sensor_data)
        node.create_subscription(PointStamped, "clicked_point", self._on_point, QoSProfile(depth=10))
        for watched in (*camera.topics.values(), "~/overlay", "~/overlay/compressed"):
            node.create_subscription(Point, f"{watched}_mouse_left", self._on_pixel, QoSProfile(depth=10))

    def camera_info(self) -> CameraInfo | None:
        """The newest camera_info; None before the first."""
        self._info = next(reversed(self._infos.take()), self._info)
        return self._info

    def pixel(self, message: PointStamped) -> tuple[float, float]:
        """The pixel of a stamped point.  Raises InvalidPrompt or MissingDependency when it cannot be found."""
        frame, point = _named(message), message.point
        in_camera = frame in (self._camera.frame_id.lstrip("/"), self._optical_frame())
        if not frame or (in_camera and point.z == 0):
            return point.x, point.y
        if self._info is None:
            raise InvalidPrompt(f"a click in frame {frame!r} needs camera_info to become a pixel, and none has arrived")
        position = np.array([point.x, point.y, point.z])
        if not in_camera:
            position = self._in_camera(position, message)
        return project(position, self._info, self._parameters.depth.image_is_rectified)

    def _optical_frame(self) -> str:
        """The camera's frame: from camera_info, or from the images if camera_info names none."""
        return (_named(self._info) if self._info else "") or self._camera.frame_id.lstrip("/")

    def _in_camera(self, position: np.ndarray, message: PointStamped) -> np.ndarray:
        """The position (3,) of a message as one in the camera's optical frame, metres."""
        frame, target = _named(message), self._optical_frame()
        if not target:
            raise InvalidPrompt(
                f"a click in frame {frame!r} needs the camera's frame, and neither camera_info nor the "
                "images have a frame_id"
            )
        if self._transforms is None:
            raise MissingDependency(
                f"a click in frame {frame!r} needs tf2_ros, which is not installed; "
                f"click in the camera's frame {target!r}"
            )
        return moved(position, self._transforms.between(target, frame, message.header.stamp))

    def _on_point(self, message: PointStamped) -> None:
        self.camera_info()
        try:
            x, y = self.pixel(message)
        except Sam2RosError as error:
            self._logger.warning(f"click refused: {error}", **SELDOM)
            return
        self._on_click(x, y, nanoseconds(message.header.stamp))

    def _on_pixel(self, message: Point) -> None:
        self._on_click(message.x, message.y, 0)


def _named(message: Any) -> str:
    """The frame of a stamped message; tf2 refuses the leading slash of ROS 1."""
    return message.header.frame_id.lstrip("/")


def info_topic(node: RosNode, image_topic: str) -> str:
    """The topic of camera_info: as remapped, otherwise the one next to the image topic."""
    name = node.resolve_topic_name("camera_info")
    if name != node.resolve_topic_name("camera_info", only_expand=True):
        return name
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def project(position: np.ndarray, info: Any, rectified: bool) -> tuple[float, float]:
    """The pixel of a position (3,) in the optical frame (z forward, metres), by a sensor_msgs/CameraInfo.

    rectified: the image is undistorted, so P applies instead of K and D.
    Raises InvalidPrompt for a point behind the camera or outside the lens model, or without a calibration.
    """
    try:
        model = Camera.of(info, rectified)
    except InvalidInput as error:
        raise InvalidPrompt(f"a click in 3-D has no pixel: {error}") from error
    return model.pixel(position)


def moved(position: np.ndarray, transform: Any) -> np.ndarray:
    """Apply a geometry_msgs/Transform to a position (3,): rotate by its unit quaternion, then shift."""
    rotation, shift = transform.rotation, transform.translation
    axis = np.array([rotation.x, rotation.y, rotation.z], np.float64)
    turned = 2.0 * np.cross(axis, position)
    rotated: np.ndarray = position + float(rotation.w) * turned + np.cross(axis, turned)
    return rotated + np.array([shift.x, shift.y, shift.z], np.float64)
