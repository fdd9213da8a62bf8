"""Depth images of the compressedDepth transport: PNG and RVL, millimetres and inverse metres.

RVL is the format of A. Wilson, "Fast Lossless Depth Image Compression" (ISS 2017).
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from sam2_ros import decoding
from sam2_ros.errors import InvalidImage

#: Before the picture: a number without meaning, and the two parameters of the inverse depth.
_HEADER = struct.Struct("<iff")
#: Before RVL data: columns and rows.
_SIZE = struct.Struct("<II")
#: Most pixels in a header that is believed: a long run takes few bytes, so the length of the data is no check.
_MOST_PIXELS = 2**26


def decompressed(message: Any) -> np.ndarray:
    """A compressedDepth message as (H, W): uint16 (mostly millimetres) or float32 metres, 0 or nan where unknown.

    Raises InvalidImage.
    """
    data = bytes(message.data)
    if len(data) <= _HEADER.size:
        raise InvalidImage(f"a depth image of format {message.format!r} has only {len(data)} bytes")
    _, scale, offset = _HEADER.unpack_from(data)
    picture = data[_HEADER.size :]
    is_rvl = "rvl" in message.format.lower()
    image = _from_rvl(picture) if is_rvl else decoding.decode(picture, cv2.IMREAD_UNCHANGED)
    if image.ndim != 2:
        raise InvalidImage(f"a depth image of format {message.format!r} has {image.shape[2]} channels; it needs one")
    if not message.format.startswith("32FC1"):
        return image
    with np.errstate(divide="ignore"):
        depth: np.ndarray = scale / (image.astype(np.float32) - offset)
    depth[image == 0] = np.nan
    return depth


def _from_rvl(data: bytes) -> np.ndarray:
    """The size and the runs -> (H, W) uint16.  Raises InvalidImage when the runs do not fill the size."""
    columns, rows = _SIZE.unpack_from(data) if len(data) >= _SIZE.size else (0, 0)
    count = columns * rows
    if not 0 < count <= _MOST_PIXELS:
        raise InvalidImage(f"an RVL depth image of {len(data)} bytes cannot be {columns}x{rows}; it is damaged")
    numbers = _numbers(np.frombuffer(data, np.uint8, offset=_SIZE.size))
    known = np.zeros(count, bool)
    steps: list[np.ndarray] = []
    pixel = place = 0
    while pixel < count and place + 1 < len(numbers):  # a run of unknown pixels, a run of known ones
        unknown, following = int(numbers[place]), int(numbers[place + 1])
        pixel, place = pixel + unknown + following, place + 2 + following
        known[max(pixel - following, 0) : pixel] = True
        steps.append(numbers[place - following : place])
    codes = np.concatenate(steps) if steps else numbers[:0]
    if pixel != count or len(codes) != known.sum():
        raise InvalidImage(
            f"an RVL depth image of {columns}x{rows} ends after {min(pixel, count)} pixels; it is damaged"
        )
    depth = np.zeros(count, np.uint16)
    # 0, 1, 2, 3, 4 stand for steps of 0, -1, 1, -2, 2 from the known pixel before.
    depth[known] = np.cumsum(codes >> 1 ^ -(codes & 1)).astype(np.uint16)
    return depth.reshape(rows, columns)


def _numbers(data: np.ndarray) -> np.ndarray:
    """The numbers in RVL data (K,) uint8, as int64.

    A nibble holds three bits of a number, the lowest first, and a fourth bit if more follow.  Nibbles lie in 32-bit
    words, the first in the highest bits.
    """
    swapped = data[: len(data) // 4 * 4].reshape(-1, 4)[:, ::-1].reshape(-1)
    nibbles = np.stack((swapped >> 4, swapped & 15), axis=1).reshape(-1).astype(np.int64)
    last = np.flatnonzero(nibbles < 8)
    nibbles = nibbles[: last[-1] + 1] if len(last) else nibbles[:0]
    first = np.concatenate(([0], last[:-1] + 1))[: len(last)]
    place = np.arange(len(nibbles)) - np.repeat(first, last - first + 1)
    parts = (nibbles & 7) << np.minimum(3 * place, 60)  # no valid number has more nibbles
    return np.add.reduceat(parts, first) if len(first) else parts
