"""Where the visible surface of each object is, from a label image and depth.

All objects are measured at once, so a thousand cost little more than three:

1. Select pixels.  Left out are those within ``RIM`` pixels of the outline of their mask, and those between a much
   nearer and a much farther neighbour: there sensors mix the depth of an object with that behind it.  An object that is
   too thin for this keeps all its pixels.
2. Take ``SAMPLES`` of them evenly, and sort them by depth.
3. Start at the median depth and go nearer and farther until there is a gap.  Points beyond a gap do not belong to the
   object: a wall that the mask covers as well, a hand in front of it.
4. Measure the rest.

Transparent, black and mirror-like surfaces have no depth, or that of something else.  Without depth on most of a mask
there is no position.  Depth seen through glass cannot be recognised.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sam2_ros.geometry.camera import Camera
from sam2_ros.types import box_of

#: Pixels along the outline of a mask that are left out, in an image of ``WIDTH`` pixels; more in larger ones.
RIM, WIDTH = 2, 640
#: Depth that differs by more than this, in metres and as a share of the depth, is that of something else ...
APART, APART_SHARE = 0.03, 0.03
#: ... unless the surface may be as steep as this (metres away for each metre across) between two pixels.
STEEPEST = 15
#: An object that keeps less than this share of its pixels with depth, or too few, is thin, and keeps them all.
CORE = 0.25
#: Pixels of one object that are measured, and of all together.
SAMPLES, ALL_SAMPLES, FEWEST_SAMPLES = 1024, 32768, 64
#: There is a gap in depth where fewer than this share of an object's pixels lie between two that are apart.
SPARSE = 0.01
#: This share of the pixels at each end of a direction does not count for the size: what noise throws out.
TAIL = 0.005
#: Without this many pixels, and this share of the mask, there is no position.
LEAST_PIXELS, LEAST_SHARE = 12, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The visible surface of one object, in the optical frame (x to the right, y down, z forward), metres.

    position: (3,), the median of the visible pixels, of each coordinate.  centroid: (3,), their mean.
    low, high: (3,), the ends of the box along the axes of the camera.
    box_centre: (3,), box_axes: (3, 3) and box_size: (3,) of the box along the axes of the surface itself: the columns
        are its longest, its middle and its shortest direction; the last one points to the camera.
    pixels: how many of them were used.  share: of the pixels of the mask, 0..1.
    spread: half of the distance between the 16th and the 84th percentile of their depth.
    """

    position: np.ndarray
    centroid: np.ndarray
    low: np.ndarray
    high: np.ndarray
    box_centre: np.ndarray
    box_axes: np.ndarray
    box_size: np.ndarray
    pixels: int
    share: float
    spread: float


