"""Camera messages on their way to the worker."""

from types import SimpleNamespace as Shape

import numpy as np
import pytest

pytest.importorskip("rclpy")

from fakes import RED, picture
from ros_bench import image_message, set_stamp
from std_msgs.msg import Header

from sam2_ros.errors import InvalidImage
from sam2_ros.messages import fill_compressed
from sam2_ros.ros.images import Images
from sam2_ros.stream.settings import SessionSettings


@pytest.fixture
def images():
    return Images(Shape(session=SessionSettings()))


def test_an_image_is_read_only_when_the_worker_asks_for_it(images):
    message = image_message(picture({RED: (0, 0)}), 7)
    arrived = images.arrived(message, at=5.0)
    assert (arrived.stamp, arrived.at) == (7, 5.0)
    message.encoding = "unknown"
    with pytest.raises(InvalidImage, match="unknown"):
        arrived.make()


def test_compressed_images_take_the_same_road(images):
    message = Shape(header=set_stamp(Header(), 9))
    frame = images.arrived(fill_compressed(message, picture({RED: (0, 0)})), at=5.0).make()
    assert (frame.stamp, frame.frame_id, frame.size) == (9, "camera", (64, 64))


def test_a_twelve_bit_camera_keeps_its_grey_levels_and_its_range_can_be_changed(images):
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)

    def levels(stamp):
        return len(np.unique(images.arrived(image_message(values, stamp), at=5.0).make().image))

    assert levels(1) > 200
    images._parameters.session = SessionSettings(image_range="full")
    assert levels(2) < 20
    images._parameters.session = SessionSettings(image_range="0,4095")
    assert levels(3) == 256
