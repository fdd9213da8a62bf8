"""ROS starts, or says in one sentence why not."""

import signal
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from sam2_ros.errors import CannotStart, Sam2RosError
from sam2_ros.interrupts import Interrupts
from sam2_ros.ros.startup import _sentence, creating, init, running_node, shutdown


@pytest.mark.parametrize(
    "arguments", [["-r", "foo"], ["--log-level", "nonsense"], ["--params-file"], ["--enclave", "x"]]
)
def test_arguments_that_ros_refuses_are_one_sentence_and_ros_can_start_later(arguments):
    with pytest.raises(CannotStart, match="ROS cannot start: "):
        init(["--ros-args", *arguments])
    init()
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
        init()
        signal.raise_signal(signal.SIGTERM)
        while rclpy.ok():
            time.sleep(0.01)
        rclpy.create_node("too_late")
    shutdown()


def test_only_what_ros_raises_is_its_fault():
    init()
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
