"""cv_bridge, by a stand-in: see stand_ins/for_cv_bridge/cv_bridge.py."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sensor_msgs")

from sensor_msgs.msg import Image

from sam2_ros.errors import InvalidImage
from sam2_ros.messages import fill_image, frame_from
from sam2_ros.ros import bridge

STAND_IN = Path(__file__).parent / "stand_ins" / "for_cv_bridge"
KNOWN = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "yuv422", "bayer_rggb8"]


@pytest.fixture
def installed(monkeypatch):
    """The stand-in is installed; its list of calls."""
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    import cv_bridge

    yield cv_bridge.calls
    sys.modules.pop("cv_bridge", None)


def message_of(encoding, pad=0, height=6, width=8):
    step = width * bridge.PIXEL.get(encoding, 2) + pad
    message = Image(height=height, width=width, encoding=encoding, step=step)
    message.data.frombytes(np.random.default_rng(1).bytes(height * step))
    return message


def test_nothing_is_said_where_no_cv_bridge_is_installed():
    said = []
    found = bridge.find(said.append)
    assert said == []
    assert found.to_rgb(message_of("rgb8")) is None


def test_a_cv_bridge_that_works_converts_the_encodings_that_both_know(installed):
    said = []
    found = bridge.find(said.append)
    assert said == [f"cv_bridge converts images ({', '.join(KNOWN)})"]
    for encoding in KNOWN:
        message = message_of(encoding)
        assert (frame_from(message, to_rgb=found.to_rgb).image == frame_from(message).image).all()
    assert installed == [f"imgmsg_to_cv2 {encoding}" for encoding in KNOWN]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("crash", "it ends the process: Segmentation fault"), ("raise", "KeyError: 16")],
)
def test_a_cv_bridge_that_does_not_work_is_not_used_and_the_reason_is_said(installed, monkeypatch, fault, sentence):
    monkeypatch.setenv("CV_BRIDGE", fault)
    said = []
    assert bridge.find(said.append).to_rgb(message_of("rgb8")) is None
    assert said == [f"cv_bridge is installed, but cannot be used ({sentence}); images are converted without it"]


@pytest.mark.parametrize("fault", ["differ", "partial"])
def test_what_it_does_not_convert_as_we_do_is_not_left_to_it(installed, monkeypatch, fault):
    monkeypatch.setenv("CV_BRIDGE", fault)
    assert bridge.alike() == ["rgb8"]


@pytest.mark.parametrize(
    ("encoding", "pad"), [("mono16", 0), ("8UC3", 8), ("bayer_gbrg8", 0), ("bgr8", 3), ("mono8", 5)]
)
def test_what_it_may_not_know_is_converted_without_it(installed, encoding, pad):
    message = message_of(encoding, pad)
    one = bridge.Bridge(KNOWN)
    assert (frame_from(message, to_rgb=one.to_rgb).image == frame_from(message).image).all()
    assert installed == []


def test_an_image_that_it_refuses_is_converted_without_it(installed, monkeypatch):
    one, message = bridge.Bridge(KNOWN), message_of("bgr8")
    monkeypatch.setenv("CV_BRIDGE", "raise")
    assert (frame_from(message, to_rgb=one.to_rgb).image == frame_from(message).image).all()
    assert installed == ["imgmsg_to_cv2 bgr8"]


def test_it_is_not_asked_about_an_image_whose_size_is_wrong(installed):
    message = message_of("bgr8")
    message.height += 1
    with pytest.raises(InvalidImage, match="bytes"):
        frame_from(message, to_rgb=bridge.Bridge(KNOWN).to_rgb)
    assert installed == []


@pytest.mark.parametrize(
    ("image", "calls"),
    [
        (np.arange(48, dtype=np.uint8).reshape(6, 8), ["cv2_to_imgmsg mono8"]),
        (np.arange(144, dtype=np.uint8).reshape(6, 8, 3), ["cv2_to_imgmsg rgb8"]),
        (np.arange(48, dtype=np.uint16).reshape(6, 8), []),
    ],
    ids=["mono8", "rgb8", "mono16"],
)
def test_images_of_eight_bits_are_written_by_it_with_the_header_that_was_given(installed, image, calls):
    header = Image().header
    header.frame_id = "camera"
    made = bridge.Bridge(KNOWN).fill(Image(header=header), image)
    assert made == fill_image(Image(header=header), image)
    assert installed == calls


def test_a_node_says_that_it_uses_it_and_does_so_in_both_directions(installed):
    pytest.importorskip("rclpy")
    from ros_bench import Bench, labels_in

    node = Bench()
    try:
        node.connect()
        node.says("cv_bridge converts images", "bgr8")
        node.start()
        node.show_next()
        assert labels_in(node.mask(node.clock)).max() == 1
    finally:
        node.close()
    assert {"imgmsg_to_cv2 rgb8", "cv2_to_imgmsg mono8"} <= set(installed)
