from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from geometry.analytic import camera, camera_info

from sam2_ros.errors import InvalidInput, InvalidPrompt
from sam2_ros.geometry.camera import Camera

BARREL = (-0.3, 0.1, 0.001, -0.002, 0.0)


def there_and_back(of, rows, columns, depth=1.3):
    points = of.points(np.array(rows), np.array(columns), np.full(len(rows), depth, np.float32))
    return points, np.array([of.pixel(point.astype(float)) for point in points.T])


@pytest.mark.parametrize(
    "lens, model",
    [
        ((), "plumb_bob"),
        (BARREL, "plumb_bob"),
        ((*BARREL, 0.01, 0.0, 0.0), "rational_polynomial"),
        ((0.02, -0.01, 0.003, 0.0), "equidistant"),
    ],
)
def test_a_pixel_becomes_a_point_that_is_seen_at_that_pixel(lens, model):
    rows, columns = [0, 120, 239, 50], [0, 160, 319, 250]
    points, pixels = there_and_back(camera(lens=lens, model=model), rows, columns)
    assert np.abs(pixels - np.stack((columns, rows), axis=1)).max() < 0.05
    assert (points[2] == np.float32(1.3)).all()


def test_the_pixel_in_the_middle_looks_straight_ahead():
    point = camera((3, 5)).points(np.array(1), np.array(2), np.array(2.0))
    assert point.tolist() == [0, 0, 2]


def test_a_fisheye_lens_bends_without_coefficients_too():
    of = camera(focal=150.0, lens=(0.0, 0.0, 0.0, 0.0), model="equidistant")
    point = of.points(np.array(120), np.array(310), np.array(1.0))
    assert point[0] == pytest.approx(np.tan((310 - 159.5) / 150), rel=1e-3)


def test_what_the_lens_model_does_not_describe_has_no_depth():
    of = camera(focal=125.0, lens=(-0.6, 0.0, 0.0, 0.0, 0.0))  # its polynomial turns back inside the picture
    depth = of.seen(np.ones(of.size, np.float32), (slice(None), slice(None)))
    assert depth[120, 160] == 1 and depth[0, 0] == 0


def test_coefficients_that_opencv_does_not_know_are_refused():
    with pytest.raises(InvalidInput, match="7 lens coefficients of 'plumb_bob' cannot be used"):
        camera(lens=[0.1] * 7).points(np.array(1), np.array(1), np.array(1.0))


def test_a_lens_without_an_image_size_is_refused():
    with pytest.raises(InvalidInput, match="no image size"):
        Camera(None, np.eye(3), BARREL).points(np.array(1), np.array(1), np.array(1.0))


# -- from camera_info ----------------------------------------------------------------------------


def test_the_raw_image_has_k_and_the_lens_and_the_rectified_one_p():
    info = camera_info((480, 640), 600, d=list(BARREL), p=[500, 0, 300, 0, 0, 510, 200, 0, 0, 0, 1, 0])
    raw, rectified = Camera.of(info), Camera.of(info, rectified=True)
    assert raw.matrix[0, 0] == 600 and raw.bends and raw.size == (480, 640)
    assert rectified.matrix.tolist() == [[500, 0, 300], [0, 510, 200], [0, 0, 1]] and not rectified.bends


def test_binning_and_a_region_of_interest_move_the_pixels_as_in_rep_104():
    region = SimpleNamespace(x_offset=100, y_offset=60, width=400, height=300)
    whole = Camera.of(camera_info((480, 640)))
    part = Camera.of(camera_info((480, 640), binning_x=2, binning_y=2, roi=region))
    assert part.size == (150, 200)
    # The middle of the four pixels (300, 200) to (301, 201) of the sensor is one pixel of the image.
    point = np.linalg.inv(whole.matrix) @ (300.5, 200.5, 1)
    assert part.pixel(point) == pytest.approx(((300 - 100) / 2, (200 - 60) / 2))


def test_the_right_eye_of_a_stereo_camera_measures_from_the_left_one():
    info = camera_info((480, 640), p=[600, 0, 319.5, -60, 0, 600, 239.5, 0, 0, 0, 1, 0])  # 0.1 m to the right
    right = Camera.of(info, rectified=True)
    ahead = right.points(np.array(239.5), np.array(319.5), np.array(2.0))
    assert ahead == pytest.approx([0.1, 0, 2])
    assert right.pixel(np.array([0.1, 0, 2.0])) == pytest.approx((319.5, 239.5))


@pytest.mark.parametrize("changes", [{"k": [0] * 9}, {"k": [np.nan] * 9}, {"p": [0] * 12}])
def test_camera_info_without_a_calibration_is_refused(changes):
    with pytest.raises(InvalidInput, match="no calibration"):
        Camera.of(camera_info(**changes), rectified="p" in changes)


def test_a_focal_length_that_puts_the_camera_nowhere_is_refused():
    info = camera_info(p=[2e-297, 0, 319.5, 5.0e11, 0, 600, 239.5, 0, 0, 0, 1, 0])
    with pytest.raises(InvalidInput, match="focal lengths of 2e-297 and 600.0 pixels"):
        Camera.of(info, rectified=True)


def test_camera_info_that_names_no_size_takes_that_of_the_images():
    unknown = Camera.of(camera_info(width=0, height=0))
    assert unknown.size is None and unknown.sized((4, 5)).size == (4, 5)


def test_half_the_size_shows_the_same():
    whole = camera((480, 640), 600)
    half = whole.resized((240, 320))
    point = np.array([0.2, -0.1, 1.5])
    x, y = whole.pixel(point)
    assert half.pixel(point) == pytest.approx(((x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5))
    assert whole.resized((480, 640)) is whole and whole.resized((240, 320)) is half


# -- points that have no pixel -------------------------------------------------------------------


@pytest.mark.parametrize("point", [(0, 0, 0), (0, 0, -1), (np.nan, 0, 1)])
def test_a_point_that_is_not_in_front_has_no_pixel(point):
    with pytest.raises(InvalidPrompt, match="not in front of the camera"):
        camera().pixel(np.array(point, float))


def test_a_point_beyond_the_lens_model_has_no_pixel():
    with pytest.raises(InvalidPrompt, match="farther to the side than the lens sees"):
        camera(lens=(-0.6, 0.0, 0.0, 0.0, 0.0)).pixel(np.array([5.0, 0, 1]))


def test_opencv_sees_a_point_at_the_same_pixel():
    of = camera(lens=BARREL)
    point = np.array([[[0.3, -0.2, 1.2]]])
    seen, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), of.matrix, of.lens)
    assert of.pixel(point[0, 0]) == pytest.approx(seen[0, 0])
