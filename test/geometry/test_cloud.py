import numpy as np
import pytest
from geometry.analytic import camera

from sam2_ros.geometry.cloud import cloud


def small():
    """A 4 x 6 image with two objects, one pixel of which has no depth."""
    labels = np.zeros((4, 6), np.uint16)
    labels[1, 1:3], labels[2, 4] = 1, 300
    depth = np.full((4, 6), 2.0, np.float32)
    depth[1, 2] = 0
    image = np.zeros((4, 6, 3), np.uint8)
    image[1, 1], image[2, 4] = (255, 0, 1), (0, 16, 0)
    return labels, depth, camera((4, 6), 10.0), image


def test_each_pixel_of_an_object_that_has_depth_is_a_point():
    points = cloud(*small())
    assert points["label"].tolist() == [1, 300] and points["rgb"].tolist() == [0xFF0001, 0x001000]
    assert points["x"] == pytest.approx([(1 - 2.5) / 5, (4 - 2.5) / 5]) and (points["z"] == 2).all()


def test_an_organized_cloud_has_a_point_for_each_pixel():
    points = cloud(*small(), organized=True)
    assert points.shape == (4, 6) and np.isfinite(points["x"]).sum() == 2
    assert points[2, 4]["label"] == 300 and points[1, 2]["label"] == 0 and np.isnan(points[1, 2]["z"])


def test_depth_of_another_size_gives_as_many_points_as_it_has_pixels():
    labels, _, of, image = small()
    points = cloud(labels, np.full((8, 12), 2.0, np.float32), of, image)
    assert len(points) == 4 * 3 and points["x"].min() == pytest.approx((1 - 0.25 - 2.5) / 5)


def test_without_objects_there_are_no_points():
    labels, depth, of, image = small()
    assert len(cloud(labels * 0, depth, of, image)) == 0
