"""Decodes picture files in memory with OpenCV, after checks that OpenCV does not make.

OpenCV fills the missing part of a JPEG with grey, or with a part of an earlier picture, and
allocates all the memory that the header of a picture asks for.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator

import cv2
import numpy as np

from sam2_ros.errors import InvalidImage, first_sentence

#: A picture with more pixels in its header is refused before memory is allocated.
MOST_PIXELS = 2**28

_JPEG, _PNG, _GIF, _BMP, _TIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", (b"II*\0", b"MM\0*")
#: The most pixels for each byte of a file: a JPEG needs some bits for 64 pixels, a GIF 12 bits for 4096 of
#: them, and zip packs 1032 bytes, of eight pixels each, into one.
_PIXELS_OF_A_BYTE = {_JPEG: 2**10, _GIF: 2**12}
_PIXELS_OF_A_PACKED_BYTE = 2**14
_SUN, _JPEG_2000, _AVIF_SIZE = b"\x59\xa6\x6a\x95", b"\xff\x4f\xff\x51", b"\0\0\0\x14ispe\0\0\0\0"
#: Kinds without such a limit.
_UNBOUNDED = re.compile(rb"....ftyp|....jP  |\xff\x4f\xff\x51", re.DOTALL)
#: Sizes that are written as text: width and height in a PNM file, height and width in Radiance HDR.
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})")
_RADIANCE = re.compile(rb"#\?.{1,4096}?\n-Y (\d{1,9}) \+X (\d{1,9})", re.DOTALL)
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3
_END_OF_JPEG, _START_OF_JPEG, _START_OF_SCAN = 0xD9, 0xD8, 0xDA
#: Markers without content: padding, and those between the parts of a scan.
_BARE = {0x01, *range(0xD0, 0xD8)}
#: Markers of a frame header, which holds the size.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: The next marker behind the data of a scan, in which ff 00 is a byte and ff d0 to ff d7 are restarts.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


def decode(data: bytes | np.ndarray, flags: int) -> np.ndarray:
    """The pixels of a picture file as ``cv2.imdecode`` gives them.

    Raises InvalidImage for data that are no picture, end too early, are too large or cannot be decoded.
    """
    data = bytes(data)
    width, height = size_of(data)
    if width * height > MOST_PIXELS:
        raise InvalidImage(
            f"a picture claims {width}x{height} pixels, more than {MOST_PIXELS // 10**6} millions; "
            "it is damaged, or scale it down first"
        )
    if not _UNBOUNDED.match(data) and width * height > len(data) * _pixels_of_a_byte(data):
        raise InvalidImage(f"a picture claims {width}x{height} pixels and has only {len(data)} bytes; it is damaged")
    if data.startswith(_JPEG) and not is_whole_jpeg(data):
        raise InvalidImage(f"a JPEG ends too early, after {len(data)} bytes")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise InvalidImage(
            f"{len(data)} bytes cannot be decoded as a picture: {first_sentence(ValueError(error.err))}"
        ) from error
    if image is None:
        raise InvalidImage(f"{len(data)} bytes are not a readable picture")
    return image


def size_of(data: bytes) -> tuple[int, int]:
    """(width, height) in the header of a picture; zeros for WebP, whose size is limited, and for unknown kinds."""
    try:
        if data.startswith(_PNG):
            return struct.unpack_from(">II", data, 16)
        if data.startswith(_GIF):
            return struct.unpack_from("<HH", data, 6)
        if data.startswith(_BMP):
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data.startswith(_TIFF):
            return _size_of_tiff(data)
        if data.startswith(_JPEG):
            frame = next((content for marker, content in _segments(data) if marker in _FRAMES), len(data))
            height, width = struct.unpack_from(">HH", data, frame + 3)
            return width, height
        return _size_of_rare(data)
    except struct.error:  # it ends inside the header
        pass
    return 0, 0


def _size_of_rare(data: bytes) -> tuple[int, int]:
    """The size of Sun raster, PNM, Radiance HDR, JPEG 2000 and AVIF pictures."""
    if data.startswith(_SUN):
        return struct.unpack_from(">II", data, 4)
    text = _PNM.match(data)
    if text:
        return int(text[1]), int(text[2])
    text = _RADIANCE.match(data)
    if text:
        return int(text[2]), int(text[1])
    if not _UNBOUNDED.match(data):
        return 0, 0
    start = data.find(_JPEG_2000)
    if start >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        return max(right - left, 0), max(bottom - top, 0)
    # A picture that is composed of several has a size for each of them and for the whole.
    sizes = [struct.unpack_from(">II", data, found.end()) for found in re.finditer(_AVIF_SIZE, data)]
    return max(sizes, key=math.prod, default=(0, 0))


def _size_of_tiff(data: bytes) -> tuple[int, int]:
    """The size of the first picture in the file, from its list of entries of twelve bytes."""
    order = "<" if data.startswith(b"II") else ">"
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    count = struct.unpack_from(f"{order}H", data, start)[0]
    sides = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        name, kind = struct.unpack_from(f"{order}HH", data, place)
        sides[name] = struct.unpack_from(order + ("H" if kind == _TIFF_SHORT else "I"), data, place + 8)[0]
    return sides.get(_TIFF_WIDTH, 0), sides.get(_TIFF_HEIGHT, 0)


def _pixels_of_a_byte(data: bytes) -> int:
    """The most pixels for each byte of a file of this kind."""
    return next((most for start, most in _PIXELS_OF_A_BYTE.items() if data.startswith(start)), _PIXELS_OF_A_PACKED_BYTE)


def is_whole_jpeg(data: bytes) -> bool:
    """Whether the last scan is followed by an end marker; a thumbnail inside has scans and an end, too."""
    scans = 0
    for marker, _ in _segments(data):
        if marker == _END_OF_JPEG:
            return scans > 0
        if marker == _START_OF_JPEG:  # the next picture begins before this one has ended
            return False
        scans += marker == _START_OF_SCAN
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, place of its content) of each part of a JPEG file, up to the end of the data."""
    found = _MARKER.search(data, len(_JPEG))
    while found:
        marker, place = found.group(1)[0], found.end()
        yield marker, place
        if marker not in _BARE and marker not in (_START_OF_JPEG, _END_OF_JPEG):
            if place + 2 > len(data):
                return
            place += struct.unpack_from(">H", data, place)[0]
        found = _MARKER.search(data, place)
