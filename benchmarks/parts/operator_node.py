"""Who prompts the node in a measurement.  Import it after ``ros_load.stay_local`` was called."""

from __future__ import annotations

import time

import rclpy
from rclpy.executors import SingleThreadedExecutor

from parts.ros_load import BOXES, box_prompt
from sam2_ros.msg import Prompt


class Operator:
    """A node in this process; objects: how many the node tracks, for a subclass to keep."""

    def __init__(self) -> None:
        self.ros = rclpy.create_node("watch")
        self.objects = 0
        self.prompts = self.ros.create_publisher(Prompt, "/sam2_ros/prompt", 10)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.ros)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def start_objects(self, count: int) -> None:
        """Prompt the first ``count`` things of the picture until all are tracked."""
        end = time.monotonic() + 30
        while self.objects < count:
            if time.monotonic() > end:
                raise SystemExit(f"the node tracks {self.objects} of {count} objects")
            for name in list(BOXES)[:count]:
                self.prompts.publish(box_prompt(name))
            self.spin(1.0)
