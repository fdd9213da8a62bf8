"""Label images in PNG files: the numbers that are stored, whatever colours a palette gives them."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from sam2_ros.errors import RecordingError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Kinds of picture: the value in the header, and where it is in the file.
GREY, PALETTE, KIND_AT = 0, 3, 25
_COLOUR_CHUNKS = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"bKGD", b"sBIT")


def stored_values(data: bytes, source: str = "label image") -> np.ndarray:
    """The (H, W) uint8 or uint16 indices of a palette picture, or values of a grey one.

    Raises RecordingError when ``data`` is no such picture; ``source`` names it there.
    """
    chunks = _chunks(data, source)
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    if kind == PALETTE:
        # Indices are stored exactly as grey values are, so a decoder that is told so returns them.
        header = chunks[0][1][:9] + bytes([GREY]) + chunks[0][1][10:]
        rest = [part for part in chunks[1:] if part[0] not in _COLOUR_CHUNKS]
        data = SIGNATURE + chunk(b"IHDR", header) + b"".join(chunk(*part) for part in rest)
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise RecordingError(f"{source} cannot be decoded; the file is damaged")
    if values.ndim == 3:
        if not (values[..., :1] == values[..., :3]).all():
            raise RecordingError(f"{source} is a colour picture; labels are palette or grey PNG files")
        values = values[..., 0]
    return values // (255 // (2 ** depth - 1)) if kind == PALETTE and depth < 8 else values


def chunk(name: bytes, content: bytes) -> bytes:
    """One part of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _chunks(data: bytes, source: str) -> list[tuple[bytes, bytes]]:
    """(name, content) of every chunk; the first is the header."""
    found, position = [], len(SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        found.append((name, data[position + 8:position + 8 + length]))
        position += length + 12
    if data[:len(SIGNATURE)] != SIGNATURE or not found or found[0][0] != b"IHDR" or len(found[0][1]) < 13:
        raise RecordingError(f"{source} is not a PNG picture; label images are PNG files")
    return found
