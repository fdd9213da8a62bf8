"""Label images as PNG files, the way DAVIS, YouTube-VOS and SA-V keep them.

A label image holds the id of an object in every pixel.  Up to 8 bits it is written as a
palette PNG, which viewers show in colour and evaluators read as numbers; wider ids are
written as 16-bit grey.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_COLOUR_CHUNKS = (b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"sRGB", b"bKGD", b"sBIT")


def palette() -> np.ndarray:
    """The (256, 3) uint8 RGB palette of PASCAL VOC and DAVIS: bits of the id spread over the channels."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def encode_labels(labels: np.ndarray) -> bytes:
    """A PNG file of an (H, W) label image: palette for uint8 and bool, 16-bit grey for wider ids."""
    if labels.ndim != 2 or 0 in labels.shape:
        raise RecordingError(f"a label image is an (H, W) array, got shape {labels.shape}")
    if labels.dtype == np.uint16:
        kind, depth, rows = _GREY, 16, labels.astype(">u2").view(np.uint8)
    elif labels.dtype in (np.uint8, np.bool_):
        kind, depth, rows = _PALETTE, 8, labels.astype(np.uint8)
    else:
        raise RecordingError(f"label images are uint8 or uint16, got {labels.dtype}; convert the ids first")
    height, width = labels.shape
    # Every row starts with the number of its filter; 0 = none suits flat areas of equal ids.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows.reshape(height, -1)], axis=1)
    parts = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))]
    if kind == _PALETTE:
        parts.append(_chunk(b"PLTE", palette().tobytes()))
    parts += [_chunk(b"IDAT", zlib.compress(lines.tobytes(), 3)), _chunk(b"IEND", b"")]
    return _SIGNATURE + b"".join(parts)


def decode_labels(data: bytes, source: str = "label image") -> np.ndarray:
    """The (H, W) ids in a PNG file: the indices of a palette picture, the values of a grey one.

    Raises RecordingError when ``data`` is no such picture; ``source`` names it there.
    """
    chunks = _chunks(data, source)
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    if kind == _PALETTE:
        # Indices are stored exactly as grey values are, so a decoder that is told so returns them.
        header = chunks[0][1][:9] + bytes([_GREY]) + chunks[0][1][10:]
        rest = [chunk for chunk in chunks[1:] if chunk[0] not in _COLOUR_CHUNKS]
        data = _SIGNATURE + _chunk(b"IHDR", header) + b"".join(_chunk(*chunk) for chunk in rest)
    labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise RecordingError(f"{source} cannot be decoded; the file is damaged")
    if labels.ndim == 3:
        if not (labels[..., :1] == labels[..., :3]).all():
            raise RecordingError(f"{source} is a colour picture; labels are palette or grey PNG files")
        labels = labels[..., 0]
    if kind == _PALETTE:
        return labels // (255 // (2 ** depth - 1)) if depth < 8 else labels
    return labels_of_grey(labels)


def labels_of_grey(values: np.ndarray) -> np.ndarray:
    """Ids from (H, W) grey values; nothing but 0 and 255 is the mask of one object, its id 1."""
    if values.dtype == np.uint8 and not ((values != 0) & (values != 255)).any():
        return (values == 255).astype(np.uint8)
    return values


def read_labels(path: Path) -> np.ndarray:
    """``decode_labels`` of a file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot read the label image {path}: {error.strerror}") from error
    return decode_labels(data, str(path))


class LabelWriter:
    """Writes one PNG for each image into a folder, DAVIS style: 00000.png, 00001.png, ...

    The folder is created; a file of the same name is replaced.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.written = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(f"cannot create the folder {self.folder}: {error.strerror}") from error

    def write(self, labels: np.ndarray, name: str | None = None) -> Path:
        """Write one (H, W) uint8 or uint16 label image; ``name`` (no suffix) defaults to its number."""
        path = self.folder / f"{name if name is not None else f'{self.written:05d}'}.png"
        try:
            path.write_bytes(encode_labels(labels))
        except OSError as error:
            path.unlink(missing_ok=True)
            raise RecordingError(f"cannot write {path}: {error.strerror}") from error
        self.written += 1
        return path


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _chunks(data: bytes, source: str) -> list[tuple[bytes, bytes]]:
    """(name, content) of every chunk; the first is the header."""
    found, position = [], len(_SIGNATURE)
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        found.append((name, data[position + 8:position + 8 + length]))
        position += length + 12
    if data[:len(_SIGNATURE)] != _SIGNATURE or not found or found[0][0] != b"IHDR" or len(found[0][1]) < 13:
        raise RecordingError(f"{source} is not a PNG picture; label images are PNG files")
    return found
