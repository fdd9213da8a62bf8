"""Simulates where a person would click to select an object or to correct a mask.

A click is ``(point, label)``: point (2,) float32 is x, y in pixels of the mask, label is 1 on
the object and 0 off it.  The centre rules are those of the interactive benchmarks (paper
section 6.1 and appendix F): the pixel of the largest error region that lies deepest inside
it.
"""

from __future__ import annotations

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput
from sam2_ros.types import box_of

Click = tuple[np.ndarray, int]


def box_around(mask: np.ndarray) -> tuple[float, float, float, float]:
    """First and last column and row of ``mask`` (H, W) as x0, y0, x1, y1; InvalidInput when it is empty."""
    box = box_of(mask)
    if box is None:
        raise InvalidInput("an empty mask has no box; choose a frame on which the object is visible")
    x0, y0, x1, y1 = map(float, box)
    return x0, y0, x1, y1


def first_click(mask: np.ndarray) -> Click:
    """A positive click at the centre of the object: its pixel farthest from any edge of ``mask``."""
    if not mask.any():
        raise InvalidInput("an empty mask cannot be clicked on; choose a frame on which the object is visible")
    return _deepest(mask)[0], 1


def next_click(truth: np.ndarray, found: np.ndarray) -> Click | None:
    """The centre of the largest error region of ``found`` against ``truth``, both (H, W) bool.

    Positive where the object was missed, negative where something else was taken for it;
    None when there is no error.
    """
    missed, depth_missed = _deepest(truth & ~found)
    wrong, depth_wrong = _deepest(found & ~truth)
    if max(depth_missed, depth_wrong) == 0.0:
        return None
    return (missed, 1) if depth_missed >= depth_wrong else (wrong, 0)


def _deepest(region: np.ndarray) -> tuple[np.ndarray, float]:
    """The pixel of ``region`` farthest from its edge, and that distance; beyond the image counts as outside."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(distance.argmax()), region.shape[1])
    return np.array([x, y], np.float32), float(distance[y, x])
