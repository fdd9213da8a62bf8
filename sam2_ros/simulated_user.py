"""Where would a person click to select this object, or to correct this mask?

A click is ``(point, label)``: point (2,) float32 is x, y in pixels of the mask, label is 1 on
the object and 0 off it.  The centre rules are those of the interactive benchmarks (paper
section 6.1 and appendix F): the pixel of the largest error region that lies deepest inside
it.  The random rules are those of training (appendix D.2.2).
"""

from __future__ import annotations

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput

#: Box noise in training: this share of the box's side, at most so many pixels.
BOX_NOISE = 0.1
MOST_BOX_NOISE = 20.0

Click = tuple[np.ndarray, int]


def box_around(mask: np.ndarray) -> tuple[float, float, float, float]:
    """First and last column and row of ``mask`` (H, W) as x0, y0, x1, y1; InvalidInput when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise InvalidInput("an empty mask has no box; choose a frame on which the object is visible")
    return float(columns[0]), float(rows[0]), float(columns[-1]), float(rows[-1])


def noisy_box(mask: np.ndarray, random: np.random.Generator) -> tuple[float, float, float, float]:
    """The box around ``mask`` as a hasty person draws it: each corner up to 10 % of the side off."""
    x0, y0, x1, y1 = box_around(mask)
    reach = np.minimum(np.array([x1 - x0, y1 - y0] * 2) * BOX_NOISE, MOST_BOX_NOISE)
    box = np.array([x0, y0, x1, y1]) + random.uniform(-1.0, 1.0, 4) * reach
    limit = np.array([mask.shape[1] - 1, mask.shape[0] - 1], np.float64)
    box[:2] = np.clip(box[:2], 0.0, limit - 1.0)
    box[2:] = np.clip(box[2:], box[:2] + 1.0, limit)
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


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


def random_click(truth: np.ndarray, found: np.ndarray | None, random: np.random.Generator) -> Click:
    """A click uniform in the error region, as in training.

    Without a mask to correct it lies on the object.  Where the mask is perfect it lies on
    the object too, or, when there is no object, anywhere as a negative click.
    """
    region = truth if found is None else truth ^ found
    if not region.any():
        region = truth if truth.any() else np.ones_like(truth)
    chosen = np.flatnonzero(region)
    y, x = divmod(int(chosen[random.integers(len(chosen))]), truth.shape[1])
    return np.array([x, y], np.float32), int(truth[y, x])


def _deepest(region: np.ndarray) -> tuple[np.ndarray, float]:
    """The pixel of ``region`` farthest from its edge, and that distance; beyond the image counts as outside."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(distance.argmax()), region.shape[1])
    return np.array([x, y], np.float32), float(distance[y, x])
