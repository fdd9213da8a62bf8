"""A camera as a process of its own: squares that move, on a real topic.

python camera_process.py TOPIC --count 100 --size 640x480 --best-effort --compressed
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import moving_squares
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from sam2_ros.messages import fill_compressed, fill_image, seconds_and_rest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("topic")
    parser.add_argument("--count", type=int, default=10**6)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--compressed", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    rclpy.init()
    node = rclpy.create_node("camera")
    reliability = ReliabilityPolicy.BEST_EFFORT if options.best_effort else ReliabilityPolicy.RELIABLE
    kind, topic = (CompressedImage, options.topic + "/compressed") if options.compressed else (Image, options.topic)
    publisher = node.create_publisher(kind, topic, QoSProfile(depth=100, reliability=reliability))
    while rclpy.ok() and not publisher.get_subscription_count():
        time.sleep(0.01)
    for number in range(1, options.count + 1):
        image = moving_squares.scene(number, (height, width))
        message = fill_compressed(kind(), image, 95) if options.compressed else fill_image(kind(), image)
        message.header.frame_id = "camera"
        message.header.stamp.sec, message.header.stamp.nanosec = seconds_and_rest(number * moving_squares.PERIOD)
        publisher.publish(message)
        time.sleep(moving_squares.PERIOD / 1e9)
    while rclpy.ok():  # what was published last is still on its way
        time.sleep(0.05)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
