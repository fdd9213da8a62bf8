"""Assigns the boxes of a detector to tracked objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: x0, y0, x1, y1 in pixels, both corners inside.
Box = tuple[float, float, float, float]


def intersection_over_union(first: Box, second: Box) -> float:
    """Shared area of two boxes over their joint area, 0..1; a box covers its outermost pixels fully."""
    width = min(first[2], second[2]) - max(first[0], second[0]) + 1
    height = min(first[3], second[3]) - max(first[1], second[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def associate(boxes: Sequence[Box], tracked: Mapping[str, Box], threshold: float = 0.5) -> list[str | None]:
    """For each box the name of the tracked object that it belongs to, or None for a new object.

    tracked: the box around each tracked mask on the same image.  Pairs are taken by falling
    intersection over union, down to ``threshold``, and each object is given to one box only.  A box
    left over that still overlaps an object by ``threshold`` is a duplicate and belongs to it
    as well, so that it does not start another object.
    """
    pairs = sorted(
        (
            (intersection_over_union(box, around), index, name)
            for index, box in enumerate(boxes)
            for name, around in tracked.items()
        ),
        key=lambda pair: -pair[0],
    )
    names: list[str | None] = [None] * len(boxes)
    for duplicates in (False, True):
        for overlap, index, name in pairs:
            if overlap >= threshold and names[index] is None and (duplicates or name not in names):
                names[index] = name
    return names


def _area(box: Box) -> float:
    """Pixels in a box, whose last column and row belong to it."""
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
