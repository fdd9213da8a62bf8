"""A node under test and an operator beside it, in one process, over real topics and services.

Everything waits for what it needs, with generous limits: the tests shall pass on a loaded
machine, and be quick on an idle one.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading

import numpy as np

# A domain of its own on this machine alone, so that tests neither receive from nor disturb a robot;
# the processes that a test starts inherit it.
os.environ["ROS_DOMAIN_ID"] = os.environ.setdefault("SAM2_ROS_TEST_DOMAIN", str(1 + os.getpid() % 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
for name in ("ROS_DISCOVERY_SERVER", "ROS_SUPER_CLIENT", "ROS_STATIC_PEERS"):
    os.environ.pop(name, None)
if "ROS_LOG_DIR" not in os.environ:
    LOGS = tempfile.TemporaryDirectory(prefix="sam2_ros_log_", ignore_cleanup_errors=True)
    os.environ["ROS_LOG_DIR"] = LOGS.name

import rclpy
from fakes import BLUE, RED, ColourModel, picture
from geometry_msgs.msg import Point
from rcl_interfaces.msg import Log
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from waiting import PATIENCE, wait_until

from sam2_ros.messages import fill_image, seconds_and_rest
from sam2_ros.msg import Box, Prompt, TrackedObjectArray
from sam2_ros.srv import Prompt as PromptService
from sam2_ros.tracking.tracker import Tracker

MILLISECOND = 1_000_000


#: The usual scene: a red and a blue square of 16 pixels, and a pixel on each.
SIZE = (96, 128)
SCENE = {RED: (8, 8), BLUE: (80, 48)}
ON_RED, ON_BLUE = (16, 16), (88, 56)


def scene(squares=SCENE):
    """An image of squares, (96, 128, 3)."""
    return picture(squares, SIZE)


def colour_tracker(parameters):
    return Tracker(ColourModel(), parameters.tracker), "a model that follows colours"


def set_stamp(header, stamp, frame_id="camera"):
    header.frame_id = frame_id
    header.stamp.sec, header.stamp.nanosec = seconds_and_rest(stamp)
    return header


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def image_message(image, stamp, frame_id="camera"):
    message = fill_image(Image(), np.ascontiguousarray(image))
    set_stamp(message.header, stamp, frame_id)
    return message


def prompt_message(name="", stamp=0, points=(), labels=None, box=None, mask=None, replace=False):
    message = Prompt(name=name, replace=replace)
    set_stamp(message.header, stamp, "")
    message.points = [Point(x=float(x), y=float(y)) for x, y in points]
    message.labels = [1] * len(points) if labels is None else list(labels)
    if box is not None:
        message.box = [Box(**dict(zip(("x0", "y0", "x1", "y1"), map(float, box))))]
    if mask is not None:
        message.mask = fill_image(Image(), np.asarray(mask, np.uint8))
    return message


def labels_in(message):
    """The label image of a mono8 or mono16 message as an array."""
    dtype = {"mono8": np.uint8, "mono16": np.uint16}[message.encoding]
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width)


def spin_on(executor, ended):
    """Spin until ``ended``: sometimes rclpy still waits for a subscription that was destroyed just now."""
    with contextlib.suppress(ExternalShutdownException):
        while not ended():
            with contextlib.suppress(InvalidHandle):
                executor.spin()


class Operator:
    """Publishes images, prompts and calls, and keeps what the node says; spins on a thread of its own."""

    def __init__(self, node="/sam2_ros", image="/image", reliable=True, compressed=False, encoded_as=None):
        self.prefix = node
        self.closing = False
        self.ros = rclpy.create_node("operator", use_global_arguments=False)
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        self.images = self.ros.create_publisher(
            CompressedImage if compressed else Image,
            f"{image}/compressed" if compressed else image,
            QoSProfile(depth=100, reliability=reliability),
        )
        self.prompts = self.ros.create_publisher(Prompt, f"{node}/prompt", 10)
        self.results, self.masks, self.log = [], [], []
        self.ros.create_subscription(TrackedObjectArray, f"{node}/objects", self.results.append, 100)
        self.ros.create_subscription(Image, f"{node}/masks", self.masks.append, 100)
        self.ros.create_subscription(Log, "/rosout", lambda entry: self.log.append(entry.msg), QoSProfile(depth=1000))
        self.clients = {}
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.ros)
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self):
        spin_on(self.executor, lambda: self.closing)

    def close(self):
        self.closing = True
        self.executor.shutdown()
        self.thread.join()
        self.ros.destroy_node()

    def connect(self):
        """Wait until every topic is connected in both directions."""
        wait_until(
            lambda: self.images.get_subscription_count() and self.prompts.get_subscription_count(),
            "the node to subscribe",
        )
        wait_until(lambda: self.ros.count_publishers(f"{self.prefix}/masks"), "the masks topic")
        wait_until(lambda: self.ros.count_publishers(f"{self.prefix}/objects"), "the objects topic")
        return self

    def show(self, image, stamp):
        """Publish an image (an RGB array or a message) and wait for its result."""
        message = image_message(image, stamp) if isinstance(image, np.ndarray) else image
        before = len(self.results)
        self.images.publish(message)
        return self.result(stamp_of(message), before)

    def result(self, stamp, since=0):
        def arrived():
            return next((result for result in self.results[since:] if stamp_of(result) == stamp), None)

        return wait_until(arrived, f"the result of stamp {stamp}")

    def mask(self, stamp):
        """The newest label image of a stamp."""

        def arrived():
            return next((mask for mask in reversed(self.masks) if stamp_of(mask) == stamp), None)

        return wait_until(arrived, f"the masks of stamp {stamp}")

    def call(self, kind, service, /, **fields):
        """Call a service of the node, with the fields of its request, and wait for the answer."""
        answer = self.ask(kind, service, **fields)
        wait_until(answer.done, f"the answer of {service}")
        return answer.result()

    def ask(self, kind, service, /, **fields):
        """Call a service of the node; the future of its answer."""
        if service not in self.clients:
            self.clients[service] = self.ros.create_client(kind, f"{self.prefix}/{service}")
        assert self.clients[service].wait_for_service(PATIENCE), f"no service {service}"
        return self.clients[service].call_async(kind.Request(**fields))

    def says(self, *words):
        """Wait until one line of the log holds all ``words``."""
        return wait_until(
            lambda: next((line for line in self.log if all(word in line for word in words)), None),
            f"a sentence with {words}; there is {self.log[-20:]}",
        )


class Bench(Operator):
    """An operator, and the node itself in the same process."""

    def __init__(self, *ros_arguments, make=colour_tracker, **operator):
        from sam2_ros.ros.node import Node
        from sam2_ros.ros.prompts import THREADS

        rclpy.init(args=["--ros-args", *ros_arguments])
        self.clock = 1_000_000 * MILLISECOND  # stamp of the newest image
        super().__init__(**operator)
        self.node = Node(make)
        self.node.start()
        self.node_executor = rclpy.executors.MultiThreadedExecutor(THREADS)
        self.node_executor.add_node(self.node)
        self.node_thread = threading.Thread(target=self._spin_node)
        self.node_thread.start()

    def show_next(self, squares=SCENE):
        """Show one more image, a thirtieth of a second later; its result."""
        self.clock += 33 * MILLISECOND
        return self.show(scene(squares), self.clock)

    def start(self, name="cup", at=ON_RED):
        """Show one more image and start one object on it; its stamp."""
        self.show_next()
        answer = self.call(PromptService, "prompt", prompt=prompt_message(name, points=[at]))
        assert answer.success, answer.message
        return self.clock

    def _spin_node(self):
        spin_on(self.node_executor, lambda: self.closing)

    def close(self):
        self.closing = True
        self.node.close()
        self.node_executor.shutdown()
        self.node_thread.join()
        self.node.destroy_node()
        super().close()
        rclpy.shutdown()
