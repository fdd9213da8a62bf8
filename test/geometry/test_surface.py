"""Planes, spheres and boxes whose surface is known exactly, with the faults that sensors have."""

import numpy as np
import pytest
from geometry.analytic import box, camera, plane, render, sphere, truth

from sam2_ros.geometry.surface import surfaces

WALL = plane((0, 0, 1), (0, 0, 1.6))
BEHIND = 2  # the label of what is rendered second


def turned(degrees, axis):
    angle, (x, y, z) = np.radians(degrees), np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def seen(*things, of=None):
    """Labels without the wall, depth with it."""
    labels, depth = render([*things, WALL], of)
    labels[labels == len(things) + 1] = 0
    return labels, depth


def within(point, expected, millimetres):
    return np.abs(np.asarray(point) - expected).max() < millimetres / 1e3


# -- exact surfaces ------------------------------------------------------------------------------


def test_the_face_of_a_box_is_measured_to_a_millimetre():
    labels, depth = seen(box((0.1, -0.05, 1.04), (0.2, 0.1, 0.08)))
    found = surfaces(labels, depth, camera())[1]
    # Of a box beside the axis a bit of its left side is seen, too.
    exact = truth(labels, depth, camera(), 1)
    assert within(found.position, np.median(exact, axis=1), 1.0) and within(found.position, (0.1, -0.05, 1.0), 2.0)
    assert within(found.centroid, exact.mean(axis=1), 3.0)
    assert within(found.low[:2], (0.0, -0.1), 5.0) and within(found.high[:2], (0.2, 0.0), 5.0)
    assert found.box_size[:2] == pytest.approx((0.2, 0.1), abs=0.006)
    assert found.share > 0.95 and found.spread < 0.005


def test_a_sphere_is_measured_where_it_is_seen():
    labels, depth = seen(sphere((-0.2, 0.1, 1.0), 0.08))
    found = surfaces(labels, depth, camera())[1]
    exact = truth(labels, depth, camera(), 1)
    assert within(found.position, np.median(exact, axis=1), 3.0)
    assert within(found.centroid, exact.mean(axis=1), 5.0)
    assert np.linalg.norm(found.position - (-0.2, 0.1, 1.0)) == pytest.approx(0.08, abs=0.02)


@pytest.mark.parametrize("tilt", [0, 30, 60])
def test_the_oriented_box_of_a_plate_lies_in_the_plate(tilt):
    turn = turned(tilt, (1, 0, 0)) @ turned(25, (0, 0, 1))
    labels, depth = seen(box((0.0, 0.0, 1.0), (0.3, 0.15, 0.002), turn))
    found = surfaces(labels, depth, camera())[1]
    assert abs(found.box_axes[:, 0] @ turn[:, 0]) > 0.999 and abs(found.box_axes[:, 2] @ turn[:, 2]) > 0.999
    assert found.box_size[:2] == pytest.approx((0.3, 0.15), abs=0.01) and found.box_size[2] < 0.005
    assert within(found.box_centre, (0, 0, 0.999), 4.0)


def test_the_axes_are_a_rotation_that_does_not_flip():
    for degrees in range(-80, 81, 20):
        labels, depth = seen(box((0.05, 0.0, 1.0), (0.3, 0.15, 0.01), turned(degrees, (0, 0, 1))))
        axes = surfaces(labels, depth, camera())[1].box_axes
        assert np.linalg.det(axes) == pytest.approx(1) and axes[0, 0] >= 0 and axes[2, 2] < 0


def test_an_object_that_recedes_keeps_its_far_end():
    of = camera((480, 640), 600)
    labels, depth = seen(box((0.0, 0.15, 1.0), (0.1, 0.02, 0.5)), of=of)  # seen from above, 0.75 m to 1.25 m
    found = surfaces(labels, depth, of)[1]
    # Two rows of pixels are left out at the far end, of 18 mm each.
    assert found.low[2] == pytest.approx(0.75, abs=0.01) and found.high[2] == pytest.approx(1.25, abs=0.045)


def test_a_thin_object_keeps_all_its_pixels():
    labels, depth = seen(box((0.0, 0.0, 0.9), (0.3, 0.005, 0.005)))  # a rod of three pixels
    found = surfaces(labels, depth, camera())[1]
    assert within(found.position, (0, 0, 0.8975), 2.0) and found.box_size[0] == pytest.approx(0.3, abs=0.01)


def test_a_small_object_keeps_all_its_pixels():
    labels, depth = np.zeros((240, 320), np.uint8), np.ones((240, 320), np.float32)
    labels[100:105, 100:105] = 1
    assert surfaces(labels, depth, camera())[1].pixels == 25


def test_what_leaves_the_picture_is_measured_up_to_its_border():
    labels, depth = seen(box((-0.5, 0.0, 1.0), (0.4, 0.2, 0.002)))
    found = surfaces(labels, depth, camera())[1]
    assert found.low[0] == pytest.approx(-159.5 / 300, abs=0.005)


