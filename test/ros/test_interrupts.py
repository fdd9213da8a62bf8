"""Ctrl-C is left to ROS; that this ends the node and the recorder is tested with their processes."""

import signal

import pytest

rclpy = pytest.importorskip("rclpy")

from ros_bench import wait_until  # noqa: E402  (before rclpy: it chooses a domain)

from sam2_ros.ros.interrupts import Interrupts  # noqa: E402


def test_it_is_a_keyboard_interrupt_until_it_is_left_to_ros():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        rclpy.init()
        try:
            interrupts.leave_to_ros()
            signal.raise_signal(signal.SIGINT)
            wait_until(lambda: not rclpy.ok(), "ROS to shut down")
            signal.raise_signal(signal.SIGINT)  # of somebody who does not want to wait
        finally:
            rclpy.try_shutdown()
    assert signal.getsignal(signal.SIGINT) == before
