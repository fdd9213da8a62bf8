"""Ctrl-C ends what is run, whenever it comes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from ros_bench import PATIENCE, wait_until  # noqa: E402  (before rclpy: it chooses a domain)
from rclpy.qos import QoSProfile  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from sam2_ros.ros.interrupts import Interrupts  # noqa: E402

HERE = Path(__file__).parent


@pytest.fixture
def run():
    """Runs a program that is interrupted while its main thread holds the lock of a Condition."""
    running = []

    def start(*command):
        running.append(subprocess.Popen([sys.executable, HERE / "interrupted.py", *map(str, command)], text=True,
                                        cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


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


def test_a_node_ends_though_it_is_interrupted_where_its_executor_starts_a_callback(run):
    node = run("acquire", 5, HERE / "colour_node.py")
    output, _ = node.communicate(timeout=PATIENCE)
    assert node.returncode == 0, output
    assert "ready" in output and "Traceback" not in output


def test_a_recorder_ends_though_it_is_interrupted_where_it_takes_a_message(run, tmp_path):
    rclpy.init()
    talker = rclpy.create_node("talker")
    try:
        publisher = talker.create_publisher(String, "/test_text", QoSProfile(depth=10))
        recorder = run("put", 1, HERE.parents[1] / "sam2_ros/__main__.py", "record", "--out", tmp_path / "bag", "--node", "",
                       "/test_text")
        wait_until(lambda: publisher.get_subscription_count(), "the recorder")
        publisher.publish(String(data="x"))
        output, _ = recorder.communicate(timeout=PATIENCE)
        assert recorder.returncode == 0 and "1 /test_text" in output, output
    finally:
        talker.destroy_node()
        rclpy.try_shutdown()