def surfaces(labels: np.ndarray, depth: np.ndarray, camera: Camera) -> dict[int, Surface]:
    """The visible surface of each object of a label image that has enough depth, by its id.

    labels: (H, W) uint8 or uint16 ids, 0 = background.  depth: of the same size, metres, 0 = unknown.
    """
    box, rim = box_of(labels), max(round(RIM * labels.shape[1] / WIDTH), 1)
    if box is None:
        return {}
    left, top = max(box[0] - rim, 0), max(box[1] - rim, 0)
    window = slice(top, box[3] + rim + 1), slice(left, box[2] + rim + 1)
    labels, depth = labels[window], camera.seen(depth, window)
    apart = max(APART_SHARE, STEEPEST / float(camera.matrix[0, 0]))
    objects = _Objects.of(labels, _core(labels, depth, rim, apart), depth, rim)
    if not len(objects.ids):
        return {}
    picked, shares = _without_what_is_apart(objects.samples(), depth, apart)
    row, column = np.divmod(picked, labels.shape[1])
    points = camera.points(row + top, column + left, depth.reshape(-1)[picked])
    return _measured(objects, points.transpose(1, 0, 2), shares, camera)


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """The K objects of an image that have depth.

    pixels: the numbers of the pixels that count, object by object.  counts: (K,), how many each has.
    known: (K,), the share of its mask that has depth.  rims: (K,), pixels of its outline that were left out.
    """

    ids: np.ndarray
    pixels: np.ndarray
    counts: np.ndarray
    known: np.ndarray
    rims: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, core: np.ndarray, depth: np.ndarray, rim: int) -> _Objects:
        """From (H, W) images: labels; core, bool, away from edges; depth [m], 0 where unknown.  rim: in pixels."""
        areas = np.bincount(labels.reshape(-1))
        pixels = np.flatnonzero((labels > 0) & (depth > 0))
        label = labels.reshape(-1)[pixels]
        in_core = core.reshape(-1)[pixels]
        known = np.bincount(label, minlength=len(areas))
        cores = np.bincount(label[in_core], minlength=len(areas))
        thin = cores < np.maximum(CORE * known, LEAST_PIXELS)
        counted = in_core | thin[label]
        pixels, label = pixels[counted], label[counted]
        counts = np.where(thin, known, cores)
        ids = np.flatnonzero(counts)
        order = np.argsort(label, kind="stable")
        return cls(ids, pixels[order], counts[ids], known[ids] / areas[ids], np.where(thin[ids], 0, rim))

    def samples(self) -> np.ndarray:
        """Pixels of each object, (K, M), evenly spread over those that count; a small object has some twice."""
        number = int(np.clip(ALL_SAMPLES // len(self.ids), FEWEST_SAMPLES, SAMPLES))
        first = np.cumsum(self.counts) - self.counts
        chosen: np.ndarray = self.pixels[_spread_over(first, self.counts, number)]
        return chosen


def _spread_over(first: np.ndarray, counts: np.ndarray, number: int) -> np.ndarray:
    """``number`` evenly spaced places (K, number) in K ranges, each given by its first place and its length."""
    steps = (np.arange(number) + 0.5) / number
    places: np.ndarray = first[:, None] + (steps * counts[:, None]).astype(np.intp)
    return places


def _core(labels: np.ndarray, depth: np.ndarray, rim: int, apart: float) -> np.ndarray:
    """Pixels (H, W) bool that are neither near the outline of their object nor a mixture of two depths.

    apart: see ``APART_SHARE``.
    """
    near = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
    inside = (cv2.erode(labels, near) == labels) & (cv2.dilate(labels, near) == labels)
    beside = np.ones((3, 3), np.uint8)
    nearest = cv2.erode(np.where(depth > 0, depth, np.float32(np.inf)), beside)
    farthest = cv2.dilate(depth, beside)
    much = np.maximum(np.float32(APART), np.float32(apart) * depth)
    core: np.ndarray = inside & (np.minimum(farthest - depth, depth - nearest) <= much)
    return core


def _without_what_is_apart(picked: np.ndarray, depth: np.ndarray, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """As many samples (K, M), of those that hang together in depth with the middle one; and their share (K,)."""
    count, number = picked.shape
    order = np.argsort(depth.reshape(-1)[picked], axis=1)
    picked = np.take_along_axis(picked, order, axis=1)
    ordered = depth.reshape(-1)[picked]
    middle = number // 2
    widest = np.maximum(APART, apart * ordered[:, middle])[:, None]
    few = max(int(SPARSE * number), 1)
    begins = np.zeros((count, number), bool)  # a gap begins behind this sample
    begins[:, :-1] = np.diff(ordered, axis=1) > widest
    begins[:, :-few] |= ordered[:, few:] - ordered[:, :-few] > widest
    ends = np.zeros((count, number), bool)  # and ends before this one
    ends[:, 1:] = np.diff(ordered, axis=1) > widest
    ends[:, few:] |= ordered[:, few:] - ordered[:, :-few] > widest
    behind, before = begins[:, middle:], ends[:, : middle + 1][:, ::-1]
    last = np.where(behind.any(axis=1), middle + behind.argmax(axis=1), number - 1)
    first = np.where(before.any(axis=1), middle - before.argmax(axis=1), 0)
    kept = last - first + 1
    return np.take_along_axis(picked, _spread_over(first, kept, number), axis=1), kept / number


def _measured(objects: _Objects, points: np.ndarray, shares: np.ndarray, camera: Camera) -> dict[int, Surface]:
    """points: (K, 3, M) of each object.  shares: (K,), of the pixels that count, those that they stand for."""
    number = points.shape[2]
    ordered, tail = np.sort(points, axis=2), int(TAIL * number)
    middle = (ordered[:, :, (number - 1) // 2] + ordered[:, :, number // 2]) / 2
    centroids = points.mean(axis=2)
    focal = np.array((camera.matrix[0, 0], camera.matrix[1, 1], np.inf))
    rims = (objects.rims * middle[:, 2])[:, None] / focal  # the outline that was left out, in metres
    lows, highs = ordered[:, :, tail] - rims, ordered[:, :, number - 1 - tail] + rims
    axes = _axes(points - centroids[:, :, None], centroids)
    along = np.sort(axes.transpose(0, 2, 1) @ (points - centroids[:, :, None]), axis=2)
    starts, ends = along[:, :, tail] - rims, along[:, :, number - 1 - tail] + rims
    centres = centroids + (axes @ ((starts + ends) / 2)[:, :, None])[:, :, 0]
    spreads = (ordered[:, 2, int(0.84 * number)] - ordered[:, 2, int(0.16 * number)]) / 2
    pixels, shares = np.round(shares * objects.counts).astype(int), shares * objects.known
    enough = (pixels >= LEAST_PIXELS) & (shares >= LEAST_SHARE)
    return {
        int(objects.ids[n]): Surface(
            position=middle[n],
            centroid=centroids[n],
            low=lows[n],
            high=highs[n],
            box_centre=centres[n],
            box_axes=axes[n],
            box_size=ends[n] - starts[n],
            pixels=int(pixels[n]),
            share=float(shares[n]),
            spread=float(spreads[n]),
        )
        for n in np.flatnonzero(enough)
    }


def _axes(away: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The axes (K, 3, 3) of points (K, 3, M) about their centroids (K, 3), in columns: the longest first.

    The first points to the right and the last one to the camera, so that they do not flip from image to image.
    """
    _, axes = np.linalg.eigh(away.astype(np.float64) @ away.transpose(0, 2, 1))
    longest, shortest = axes[:, :, 2], axes[:, :, 0]
    longest = np.where(longest[:, :1] < 0, -longest, longest)
    shortest = np.where((shortest * centroids).sum(axis=1, keepdims=True) > 0, -shortest, shortest)
    return np.stack((longest, np.cross(shortest, longest), shortest), axis=2)
