"""Processes of the command line, and a node beside them that publishes images."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy")

from recordings.bags import picture
from ros_bench import PATIENCE, wait_until
from sensor_msgs.msg import Image

from sam2_ros.messages import fill_image
from sam2_ros.recordings.bags.reader import BagReader

ROOT = Path(__file__).parents[1]


def start(*arguments, program=("-m", "sam2_ros")):
    """A child process whose output is kept."""
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
    )


def wait_for_recorder(node):
    """Wait for the recorder's last subscription, and until its publisher has seen it, too: others see it first."""
    wait_until(lambda: node.count_subscribers("/sam2_ros/prompt/applied"), "the recorder's last subscription")
    time.sleep(0.5)


def messages(bag, topic):
    source = BagReader(bag)
    return [one.decode() for one in source.messages({topic}, [])]


def publish_until(node, publisher, condition, make):
    """Publish numbered messages until a condition holds; returns how many."""
    deadline, count = time.monotonic() + PATIENCE, 0
    while not condition(count):
        assert time.monotonic() < deadline
        publisher.publish(make(count))
        count += 1
        rclpy.spin_once(node, timeout_sec=0.02)
    return count


def image(index):
    message = fill_image(Image(), picture(index % 20))
    message.header.stamp.sec = index + 1
    return message
