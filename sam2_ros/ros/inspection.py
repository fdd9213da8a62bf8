"""The part of ``sam2_ros doctor`` for ROS: whether a node can be created, its middleware, and the topics it sees."""

from __future__ import annotations

import importlib.util
import time
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node as RosNode
from rclpy.utilities import get_rmw_implementation_identifier

from sam2_ros.ros import bridge
from sam2_ros.ros import node as _node  # noqa: F401  imports all that the node needs
from sam2_ros.ros.fastdds_profile import make_room
from sam2_ros.ros.image_topics import ImageTopic, ImageTopicSearch
from sam2_ros.ros.startup import running_node

#: Seconds in which publishers that are there already are seen: on an idle machine, and on a busy one.
DISCOVERY, NOBODY = 2.0, 6.0
#: Seconds after which the search for images ends.
PATIENCE = 20.0
#: Packages that the node does without, and what it does not do then.
OPTIONAL = {"vision_msgs": "no detections", "tf2_ros": "no clicks in other frames than the camera's"}


def inspect_ros() -> dict[str, Any]:
    """The findings, as plain values.  Raises CannotStart."""
    profile = make_room()
    lines: list[str] = []
    bridge.find(lines.append)
    with running_node("sam2_ros_doctor") as node:
        images = _images(node)
        nodes = {f"{namespace.rstrip('/')}/{name}" for name, namespace in node.get_node_names_and_namespaces()}
        return {
            "middleware": get_rmw_implementation_identifier(),
            "profile": str(profile) if profile else "",
            "cv_bridge": lines[-1] if lines else "not installed; images are converted without it",
            "missing": [f"{name} ({cost})" for name, cost in OPTIONAL.items() if not importlib.util.find_spec(name)],
            "nodes": sorted(nodes - {node.get_fully_qualified_name()}),
            "images": [str(image) for image in images],
        }


def _images(node: RosNode) -> tuple[ImageTopic, ...]:
    """The image topics that are published now, with their rates where these could be counted in time."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    search, started = ImageTopicSearch(node), time.monotonic()
    found: tuple[ImageTopic, ...] | None = None  # None while some are being counted
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.1)
            passed = time.monotonic() - started
            found = search.update() if passed > DISCOVERY else None
            if found or passed > PATIENCE or (found is not None and passed > NOBODY):
                break
        return found or ()
    finally:
        search.stop()
        executor.shutdown()
