"""Label images as PNG files, as in DAVIS, YouTube-VOS and SA-V.

A label image holds the id of an object in every pixel.  Up to 8 bits it is written as a
palette PNG, which viewers show in colour and evaluators read as numbers; wider ids are
written as 16-bit grey.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.files import make_folder, write_whole
from sam2_ros.recordings.png import GREY, KIND_AT, PALETTE, SIGNATURE, chunk, palette, stored_values

#: In 8-bit label images with ids: "not labelled, do not count this pixel".
IGNORE_LABEL = 255
#: White of 16 bits.
WHITE_16 = 65535


def encode_labels(labels: np.ndarray) -> bytes:
    """A PNG file of an (H, W) label image: palette for uint8 and bool, 16-bit grey for wider ids."""
    if labels.ndim != 2 or 0 in labels.shape:
        raise RecordingError(f"a label image is an (H, W) array, got shape {labels.shape}")
    if labels.dtype == np.uint16:
        kind, depth, rows = GREY, 16, labels.astype(">u2").view(np.uint8)
    elif labels.dtype in (np.uint8, np.bool_):
        kind, depth, rows = PALETTE, 8, labels.astype(np.uint8)
    else:
        raise RecordingError(f"label images are uint8 or uint16, got {labels.dtype}; convert the ids first")
    height, width = labels.shape
    # Every row starts with the number of its filter; 0 = none suits flat areas of equal ids.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows.reshape(height, -1)], axis=1)
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))]
    if kind == PALETTE:
        parts.append(chunk(b"PLTE", palette().tobytes()))
    parts += [chunk(b"IDAT", zlib.compress(lines.tobytes(), 3)), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(parts)


def decode_labels(
    data: bytes, source: str = "label image", white_is_void: Callable[[], bool] = lambda: False
) -> np.ndarray:
    """The (H, W) ids in a PNG file: indices of a palette picture, values of a grey one, or numbers of colours.

    white_is_void: see ``labels_of_grey``.  Raises RecordingError when ``data`` is no such picture;
    ``source`` names it there.
    """
    values = stored_values(data, source)
    return values if data[KIND_AT] == PALETTE else labels_of_grey(values, white_is_void)


def labels_of_grey(values: np.ndarray, white_is_void: Callable[[], bool] = lambda: False) -> np.ndarray:
    """Ids from (H, W) grey values; nothing but black and white is the mask of one object, its id 1.

    white_is_void: asked where it matters; true where other images of the sequence hold ids, so that 255 is
    ``IGNORE_LABEL`` here, too.
    """
    if values.dtype == np.uint16 and values.any() and np.isin(values, (0, WHITE_16)).all():
        return np.asarray(values == WHITE_16, np.uint8)
    if values.dtype == np.uint8 and values.any() and not holds_ids(values) and not white_is_void():
        return np.asarray(values == 255, np.uint8)
    return values


def ids_in(labels: np.ndarray) -> list[int]:
    """The ids of the objects in an (H, W) label image, without the background and ``IGNORE_LABEL``."""
    values: list[int] = np.flatnonzero(np.bincount(labels.ravel())).tolist()
    return [value for value in values if value and not (value == IGNORE_LABEL and labels.dtype == np.uint8)]


def holds_ids(values: np.ndarray) -> bool:
    """Whether there is anything but 0 and 255 in (H, W) grey values."""
    return bool(((values != 0) & (values != 255)).any())


def read_labels(path: Path, white_is_void: Callable[[], bool] = lambda: False) -> np.ndarray:
    """``decode_labels`` of a file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot read the label image {path}: {error.strerror}") from error
    return decode_labels(data, str(path), white_is_void)


class LabelWriter:
    """Writes one PNG for each image into a folder, DAVIS style: 00000.png, 00001.png, ...

    The folder is created; a file of the same name is replaced.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.written = 0
        make_folder(self.folder)

    def write(self, labels: np.ndarray, name: str | None = None) -> Path:
        """Write one (H, W) uint8 or uint16 label image; ``name`` (no suffix) defaults to its number."""
        path = self.folder / f"{name if name is not None else f'{self.written:05d}'}.png"
        write_whole(path, encode_labels(labels))
        self.written += 1
        return path
