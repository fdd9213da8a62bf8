"""A run of a real node: recorded, replayed offline and on the clock, and played to a node again."""

import contextlib
import signal
import time

import pytest
import torch

rclpy = pytest.importorskip("rclpy")

from live_bench import image, messages, publish_until, start, wait_for_recorder
from rclpy.qos import QoSProfile
from ros_bench import PATIENCE, wait_until
from run_command import run_command
from sensor_msgs.msg import Image

from sam2_ros.model.checkpoint import save
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST


@contextlib.contextmanager
def recorded(bag, weights):
    """A real node with a small model, and a recorder; both are interrupted at the end."""
    children = [
        start(
            "node",
            "--ros-args",
            "-p",
            f"model:={weights}",
            "-p",
            "threads:=1",
            "-p",
            "device:=cpu",
            "-p",
            "prompt_tolerance:=2.0",
        ),  # a busy machine drops many images
        start("record", "--out", bag),
    ]
    try:
        yield
        time.sleep(2.0)  # the last messages are on their way
    finally:
        for child in reversed(children):
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=PATIENCE)
    assert [child.returncode for child in children] == [0, 0], output


def operate(node, publisher):
    """Two objects, a correction of the first, the second removed: while a camera runs at some 20 images/s."""
    from geometry_msgs.msg import Point

    from sam2_ros.msg import Box, Prompt
    from sam2_ros.srv import Prompt as PromptService
    from sam2_ros.srv import Remove

    def now(index):
        message = image(index)
        message.header.stamp = node.get_clock().now().to_msg()
        time.sleep(0.03)
        return message

    clients = {
        kind: node.create_client(kind, f"/sam2_ros/{name}")
        for kind, name in ((PromptService, "prompt"), (Remove, "remove"))
    }
    wait_until(lambda: publisher.get_subscription_count() >= 2, "node and recorder")
    wait_until(lambda: all(client.service_is_ready() for client in clients.values()), "the services")
    wait_for_recorder(node)
    publish_until(node, publisher, lambda done: done >= 5, now)
    for kind, request in (
        (PromptService, dict(prompt=Prompt(name="left", points=[Point(x=10.0, y=20.0)], labels=[1]))),
        (PromptService, dict(prompt=Prompt(name="right", box=[Box(x0=30.0, y0=5.0, x1=60.0, y1=40.0)]))),
        (PromptService, dict(prompt=Prompt(name="left", points=[Point(x=50.0, y=40.0)], labels=[0]))),
        (Remove, dict(name="right")),
    ):
        answer = clients[kind].call_async(kind.Request(**request))
        publish_until(node, publisher, lambda done, answer=answer: answer.done() and done >= 5, now)
        assert answer.result().success, answer.result().message


def row(message):
    """(names, prompted frames of "left"), of a TrackedObjectArray."""
    return tuple(one.name for one in message.objects), *(one.prompted_frames for one in message.objects[:1])


def listed(bag, topic):
    """The rows of all messages as they went by, repetitions left out."""
    rows = [row(message) for message in messages(bag, topic)]
    return [row for index, row in enumerate(rows) if index == 0 or rows[index - 1] != row]


def test_a_run_of_a_real_node_is_replayed_offline_on_the_clock_and_live(tmp_path, node):
    from sam2_ros.msg import TrackedObjectArray

    torch.manual_seed(0)
    weights = tmp_path / "random.safetensors"
    save(SAM2(TEST), weights)
    publisher = node.create_publisher(Image, "/image", QoSProfile(depth=50))
    with recorded(tmp_path / "bag", weights):
        operate(node, publisher)
    happened = [((),), (("left",), 1), (("left", "right"), 1), (("left", "right"), 2), (("left",), 2)]
    assert listed(tmp_path / "bag", "/sam2_ros/objects") == happened

    for way, options in (("once/out", []), ("again/out", []), ("clock", ["--on-clock"])):
        assert (
            run_command(
                "replay", tmp_path / "bag", "--out", tmp_path / way, "--model", weights, "--threads", "1", *options
            )
            == 0
        )
        found = listed(tmp_path / way, "/sam2_ros_replay/objects")
        # On the clock a slow machine may see two things happen at once.
        assert found[-1] == happened[-1] and (options or found[-4:] == happened[-4:])
    assert (tmp_path / "once/out/out.mcap").read_bytes() == (tmp_path / "again/out/out.mcap").read_bytes()

    node.destroy_publisher(publisher)
    heard = []
    node.create_subscription(TrackedObjectArray, "/sam2_ros/objects", heard.append, 50)

    def last():
        rclpy.spin_once(node, timeout_sec=0.05)
        return row(heard[-1]) if heard else None

    with recorded(tmp_path / "live", weights):
        wait_until(lambda: node.count_subscribers("/sam2_ros/objects") >= 2, "this test and the recorder")
        player = start("play", tmp_path / "bag")
        output, _ = player.communicate(timeout=PATIENCE)
        assert player.returncode == 0, output
        wait_until(lambda: last() == happened[3], "the objects before the removal, which is not played")
    assert listed(tmp_path / "live", "/sam2_ros/objects")[-1] == happened[3]
