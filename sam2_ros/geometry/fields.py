"""Positions as fields of a sam2_ros/TrackedObject; imports no ROS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from sam2_ros.geometry.positions import Position

#: The fields that are messages themselves.
_PLACES = ("position", "surface_centroid", "extent_low", "extent_high", "oriented_box_size", "velocity")


def empty() -> dict[str, Any]:
    """Those fields for an object that is to become a TrackedObject."""
    pose = SimpleNamespace(position=SimpleNamespace(), orientation=SimpleNamespace())
    return {"oriented_box": pose, **{name: SimpleNamespace() for name in _PLACES}}


def fill_position(message: Any, position: Position | None) -> Any:
    """Write what is known of an object into its TrackedObject, and return it; without a position it stays as it is."""
    if position is None:
        return message
    surface = position.surface
    message.has_position, message.position_age = position.age == 0, float(position.age)
    _place(message.position, surface.position)
    _place(message.surface_centroid, surface.centroid)
    _place(message.extent_low, surface.low)
    _place(message.extent_high, surface.high)
    _place(message.oriented_box.position, surface.box_centre)
    turn = message.oriented_box.orientation
    turn.x, turn.y, turn.z, turn.w = quaternion(surface.box_axes)
    _place(message.oriented_box_size, surface.box_size)
    message.depth_pixels = surface.pixels
    message.depth_share, message.depth_spread = surface.share, surface.spread
    message.has_velocity = position.velocity is not None
    if position.velocity is not None:
        _place(message.velocity, position.velocity)
    return message


def quaternion(axes: np.ndarray) -> tuple[float, float, float, float]:
    """The unit quaternion x, y, z, w of a rotation (3, 3), w not negative."""
    # Of the four numbers, the largest is found from the diagonal without loss; the others follow from it.
    xx, yy, zz = np.diag(axes)
    squares = np.array((1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz))
    (_, a, b), (d, _, c), (e, f, _) = axes
    sums = np.array(
        (
            (0.0, a + d, b + e, f - c),
            (a + d, 0.0, c + f, b - e),
            (b + e, c + f, 0.0, d - a),
            (f - c, b - e, d - a, 0.0),
        )
    )
    largest = int(squares.argmax())
    turn = sums[largest]
    turn[largest] = squares[largest]
    x, y, z, w = turn / np.linalg.norm(turn) * (-1 if turn[3] < 0 else 1)
    return float(x), float(y), float(z), float(w)


def _place(message: Any, values: np.ndarray) -> None:
    """Three values into x, y, z of a message."""
    message.x, message.y, message.z = (float(value) for value in values)
