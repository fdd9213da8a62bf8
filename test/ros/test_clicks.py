from types import SimpleNamespace as Shape

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PointStamped, Quaternion, Transform, Vector3
from sensor_msgs.msg import CameraInfo

from sam2_ros.errors import InvalidPrompt, MissingDependency
from sam2_ros.ros.clicks import Clicks, moved, project

POSITION = np.array([0.2, -0.1, 2.0])


def info(**changes):
    message = CameraInfo(
        k=[500.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0],
        p=[400.0, 0.0, 300.0, 0.0, 0.0, 400.0, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        distortion_model="plumb_bob",
    )
    message.header.frame_id = "optical"
    for name, value in changes.items():
        setattr(message, name, value)
    return message


def made(camera_info=None, image_frame="optical"):
    """Clicks without a node."""
    one = object.__new__(Clicks)
    one._info, one._transforms = camera_info, None
    one._camera, one._parameters = Shape(frame_id=image_frame), Shape(depth=Shape(image_is_rectified=False))
    return one


def point(x, y, z=0.0, frame=""):
    message = PointStamped()
    message.header.frame_id = frame
    message.point.x, message.point.y, message.point.z = float(x), float(y), float(z)
    return message


def test_a_point_in_front_of_the_camera_is_projected_through_k():
    assert project(POSITION, info(), rectified=False) == pytest.approx((370.0, 210.0))


def test_a_rectified_image_is_projected_through_p():
    assert project(POSITION, info(), rectified=True) == pytest.approx((340.0, 180.0))


def test_the_lens_bends_the_ray_as_opencv_says():
    lens = [-0.3, 0.1, 0.001, -0.002, 0.05]
    camera = np.reshape(info().k, (3, 3))
    expected, _ = cv2.projectPoints(POSITION[None], np.zeros(3), np.zeros(3), camera, np.array(lens))
    pixel = project(POSITION, info(d=lens), rectified=False)
    assert pixel == pytest.approx(tuple(expected.reshape(2)))
    assert pixel != pytest.approx((370.0, 210.0), abs=0.1)


@pytest.mark.parametrize(("lens", "degrees"), [([0.1, -0.25, 0, 0, 0], 55), ([-0.41, 0.19, 0, 0, -0.05], 60)])
def test_what_a_lens_polynomial_folds_back_into_the_image_is_refused(lens, degrees):
    aside = np.array([np.tan(np.deg2rad(degrees)), 0.0, 1.0])
    with pytest.raises(InvalidPrompt, match="farther to the side than the lens sees"):
        project(aside, info(d=[float(one) for one in lens]), rectified=False)
    for inside in (5, 25):
        project(np.array([np.tan(np.deg2rad(inside)), 0.0, 1.0]), info(d=[float(one) for one in lens]), rectified=False)


def test_a_fisheye_bends_it_by_its_angle():
    lens = [0.1, 0.01, 0.0, 0.0]
    radius = np.hypot(0.1, 0.05)
    angle = np.arctan(radius)
    scale = angle * (1 + 0.1 * angle**2 + 0.01 * angle**4) / radius
    pixel = project(POSITION, info(d=lens, distortion_model="equidistant"), rectified=False)
    assert pixel == pytest.approx((320 + 500 * 0.1 * scale, 240 - 600 * 0.05 * scale))


def test_a_fisheye_whose_coefficients_are_zero_is_no_pinhole():
    x, _ = project(np.array([0.5, 0.0, 1.0]), info(d=[0.0] * 4, distortion_model="equidistant"), rectified=False)
    assert x == pytest.approx(320 + 500 * np.arctan(0.5))


def test_a_lens_without_coefficients_is_a_pinhole():
    assert project(POSITION, info(d=[0.0] * 5), rectified=False) == pytest.approx((370.0, 210.0))


def test_binning_and_region_of_interest_move_the_pixel():
    binned = info(binning_x=2, binning_y=4)
    binned.roi.x_offset, binned.roi.y_offset = 100, 10
    assert project(POSITION, binned, rectified=False) == pytest.approx(((270.5) / 2 - 0.5, 200.5 / 4 - 0.5))


@pytest.mark.parametrize("position", [(0.0, 0.0, -1.0), (0.0, 0.0, 0.0), (np.nan, 0.0, 1.0), (0.0, 0.0, np.inf)])
def test_a_point_that_no_pixel_shows_is_refused(position):
    with pytest.raises(InvalidPrompt, match="not in front of the camera"):
        project(np.array(position), info(), rectified=False)


def test_a_camera_without_calibration_is_refused():
    with pytest.raises(InvalidPrompt, match="no calibration"):
        project(POSITION, CameraInfo(), rectified=False)


def test_coefficients_that_opencv_does_not_know_are_refused():
    with pytest.raises(InvalidPrompt, match="3 lens coefficients of 'odd'"):
        project(POSITION, info(d=[0.1, 0.2, 0.3], distortion_model="odd"), rectified=False)


def test_a_transform_turns_and_then_shifts():
    quarter = np.sqrt(0.5)  # a quarter turn about z takes x to y
    transform = Transform(rotation=Quaternion(z=quarter, w=quarter), translation=Vector3(x=1.0, y=2.0, z=3.0))
    assert moved(np.array([1.0, 0.0, 0.0]), transform) == pytest.approx([1.0, 3.0, 3.0])


def test_a_point_without_a_frame_is_a_pixel():
    assert made().pixel(point(12, 34, z=5)) == (12, 34)


def test_a_flat_point_in_the_frame_of_the_image_is_a_pixel():
    assert made().pixel(point(12, 34, frame="optical")) == (12, 34)


def test_a_deep_point_in_the_frame_of_the_image_is_projected():
    assert made(info()).pixel(point(*POSITION, frame="optical")) == pytest.approx((370.0, 210.0))


def test_the_frame_of_camera_info_is_the_frame_of_the_image_too():
    assert made(info(), image_frame="").pixel(point(*POSITION, frame="optical")) == pytest.approx((370.0, 210.0))


def test_a_point_in_space_needs_camera_info():
    with pytest.raises(InvalidPrompt, match="needs camera_info"):
        made().pixel(point(1, 2, 3, frame="map"))


def test_a_point_in_another_frame_says_that_tf2_is_missing():
    with pytest.raises(MissingDependency, match="'map' needs tf2_ros, which is not installed"):
        made(info()).pixel(point(1, 2, 3, frame="map"))


class Transforms:
    """Knows one transform."""

    def between(self, target, source, stamp):
        if (target, source) != ("optical", "map"):
            raise InvalidPrompt(f"there is no transform from frame {source!r} to {target!r}")
        return Transform(rotation=Quaternion(w=1.0), translation=Vector3(z=1.0))


def test_a_point_in_another_frame_goes_through_tf2():
    one = made(info())
    one._transforms = Transforms()
    assert one.pixel(point(0.2, -0.1, 1.0, frame="map")) == pytest.approx((370.0, 210.0))
    assert one.pixel(point(0.2, -0.1, 1.0, frame="/map")) == pytest.approx((370.0, 210.0))  # as ROS 1 wrote it
    with pytest.raises(InvalidPrompt, match="from frame 'lost' to 'optical'"):
        one.pixel(point(0.2, -0.1, 1.0, frame="lost"))


def test_without_a_frame_in_camera_info_the_frame_of_the_image_counts():
    nameless = info()
    nameless.header.frame_id = ""
    one = made(nameless)
    one._transforms = Transforms()
    assert one.pixel(point(0.2, -0.1, 1.0, frame="map")) == pytest.approx((370.0, 210.0))


def test_a_camera_without_any_frame_is_named_as_the_reason():
    nameless = info()
    nameless.header.frame_id = ""
    one = made(nameless, image_frame="")
    one._transforms = Transforms()
    with pytest.raises(InvalidPrompt, match="neither camera_info nor the images have a frame_id"):
        one.pixel(point(0.2, -0.1, 1.0, frame="map"))
