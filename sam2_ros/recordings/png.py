"""Label images in PNG files: the stored numbers, not the colours of a palette.

Pillow is no substitute: it writes 1.4 to 4 times as slowly, scales grey values of 2 and 4 bits, drops the lower half
of 16 bits beside an alpha channel, and verifies the checksum of the pixels only if the file is read twice.
"""

from __future__ import annotations

import functools
import struct
import zlib

import cv2
import numpy as np

from sam2_ros import decoding
from sam2_ros.errors import InvalidImage, RecordingError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Kinds of picture: the value in the header, and its position in the file.
GREY, PALETTE, KIND_AT = 0, 3, 25
_NEEDED = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_COLOUR_CHUNKS = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"bKGD", b"sBIT")


@functools.cache
def palette() -> np.ndarray:
    """The (256, 3) uint8 RGB palette of PASCAL VOC and DAVIS: bits of the id spread over the channels."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def stored_values(data: bytes, source: str = "label image") -> np.ndarray:
    """The (H, W) uint8 or uint16 indices of a palette picture, or values of a grey one.

    A mask that only the alpha channel holds is 0 and 255.  A colour picture in nothing but the colours of
    ``palette`` gives their numbers.  Raises RecordingError when ``data`` is no such picture; ``source`` names it
    there.
    """
    chunks = _chunks(data, source)
    depth, kind = struct.unpack_from(">BB", chunks[0][1], 8)
    if kind in (GREY, PALETTE):
        # Indices are stored as grey values are; with a header that says "grey" the decoder returns them.
        header = chunks[0][1][:9] + bytes([GREY]) + chunks[0][1][10:]
        rest = [part for part in chunks[1:] if part[0] not in _COLOUR_CHUNKS]
        data = SIGNATURE + chunk(b"IHDR", header) + b"".join(chunk(*part) for part in rest)
    try:
        values = decoding.decode(data, cv2.IMREAD_UNCHANGED)
    except InvalidImage as error:
        raise RecordingError(f"{source} cannot be decoded; the file is damaged ({error})") from error
    if values.ndim == 3:
        values = _one_channel(values[..., :3], values[..., 3] if values.shape[2] == 4 else None, source)
    if values.ndim == 3:
        return _numbers_of(values, source)
    return values // (255 // (2**depth - 1)) if depth < 8 else values  # decoders scale few bits to eight


def _one_channel(colours: np.ndarray, alpha: np.ndarray | None, source: str) -> np.ndarray:
    """The mask in (H, W, 3) BGR or (H, W) alpha values, whichever holds it; the colours if these are not grey."""
    is_grey = bool((colours[..., :1] == colours).all())
    if alpha is None or (alpha == alpha[0, 0]).all():
        return colours[..., 0] if is_grey else colours
    if not is_grey or (colours == colours[0, 0]).all():
        return np.where(alpha > np.iinfo(alpha.dtype).max // 2, 255, 0).astype(np.uint8)
    if ((colours[..., 0] > 0) != (alpha > 0)).any():
        raise RecordingError(f"{source} has one mask in its grey values and another one in its alpha channel; keep one")
    return colours[..., 0]


def _numbers_of(colours: np.ndarray, source: str) -> np.ndarray:
    """(H, W) uint8 numbers of (H, W, 3) BGR colours of the palette."""
    weights = np.array([1, 256, 65536])
    numbers = {colour: number for number, colour in enumerate((palette()[:, ::-1] @ weights).tolist())}
    found, places = np.unique(colours @ weights, return_inverse=True)
    ids = [numbers.get(colour) for colour in found.tolist()]
    if colours.dtype != np.uint8 or None in ids:
        raise RecordingError(
            f"{source} is a colour picture; labels are palette or grey PNG files, "
            "or RGB in the colours of the palette of DAVIS"
        )
    return np.array(ids, np.uint8)[places.reshape(-1)].reshape(colours.shape[:2])


def chunk(name: bytes, content: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _chunks(data: bytes, source: str) -> list[tuple[bytes, bytes]]:
    """(name, content) of every chunk; the first is the header.

    Raises RecordingError where one is damaged or the last one is missing.
    """
    found, position = [], len(SIGNATURE)
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        content, end = data[position + 8 : position + 8 + length], position + 12 + length
        if end > len(data):
            break
        if name in _NEEDED and data[end - 4 : end] != struct.pack(">I", zlib.crc32(name + content)):
            raise RecordingError(f"{source} cannot be decoded; the file is damaged in its part {name.decode()}")
        found.append((name, content))
        position = end
        if name == b"IEND":
            break
    if data[: len(SIGNATURE)] != SIGNATURE or not found or found[0][0] != b"IHDR" or len(found[0][1]) < 13:
        raise RecordingError(f"{source} is not a PNG picture; label images are PNG files")
    if found[-1][0] != b"IEND":
        raise RecordingError(f"{source} cannot be decoded; the file ends too early, after {len(data)} bytes")
    return found
