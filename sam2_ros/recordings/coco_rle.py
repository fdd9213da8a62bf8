"""Masks in the formats of COCO, also used by SA-V and YouTube-VOS: run-length codes and polygons.

Runs go down the columns and start with the background.  The compressed form is a text: each
run, from the fourth on its difference to the one before the last, in groups of five bits.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sam2_ros.decoding import MOST_PIXELS
from sam2_ros.errors import RecordingError

_BITS, _MORE, _SIGN, _FIRST_LETTER = 5, 0x20, 0x10, 48
_LAST_LETTER = _FIRST_LETTER + 2 * _MORE - 1
#: No picture has a run of more bits.
_MOST_BITS = 40


def encode(mask: np.ndarray) -> dict[str, Any]:
    """An (H, W) bool mask as {"size": [H, W], "counts": text}."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return {"size": [int(side) for side in mask.shape], "counts": compress(runs.tolist())}


def mask_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """The (H, W) bool mask of one object on a picture of ``size``: a run-length code or a list of polygons.

    Raises RecordingError if it is neither, or damaged.
    """
    if isinstance(segmentation, list):
        return filled(segmentation, size)
    return decode(segmentation, size)


def decode(code: Mapping[str, Any], size: tuple[int, int] | None = None) -> np.ndarray:
    """The (H, W) bool mask of a code, compressed (text or bytes) or as a list of runs.

    size: (height, width) that it must have.  Raises RecordingError when it is damaged.
    """
    if not isinstance(code, Mapping):
        raise RecordingError(f"a run-length code is an object with size and counts, got {reprlib.repr(code)}")
    rows, columns = _size(code.get("size"))
    if size is not None and (rows, columns) != size:
        raise RecordingError(f"the code is for {columns}x{rows} pixels, the picture has {size[1]}x{size[0]}")
    counts = code.get("counts")
    runs = decompress(counts) if isinstance(counts, (str, bytes)) else _plain(counts)
    values = np.array(runs, np.float64)
    if (values < 0).any() or values.sum() != rows * columns:
        raise RecordingError(f"a run-length code for {columns}x{rows} pixels describes {values.sum():.0f} of them")
    return np.repeat(np.arange(len(values)) % 2 == 1, values.astype(np.int64)).reshape((rows, columns), order="F")


def _size(size: Any) -> tuple[int, int]:
    """(height, width) of a code; some writers put numbers such as 480.0 there."""
    sides: Sequence[Any] = size if isinstance(size, (list, tuple)) and len(size) == 2 else [None, None]
    if any(type(side) not in (int, float) or not 1 <= side <= MOST_PIXELS or side != int(side) for side in sides):
        raise RecordingError(f"the size of a run-length code is two whole numbers, got {reprlib.repr(size)}")
    rows, columns = map(int, sides)
    if rows * columns > MOST_PIXELS:
        raise RecordingError(
            f"a run-length code claims {columns}x{rows} pixels, more than {MOST_PIXELS // 10**6} millions"
        )
    return rows, columns


def _plain(counts: Any) -> list[float]:
    """Runs that are not compressed."""
    runs = counts if isinstance(counts, list) and all(type(run) in (int, float) for run in counts) else [-1]
    if any(not 0 <= run <= MOST_PIXELS or run != int(run) for run in runs):
        raise RecordingError(
            f"the counts of a run-length code are a text or a list of runs, got {reprlib.repr(counts)}"
        )
    return runs


def compress(runs: Sequence[int]) -> str:
    """Runs as text."""
    letters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group, value = value & (_MORE - 1), value >> _BITS
            more = value != (-1 if group & _SIGN else 0)
            letters.append(chr((group | _MORE if more else group) + _FIRST_LETTER))
    return "".join(letters)


def decompress(text: str | bytes) -> list[int]:
    """Runs from text.  Raises RecordingError if it ends in the middle of a run, or holds other characters."""
    letters = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    runs: list[int] = []
    value, shift = 0, 0
    for letter in letters:
        if not _FIRST_LETTER <= letter <= _LAST_LETTER or shift > _MOST_BITS:
            raise RecordingError(f"a run-length code is damaged: {reprlib.repr(text)}")
        group = letter - _FIRST_LETTER
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise RecordingError("a run-length code ends in the middle of a run")
    return runs


def filled(polygons: list[Any], size: tuple[int, int]) -> np.ndarray:
    """The (H, W) bool mask of the pixels whose centres are inside one of the polygons, [x, y, x, y, ...] each.

    The corner of the first pixel is (0, 0).  Raises RecordingError.
    """
    polygons = [polygons] if polygons and not isinstance(polygons[0], list) else polygons
    mask = np.zeros(size, bool)
    for polygon in polygons:
        known = isinstance(polygon, list) and all(type(value) in (int, float) for value in polygon)
        if not known or len(polygon) < 6 or len(polygon) % 2 or any(not abs(value) < MOST_PIXELS for value in polygon):
            raise RecordingError(
                f"a polygon is a list of x, y, x, y, ... with three corners at least, got {reprlib.repr(polygon)}"
            )
        mask |= _inside(np.array(polygon, np.float64).reshape(-1, 2), size)
    return mask


def _inside(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where a line to the right crosses the outline of (N, 2) corners an odd number of times."""
    rows, columns = size
    crossings = np.zeros((rows, columns + 1), np.int32)
    centres = np.arange(rows) + 0.5
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):
        crossed = np.flatnonzero((centres >= min(y0, y1)) & (centres < max(y0, y1)))
        if len(crossed):
            x = x0 + (centres[crossed] - y0) * (x1 - x0) / (y1 - y0)
            first = np.clip(np.ceil(x - 0.5), 0, columns).astype(int)  # the first centre to the right of the outline
            np.add.at(crossings, (crossed, first), 1)
    inside: np.ndarray = np.cumsum(crossings[:, :columns], axis=1) % 2 == 1
    return inside
