"""A camera that plays a recording once: images on ``camera/image`` at the rate of the recording.

    python -m sam2_ros.demo.camera FOLDER RATE

RATE is in images per second.  It waits for a subscriber, prints the stamp of its first image in
nanoseconds, and ends with the recording.  Like a real camera it publishes best-effort, stamps
each image when it is taken, and never waits for a slow subscriber.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from sam2_ros import recordings
from sam2_ros.messages import fill_image
from sam2_ros.ros.fastdds_profile import make_room

TOPIC = "camera/image"
#: Seconds to wait for a subscriber; after that it starts without one.
PATIENCE = 30.0


def play(source: Path, rate: float) -> None:
    """Publish every image of ``source`` on time, ``rate`` images per second."""
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    messages = [_message(frame.image) for frame in recordings.open(source)]  # decoding must not delay the clock
    period = round(1e9 / rate)
    deadline = time.monotonic() + PATIENCE
    while not publisher.get_subscription_count() and time.monotonic() < deadline:
        time.sleep(0.05)
    start = node.get_clock().now().nanoseconds + period
    print(start, flush=True)
    for index, message in enumerate(messages):
        stamp = start + index * period
        time.sleep(max(stamp - node.get_clock().now().nanoseconds, 0) / 1e9)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        publisher.publish(message)
    time.sleep(1.0)  # the last image is on its way
    node.destroy_node()


def _message(image: np.ndarray) -> Image:
    message = fill_image(Image(), image)
    message.header.frame_id = "camera_optical_frame"
    return message


if __name__ == "__main__":
    make_room()
    rclpy.init()
    try:
        play(Path(sys.argv[1]), float(sys.argv[2]))
    except KeyboardInterrupt:
        pass
    finally:
        rclpy.try_shutdown()
