from types import SimpleNamespace

import numpy as np
import pytest
from geometry.analytic import box, camera, plane, render

from sam2_ros.geometry.fields import empty, fill_position, quaternion
from sam2_ros.geometry.positions import Position
from sam2_ros.geometry.surface import surfaces


def turned(turn):
    """The rotation matrix of a unit quaternion x, y, z, w, column by column: what becomes of each axis."""
    axis, w = np.array(turn[:3]), turn[3]
    columns = [one + 2 * w * np.cross(axis, one) + 2 * np.cross(axis, np.cross(axis, one)) for one in np.eye(3)]
    return np.stack(columns, axis=1)


def test_a_quaternion_turns_as_its_matrix_does():
    random = np.random.default_rng(0)
    for number in range(100):
        turn = random.normal(size=4) * (random.random(4) < 0.5 if number % 2 else 1)
        turn = turn / np.linalg.norm(turn) if turn.any() else np.array((0.0, 0, 0, 1))
        found = quaternion(turned(turn))
        assert found[3] >= 0 and turned(found) == pytest.approx(turned(turn), abs=1e-9)


def test_a_position_becomes_the_fields_of_a_message():
    labels, depth = render([box((0.1, 0.0, 1.0), (0.3, 0.1, 0.02)), plane((0, 0, 1), (0, 0, 2.0))])
    surface = surfaces(np.where(labels == 1, 1, 0).astype(np.uint8), depth, camera())[1]
    message = fill_position(SimpleNamespace(**empty()), Position(surface, 0.0, np.array((1.0, 2, 3))))
    assert message.has_position and message.position_age == 0
    assert (message.position.x, message.position.y, message.position.z) == pytest.approx((0.1, 0, 0.99), abs=0.005)
    assert message.extent_low.x < message.position.x < message.extent_high.x
    assert message.oriented_box_size.x == pytest.approx(0.3, abs=0.01)
    turn = message.oriented_box.orientation
    assert abs(turned((turn.x, turn.y, turn.z, turn.w))[2, 2]) > 0.99
    assert message.has_velocity and message.velocity.y == 2.0 and message.depth_pixels == surface.pixels


def test_an_old_position_is_none_of_this_image():
    labels, depth = render([plane((0, 0, 1), (0, 0, 2.0))])
    surface = surfaces(labels, depth, camera())[1]
    message = fill_position(SimpleNamespace(**empty()), Position(surface, 1.5))
    assert not message.has_position and message.position_age == 1.5 and not message.has_velocity


def test_without_a_position_a_message_stays_as_it_is():
    message = SimpleNamespace()
    assert fill_position(message, None) is message and not vars(message)
