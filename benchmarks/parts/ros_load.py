"""Processes for the measurements with ROS: the node, a camera, and topics that somebody else publishes fast.

    python benchmarks/parts/ros_load.py camera TOPIC --rate 15 --restart 60 --jump 90
    python benchmarks/parts/ros_load.py camera TOPIC --width 1280 --height 720 --depth
    python benchmarks/parts/ros_load.py echo TOPIC MASKS
    python benchmarks/parts/ros_load.py flood TOPIC KIND RATE

node.py, rates.py and soak.py start them.  vision_msgs and tf2_ros have no wheels, so the node finds stand-ins for them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TREE = Path(__file__).resolve().parents[2]
STAND_INS = TREE / "test" / "ros" / "stand_ins"
SIZE = (480, 640)
IMAGE = "/camera/image"
DEPTH = "/camera/depth"
#: Different images that the camera shows in turn.
SHOWN = 100
#: Seconds to load the model, and to end.
PATIENCE = 60.0


def stay_local() -> None:
    """The topics of a measurement concern nobody else, on the network or on this machine."""
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    if "ROS_LOG_DIR" not in os.environ:
        os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="sam2_ros_log_")
    for name in ("ROS_DISCOVERY_SERVER", "ROS_SUPER_CLIENT", "ROS_STATIC_PEERS"):
        os.environ.pop(name, None)


@contextlib.contextmanager
def process(
    *command: Any, says: str = "", log: Path | None = None, tree: Path = TREE, **environment: str
) -> Iterator[subprocess.Popen]:
    """A Python process in a source tree, interrupted at the end; ``says``: wait until its log holds these words."""
    path = log or Path(tempfile.mkstemp(prefix="sam2_ros_", suffix=".log")[1])
    with open(path, "w") as output:
        child = subprocess.Popen(
            [sys.executable, *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=tree,
        )
    try:
        end = time.monotonic() + PATIENCE
        while says not in path.read_text():
            if child.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} did not say {says!r}:\n{path.read_text()[-2000:]}")
            time.sleep(0.1)
        yield child
    finally:
        stop(child)
        if log is None:
            path.unlink(missing_ok=True)


def stop(child: subprocess.Popen) -> None:
    """Interrupt a process; kill it when it does not end."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def node(
    *arguments: str,
    tree: Path = TREE,
    log: Path | None = None,
    program: tuple[Any, ...] = ("-m", "sam2_ros", "node"),
    **environment: str,
) -> Any:
    """The node's process, ready: of this source tree or another one, with the stand-ins on its path."""
    path = os.pathsep.join(map(str, (tree, STAND_INS)))
    return process(
        *program,
        "--ros-args",
        "-r",
        f"image:={IMAGE}",
        "-r",
        f"depth:={DEPTH}",
        *arguments,
        says="ready:",
        log=log,
        tree=tree,
        PYTHONPATH=path,
        **environment,
    )


# -- what runs in those processes -----------------------------------------------------------------


def camera(topic: str, rate: float, restart: float, jump: float, width: int, height: int, depth: bool) -> None:
    """Publish squares that move: another node every ``restart`` seconds, stamps jump by 1 h every ``jump`` seconds.

    depth: each image has registered depth of the same stamp.
    """
    import moving_squares
    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import CameraInfo, Image

    from sam2_ros.messages import fill_image, seconds_and_rest

    size = height, width
    messages = [fill_image(Image(), moving_squares.scene(number, size)) for number in range(SHOWN)]
    distance: Any = depth_image(size) if depth else None
    k = [500.0, 0.0, width / 2, 0.0, 500.0, height / 2, 0.0, 0.0, 1.0]
    started, number, next_time = time.monotonic(), 0, time.monotonic()
    while rclpy.ok():
        one = rclpy.create_node("camera")
        images = one.create_publisher(Image, topic, QoSProfile(depth=2))
        depths = one.create_publisher(Image, DEPTH, QoSProfile(depth=2)) if depth else None
        infos = one.create_publisher(CameraInfo, f"{topic.rpartition('/')[0]}/camera_info", 2)
        born = time.monotonic()
        while rclpy.ok() and time.monotonic() < born + restart:
            # Back and forth, so that nothing ever leaps.
            message = messages[min(number % (2 * SHOWN), 2 * SHOWN - 1 - number % (2 * SHOWN))]
            back = 3600 * int((time.monotonic() - started) / jump) % 2
            stamp = time.time_ns() - back * 3600 * 10**9
            message.header.frame_id = "camera"
            message.header.stamp.sec, message.header.stamp.nanosec = seconds_and_rest(stamp)
            images.publish(message)
            infos.publish(CameraInfo(header=message.header, width=width, height=height, k=k))
            if depths is not None:
                distance.header = message.header
                depths.publish(distance)
            number, next_time = number + 1, next_time + 1 / rate
            time.sleep(max(next_time - time.monotonic(), 0))
        one.destroy_node()


