"""The types of the tracker: Frames and Prompts in, Tracks out.

Conventions: coordinates are pixels of the camera image, x to the right and y
down, the centre of the top-left pixel at (0, 0); images are RGB, uint8; stamps are
nanoseconds; scores are raw logits unless the name says probability.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam2_ros.errors import InvalidImage, InvalidPrompt

#: Largest object id: the label image has 16 bits and 0 is the background.
MAX_OBJECT_ID = 65535
#: Largest id that an 8-bit label image carries; 255 is left to "unlabelled" readers.
MAX_MONO8_ID = 254


#: (H, W, 3) uint8, RGB.
Image = NDArray[np.uint8]
#: (H, W) bool, True on the object.
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, init=False)
class Frame:
    """One camera image.

    image: (H, W, 3) uint8, RGB, at least 1 x 1; not copied, so do not write into it.
    stamp: acquisition time in nanoseconds; 0 = unknown.
    frame_id: name of the camera's coordinate frame, as in a ROS header; empty where there is none.
    """

    image: Image
    stamp: int = 0
    frame_id: str = ""

    def __init__(self, image: NDArray[np.generic], stamp: int = 0, frame_id: str = "") -> None:
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            shape = getattr(image, "shape", type(image).__name__)
            raise InvalidImage(f"a frame needs an (H, W, 3) RGB array, got {shape}")
        if image.dtype != np.uint8:
            raise InvalidImage(f"a frame needs uint8 pixels, got {image.dtype}; scale to 0..255 first")
        if 0 in image.shape:
            raise InvalidImage(f"a frame needs at least one pixel, got size {image.shape[1]}x{image.shape[0]}")
        if not isinstance(stamp, Integral) or isinstance(stamp, bool) or stamp < 0:
            raise InvalidImage(f"a stamp is a whole number of nanoseconds from 0, got {stamp!r}")
        object.__setattr__(self, "image", image)
        object.__setattr__(self, "stamp", int(stamp))
        object.__setattr__(self, "frame_id", frame_id)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False, init=False)
class Prompt:
    """What an operator or a detector marks as one object on one image.

    name: the caller's key; empty = a new object that the tracker names.
    points: (N, 2) float32, pixels; labels: (N,) int8, 1 = on the object, 0 = off it.
    box: x0, y0, x1, y1 in pixels, or None.
    mask: (H, W) bool of the image's size, or None.
    replace: forget the object of this name and start a new one.
    """

    name: str
    points: NDArray[np.float32]
    labels: NDArray[np.int8]
    box: tuple[float, float, float, float] | None
    mask: Mask | None
    replace: bool

    def __init__(
        self,
        name: str = "",
        points: ArrayLike = (),
        labels: ArrayLike = (),
        box: Iterable[float] | None = None,
        mask: ArrayLike | None = None,
        replace: bool = False,
    ) -> None:
        _check_name(name)
        if not isinstance(replace, (bool, np.bool_)):
            raise InvalidPrompt(f"replace is True or False, got {replace!r}")
        pairs, signs = _checked_points(points), np.asarray(labels).reshape(-1)
        if len(pairs) != len(signs):
            raise InvalidPrompt(f"{len(pairs)} points but {len(signs)} labels; give one label for each point")
        if not np.isin(signs, (0, 1)).all():
            raise InvalidPrompt(f"point labels are 1 (on the object) or 0 (off it), got {signs.tolist()}")
        if not np.isfinite(pairs).all():
            raise InvalidPrompt(f"points must be finite pixels, got {pairs.tolist()}")
        if not len(pairs) and box is None and mask is None:
            raise InvalidPrompt("a prompt needs at least one point, a box or a mask; this one is empty")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "points", pairs)
        object.__setattr__(self, "labels", signs.astype(np.int8))
        object.__setattr__(self, "box", None if box is None else _checked_box(box))
        object.__setattr__(self, "mask", None if mask is None else _checked_mask(mask))
        object.__setattr__(self, "replace", replace)

    def checked_on(self, size: tuple[int, int], known: bool) -> Prompt:
        """This prompt as it applies to an image of ``size`` (height, width), box clipped.

        known: whether something is known already of the object on that image (then negative
        clicks alone are a correction; else they mean nothing).
        Raises InvalidPrompt when it cannot mean anything on that image.
        """
        height, width = size
        outside = (self.points < -0.5).any(axis=1) | (self.points > (width - 0.5, height - 0.5)).any(axis=1)
        if outside.any():
            x, y = self.points[outside][0]
            raise InvalidPrompt(f"point ({x:g}, {y:g}) lies outside the {width}x{height} image")
        if self.mask is not None and self.mask.shape != (height, width):
            rows, columns = self.mask.shape
            raise InvalidPrompt(
                f"the mask is {columns}x{rows} but its image is {width}x{height}; give one of equal size"
            )
        if not known and self.box is None and self.mask is None and not self.labels.any():
            raise InvalidPrompt(
                "only negative points for a new object, or before its first prompt; "
                "give a positive point, a box or a mask"
            )
        if not known and self.mask is not None and not self.mask.any() and not self.labels.any() and self.box is None:
            raise InvalidPrompt("the mask of a new object is empty; give one with at least one pixel")
        if self.box is None:
            return self
        x0, y0, x1, y1 = self.box
        clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, width - 1.0), min(y1, height - 1.0))
        if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
            raise InvalidPrompt(f"box {self.box} lies outside the {width}x{height} image")
        return Prompt(self.name, self.points, self.labels, clipped, self.mask, self.replace)


def _check_name(name: str) -> None:
    """Names go into messages, files and pictures, all of which take UTF-8."""
    if not isinstance(name, str):
        raise InvalidPrompt(f"the name of an object is text, got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidPrompt(f"the name {name!a} is not UTF-8 text; choose another one") from error


def _checked_points(points: ArrayLike) -> NDArray[np.float32]:
    """Points as (N, 2) float32; one point may be given as (x, y) alone."""
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold is not finite, and refused as such
            values = np.asarray(points, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidPrompt(f"points are pairs of numbers x, y; got {points!r}") from error
    if values.size and values.shape != (2,) and (values.ndim != 2 or values.shape[1] != 2):
        raise InvalidPrompt(f"points are an (N, 2) array of x and y, got shape {values.shape}")
    return values.reshape(-1, 2)


def _checked_box(box: Iterable[float]) -> tuple[float, float, float, float]:
    try:
        values = tuple(float(value) for value in box)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidPrompt(f"a box is four numbers x0, y0, x1, y1; got {box!r}") from error
    if len(values) != 4 or not np.isfinite(values).all():
        raise InvalidPrompt(f"a box is four finite pixels x0, y0, x1, y1; got {values}")
    x0, y0, x1, y1 = values
    if x0 >= x1 or y0 >= y1:
        raise InvalidPrompt(f"a box needs x0 < x1 and y0 < y1; got {values}")
    return x0, y0, x1, y1


def _checked_mask(mask: ArrayLike) -> Mask:
    try:
        values = np.asarray(mask)
        if values.ndim == 1 and values.dtype == object:
            raise ValueError("NumPy before 1.24 makes an array of the rows")
    except (ValueError, UserWarning) as error:  # a warning where warnings are errors
        raise InvalidPrompt("a mask is an (H, W) array; got rows of different length") from error
    if values.ndim != 2 or 0 in values.shape:
        raise InvalidPrompt(f"a mask is an (H, W) array, got shape {values.shape}")
    if values.dtype == np.bool_:
        return values
    # Logits and probabilities are no mask: nearly all of their pixels are not 0.
    if values.dtype.kind not in "uif" or not (values >= 0).all() or not (values == np.round(values)).all():
        raise InvalidPrompt(
            f"a mask is bool, or whole numbers with 0 off the object; got {values.dtype} with other "
            "values: compare with your threshold first"
        )
    return values.astype(np.bool_)


class State(enum.IntEnum):
    """The state of an object, with hysteresis; the values are those on the wire."""

    VISIBLE = 0
    OCCLUDED = 1
    LOST = 2


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object on one frame.

    id: 1..65535, its value in the label image, never used twice by one tracker.
    mask: (H, W) bool at the size of the frame; empty while the object is not seen.
    occluded: the model does not see the object on this very frame (score <= 0);
    state: the same with hysteresis.
    object_score: raw logit of the occlusion head; predicted_iou: 0..1.
    object_pointer: (C,) float32.
    frames_since_seen: 0 when visible on this frame.  prompted_frames: in its memory.
    """

    id: int
    name: str
    state: State
    occluded: bool
    mask: Mask
    object_score: float
    predicted_iou: float
    object_pointer: NDArray[np.float32]
    frames_since_seen: int
    prompted_frames: int

    @property
    def probability(self) -> float:
        """Probability that the object is in view: the logistic of the object score."""
        return float(0.5 * (1.0 + np.tanh(0.5 * self.object_score)))

    @property
    def area(self) -> int:
        """Number of mask pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """First and last column and row of the mask as (x0, y0, x1, y1), inclusive; None when empty."""
        return box_of(self.mask)

    @property
    def centroid(self) -> tuple[float, float] | None:
        """Mean (x, y) of the mask pixels; None when empty."""
        return self.measured()[2]

    def measured(self) -> tuple[int, tuple[int, int, int, int] | None, tuple[float, float] | None]:
        """Area, box and centroid; all three are little more work than one of them."""
        box = self.box
        if box is None:
            return 0, None, None
        inside = self.mask[box[1] : box[3] + 1, box[0] : box[2] + 1]
        area = int(np.count_nonzero(inside))
        x, y = (inside.sum(axis=axis) @ np.arange(inside.shape[1 - axis]) / area for axis in (0, 1))
        return area, box, (float(box[0] + x), float(box[1] + y))


def box_of(mask: NDArray[np.generic]) -> tuple[int, int, int, int] | None:
    """First and last column and row of an (H, W) mask as (x0, y0, x1, y1), inclusive; None when it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def label_image(tracks: Iterable[Track], size: tuple[int, int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Paint the masks of ``tracks`` into one (H, W) image of ids; see ``painted``."""
    return painted({track.id: track.mask for track in tracks}, size)


def painted(masks: Mapping[int, Mask], size: tuple[int, int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Paint ``masks`` into one (H, W) image of their ids, from 1 to 65535; 0 is the background.

    uint8 as long as every id is at most 254, else uint16.  Where masks overlap (a tracker
    that was told to let them), the one that comes last is on top.
    """
    wide = any(number > MAX_MONO8_ID for number in masks)
    labels = np.zeros(size, np.uint16 if wide else np.uint8)
    for number, mask in masks.items():
        box = box_of(mask)
        if box is not None:
            part = slice(box[1], box[3] + 1), slice(box[0], box[2] + 1)
            np.copyto(labels[part], labels.dtype.type(number), where=mask[part])
    return labels