def test_a_lens_bends_positions():
    of = camera(lens=(-0.2, 0.05, 0.0, 0.0, 0.0))
    labels, depth = np.zeros(of.size, np.uint8), np.ones(of.size, np.float32)
    labels[20:40, 20:40] = 1
    found = surfaces(labels, depth, of)[1]
    assert of.pixel(found.position.astype(float)) == pytest.approx((29.5, 29.5), abs=1.0)


# -- several -------------------------------------------------------------------------------------


def test_objects_are_measured_apart_whatever_their_ids():
    labels, depth = seen(sphere((-0.2, 0, 0.8), 0.05), sphere((0.2, 0, 1.2), 0.05))
    wide = np.array([0, 300, 65535], np.uint16)[labels]
    found = surfaces(wide, depth, camera())
    assert list(found) == [300, 65535]
    assert found[300].position[2] < 0.8 and found[65535].position[2] > 1.1
    alone = surfaces(np.where(wide == 300, wide, 0), depth, camera())
    assert within(alone[300].position, found[300].position, 0.5)


def test_nothing_is_measured_without_objects_or_without_depth():
    labels, depth = seen(sphere((0, 0, 1), 0.05))
    assert surfaces(np.zeros_like(labels), depth, camera()) == {}
    assert surfaces(labels, np.zeros_like(depth), camera()) == {}


def test_a_thousand_objects_are_measured_at_once():
    labels = (np.arange(480)[:, None] // 15 * 40 + np.arange(640)[None] // 16 + 1).astype(np.uint16)
    found = surfaces(labels, np.full(labels.shape, 0.7, np.float32), camera((480, 640)))
    assert len(found) == 32 * 40 and found[1].position[0] < found[40].position[0]


# -- what sensors and masks do -------------------------------------------------------------------


def with_mixed_pixels(depth, width=2):
    """Along each step in depth, pixels of any depth between the two."""
    import cv2

    near = np.ones((2 * width + 1,) * 2, np.uint8)
    nearest, farthest = cv2.erode(depth, near), cv2.dilate(depth, near)
    between = nearest + (farthest - nearest) * np.random.default_rng(3).random(depth.shape, np.float32)
    return np.where(farthest - nearest > 0.05, between, depth)


def test_noise_and_holes_move_a_position_by_a_few_millimetres():
    labels, depth = seen(sphere((0.1, 0, 1.0), 0.1))
    exact = np.median(truth(labels, depth, camera(), 1), axis=1)
    random = np.random.default_rng(1)
    noisy = depth + random.normal(0, 0.005, depth.shape).astype(np.float32)
    noisy[random.random(depth.shape) < 0.5] = 0
    found = surfaces(labels, noisy, camera())[1]
    # The rim that is left out is the farthest part of a ball: 2 mm.
    assert within(found.position, exact, 4.0) and found.share == pytest.approx(0.5, abs=0.05)


def test_a_mask_that_takes_in_the_wall_does_not_move_a_position():
    labels, depth = seen(box((0.0, 0.0, 1.0), (0.2, 0.2, 0.002)))
    exact = np.median(truth(labels, depth, camera(), 1), axis=1)
    labels[90:150, 190:210] = 1  # a third more, all of it wall
    for sensed in (depth, with_mixed_pixels(depth)):
        found = surfaces(labels, sensed, camera())[1]
        assert within(found.position, exact, 3.0) and found.high[2] < 1.1


def test_a_hand_in_front_that_the_mask_takes_in_does_not_move_a_position():
    labels, depth = seen(box((0.0, 0.0, 0.7), (0.06, 0.1, 0.02)), box((0.0, 0.0, 1.0), (0.3, 0.3, 0.02)))
    labels[labels == 1] = BEHIND
    found = surfaces(labels, with_mixed_pixels(depth), camera())[BEHIND]
    assert found.position[2] == pytest.approx(0.99, abs=0.003) and found.low[2] > 0.95


def test_the_spread_is_that_of_the_noise():
    labels, depth = seen(box((0.0, 0.0, 1.0), (0.3, 0.3, 0.002)))
    depth += np.random.default_rng(2).normal(0, 0.004, depth.shape).astype(np.float32)
    assert surfaces(labels, depth, camera())[1].spread == pytest.approx(0.004, rel=0.2)


def test_a_surface_that_gives_next_to_no_depth_has_no_position():
    labels, depth = seen(sphere((0, 0, 1), 0.1))
    glass = np.where((labels == 1) & (np.random.default_rng(0).random(depth.shape) < 0.95), 0, depth)
    assert surfaces(labels, glass, camera()) == {}


def test_a_speck_has_no_position():
    labels, depth = np.zeros((240, 320), np.uint8), np.ones((240, 320), np.float32)
    labels[100:103, 100:103] = 1
    assert surfaces(labels, depth, camera()) == {}


def test_the_same_image_gives_the_same_position_to_the_bit():
    labels, depth = seen(sphere((0.1, 0, 1.0), 0.1))
    first, second = (surfaces(labels, depth, camera())[1] for _ in range(2))
    assert (first.position == second.position).all() and (first.box_axes == second.box_axes).all()