def echo(topic: str, masks: str) -> None:
    """Publish an empty label image for each image: what the transport of both takes, without any work between them."""
    import numpy as np
    import rclpy
    from rclpy.qos import QoSProfile
    from sensor_msgs.msg import Image

    from sam2_ros.messages import fill_image

    one = rclpy.create_node("echo")
    publisher = one.create_publisher(Image, masks, QoSProfile(depth=5))

    def answer(message: Any) -> None:
        empty = np.zeros((message.height, message.width), np.uint8)
        publisher.publish(fill_image(Image(header=message.header), empty))

    subscription = one.create_subscription(Image, topic, answer, QoSProfile(depth=5))
    print("echoes", flush=True)
    rclpy.spin(one)
    one.destroy_subscription(subscription)


def depth_image(size: tuple[int, int]) -> Any:
    """A rough surface about 1 m away, in millimetres, with holes."""
    import numpy as np
    from sensor_msgs.msg import Image

    random = np.random.default_rng(1)
    depth = random.normal(1000, 3, size).astype(np.uint16)
    depth[random.random(size) < 0.02] = 0
    height, width = size
    return Image(height=height, width=width, encoding="16UC1", step=2 * width, data=depth.tobytes())


#: Boxes that are prompted by name (x0, y0, x1, y1 in pixels): different places of the picture.
BOXES = {"a": (40, 60, 140, 130), "b": (300, 230, 400, 300), "c": (500, 350, 600, 420)}


def box_prompt(name: str) -> Any:
    """A prompt for the newest image."""
    from sam2_ros.msg import Box, Prompt

    x0, y0, x1, y1 = map(float, BOXES[name])
    return Prompt(name=name, box=[Box(x0=x0, y0=y0, x1=x1, y1=y1)])


def examples(kind: str) -> list[Any]:
    """Messages for the topic that is flooded, in turn."""
    return [box_prompt(name) for name in BOXES] if kind == "boxes" else [example(kind)]


def example(kind: str) -> Any:
    """A message for the topic that is flooded."""
    import moving_squares
    from geometry_msgs.msg import Point, PointStamped, Pose, PoseArray, Transform
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, MultiDOFJointState

    from sam2_ros.messages import fill_compressed, fill_image
    from sam2_ros.msg import Prompt

    makers = {
        "tf": lambda: MultiDOFJointState(
            joint_names=["base>camera", *(f"base>link_{n}" for n in range(19))],
            transforms=[Transform() for _ in range(20)],
        ),
        "camera_info": lambda: CameraInfo(d=[0.0] * 5),
        "detections": lambda: PoseArray(poses=[Pose() for _ in range(10)]),  # boxes without a size: nothing is found
        "clock": Clock,
        "point": lambda: Point(x=-1.0, y=-1.0),  # outside of the image: it is refused
        "clicked_point": lambda: PointStamped(point=Point(x=-1.0, y=-1.0)),
        "prompt": lambda: Prompt(points=[Point(x=-1.0, y=-1.0)], labels=[1]),
        "image": lambda: fill_image(Image(), moving_squares.scene(0, SIZE)),
        "compressed": lambda: fill_compressed(CompressedImage(), moving_squares.scene(0, SIZE), 95),
    }
    return makers[kind]()


def publish(topic: str, kind: str) -> Callable[[], None]:
    """What publishes the next message, as bytes."""
    import rclpy
    from rclpy.qos import QoSProfile
    from rclpy.serialization import serialize_message

    messages = examples(kind)
    publisher = rclpy.create_node("flood").create_publisher(type(messages[0]), topic, QoSProfile(depth=100))
    contents = itertools.cycle(map(serialize_message, messages))
    return lambda: publisher.publish(next(contents))


def call(service: str) -> Callable[[], None]:
    """What calls the service that lists the objects; nobody waits for the answer."""
    import rclpy

    from sam2_ros.srv import List

    client = rclpy.create_node("flood").create_client(List, service)
    client.wait_for_service(PATIENCE)
    return lambda: client.remove_pending_request(client.call_async(List.Request()))


def flood(topic: str, kind: str, rate: float) -> None:
    """Publish messages or call, ``rate`` times a second."""
    import rclpy

    send, when = call(topic) if kind == "calls" else publish(topic, kind), time.monotonic()
    while rclpy.ok():
        send()
        when = max(when + 1 / rate, time.monotonic() - 0.1)  # what it could not keep up with is not made up for
        time.sleep(max(when - time.monotonic(), 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="role", required=True)
    one = roles.add_parser("camera")
    one.add_argument("topic")
    one.add_argument("--rate", type=float, default=15.0)
    one.add_argument("--restart", type=float, default=1e9)
    one.add_argument("--jump", type=float, default=1e9)
    one.add_argument("--width", type=int, default=SIZE[1])
    one.add_argument("--height", type=int, default=SIZE[0])
    one.add_argument("--depth", action="store_true")
    one = roles.add_parser("echo")
    one.add_argument("topic")
    one.add_argument("masks")
    one = roles.add_parser("flood")
    for name, convert in (("topic", str), ("kind", str), ("rate", float)):
        one.add_argument(name, type=convert)
    chosen = vars(parser.parse_args())
    import rclpy

    from sam2_ros.ros.fastdds_profile import make_room

    make_room()
    rclpy.init(args=[])
    act: dict[str, Callable[..., None]] = {"camera": camera, "echo": echo, "flood": flood}
    try:
        act[chosen.pop("role")](**chosen)
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.path[:0] = [str(TREE), str(TREE / "test")]
    main()
