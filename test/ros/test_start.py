"""ROS starts, or says in one sentence why not; names are those that ROS would make of them."""

import signal
import time
from types import SimpleNamespace

import pytest

rclpy = pytest.importorskip("rclpy")

from sam2_ros.errors import CannotStart, InvalidInput, Sam2RosError
from sam2_ros.interrupts import Interrupts
from sam2_ros.ros.start import _sentence, creating, full_node, full_topic, running_node, start, stop

NODE = SimpleNamespace(get_name=lambda: "recorder", get_namespace=lambda: "/")


@pytest.mark.parametrize(
    "name, full",
    [
        ("camera/image", "/camera/image"),
        ("/camera/image", "/camera/image"),
        ("tf", "/tf"),
        ("~/about", "/recorder/about"),
    ],
)
def test_a_relative_topic_is_taken_as_ros_takes_it(name, full):
    assert full_topic(name, NODE) == full


@pytest.mark.parametrize("name", ["", "/camera/", "/a//b", "my camera", "/1st", "/{wrong}"])
def test_a_topic_that_cannot_be_is_refused_by_its_name(name):
    with pytest.raises(InvalidInput, match="not a valid name of a topic"):
        full_topic(name, NODE)


def test_a_node_is_named_in_full_or_refused():
    assert [full_node(name) for name in ("sam2_ros", "/sam2_ros", "arm/sam2_ros")] == [
        "/sam2_ros",
        "/sam2_ros",
        "/arm/sam2_ros",
    ]
    for name in ("/my node", "/arm/", "/", "/1st/sam2_ros"):
        with pytest.raises(InvalidInput, match="not a valid name of a node"):
            full_node(name)


@pytest.mark.parametrize(
    "arguments", [["-r", "foo"], ["--log-level", "nonsense"], ["--params-file"], ["--enclave", "x"]]
)
def test_arguments_that_ros_refuses_are_one_sentence_and_ros_can_start_later(arguments):
    with pytest.raises(CannotStart, match="ROS cannot start: "):
        start(["--ros-args", *arguments])
    start()
    rclpy.shutdown()


def test_two_nodes_of_one_kind_have_names_of_their_own():
    names = set()
    for _ in range(2):
        with Interrupts() as interrupts, running_node("recorder", interrupts) as node:
            names.add(node.get_name())
    assert len(names) == 2 and all(name.startswith("recorder_") for name in names)
    assert not rclpy.ok()


def test_a_signal_that_came_while_ros_was_started_ends_it():
    with Interrupts() as interrupts:
        interrupts.came = 2
        with pytest.raises(KeyboardInterrupt), running_node("recorder", interrupts):
            raise AssertionError("nothing must be begun")
    assert not rclpy.ok()


def test_what_fails_because_a_signal_has_shut_ros_down_is_the_interruption():
    with pytest.raises(KeyboardInterrupt), Interrupts():
        start()
        signal.raise_signal(signal.SIGTERM)
        while rclpy.ok():
            time.sleep(0.01)
        rclpy.create_node("too_late")
    stop()


def test_only_what_ros_raises_is_its_fault():
    start()
    try:
        with pytest.raises(CannotStart, match="give one such as /arm"), creating():
            rclpy.create_node("x", namespace="/arm/", cli_args=["--ros-args", "-r", "__ns:=/arm/"])
        with pytest.raises(ZeroDivisionError), creating():
            raise ZeroDivisionError
    finally:
        rclpy.shutdown()


def test_a_log_folder_that_cannot_be_written_is_named_with_the_remedy():
    said = _sentence(
        RuntimeError("failed to initialize logging: Failed to create log directory '/x': 2, at /src/rcl.cpp:153")
    )
    assert isinstance(said, Sam2RosError)
    assert str(said) == (
        "ROS cannot start: failed to initialize logging: Failed to create log directory '/x': 2; "
        "set ROS_LOG_DIR to a folder that can be written"
    )
