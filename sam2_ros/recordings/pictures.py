"""Picture files: finds, sorts, reads and writes them, and finds their masks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from sam2_ros import decoding
from sam2_ros.errors import InvalidImage, RecordingError
from sam2_ros.files import shown, write_whole
from sam2_ros.ranges import AUTO, Range

T = TypeVar("T")

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}
#: Words in a name that tell pictures from masks, but not one moment from another.
_MASK_WORDS = "masks?|labels?|seg|segmentation|gt|annotations?"
_WORD = r"(?<![^\W\d_])({})(?![^\W\d_])"
_MASK = re.compile(_WORD.format(_MASK_WORDS), re.IGNORECASE)
_KIND = re.compile(_WORD.format(f"{_MASK_WORDS}|images?|img|frames?|rgb|colou?r"), re.IGNORECASE)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its name."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order, without hidden files."""
    return sorted(
        (path for path in folder.iterdir() if is_picture(path) and not path.name.startswith(".") and not path.is_dir()),
        key=natural,
    )


def doubles_among(pictures: Sequence[Path]) -> list[str]:
    """The names of pictures of one moment, such as a.jpg and a.png, or a.jpg and a_mask.png."""
    counts = Counter(path.stem for path in pictures)
    plain = {_without_kind(path.stem) for path in pictures if not _MASK.search(path.stem)}
    return [
        path.name
        for path in pictures
        if counts[path.stem] > 1 or (_MASK.search(path.stem) and _without_kind(path.stem) in plain)
    ]


def masks_of(pictures: Sequence[Path], masks: Iterable[Path]) -> tuple[dict[int, Path], list[Path]]:
    """The mask of each picture by the number of the picture, and the masks that belong to none.

    A mask has the name of its picture; or that name but for words such as "mask" and "img"; or, where this
    gives every mask that is left a picture of its own, the last number in the name.
    """
    found: dict[int, Path] = {}
    left = list(masks)
    for key in (lambda stem: stem, _without_kind, _last_number):
        places = _unique({place: key(path.stem) for place, path in enumerate(pictures) if place not in found})
        wanted = _unique({path: key(path.stem) for path in left})
        pairs = {places[name]: path for name, path in wanted.items() if name in places}
        if key is _last_number and len(pairs) < len(left):
            break
        found |= pairs
        left = [path for path in left if path not in pairs.values()]
    return found, left


def _unique(keys: Mapping[T, Hashable]) -> dict[Any, T]:
    """The items by their keys, without keys that several have."""
    counts = Counter(keys.values())
    return {key: one for one, key in keys.items() if key is not None and counts[key] == 1}


def _without_kind(stem: str) -> str | None:
    return _KIND.sub("", stem).strip(" _.-").casefold() or None


def _last_number(stem: str) -> int | None:
    numbers = re.findall(r"\d+", stem)
    return int(numbers[-1]) if numbers else None


def natural(path: Path) -> list[tuple[int, int | str]]:
    """A key to sort by: frame 9 comes before frame 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name) if part]


def picture_of(path: Path, grey: Range | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned as its EXIF data say.  Raises RecordingError, with the reason.

    grey: how 16 bits become 8, for a sequence of pictures; None = by the values of this one.
    """
    try:
        image = decoding.decode(path.read_bytes(), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except (OSError, InvalidImage) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"{shown(path)} is not a readable picture: {reason}") from error
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        raise RecordingError(f"{shown(path)} is not a readable picture: its values are {image.dtype}")
    return as_rgb(image, grey or Range(AUTO))


def read_picture(path: Path, grey: Range | None = None) -> np.ndarray | None:
    """As ``picture_of``, but None for an unreadable file."""
    try:
        return picture_of(path, grey)
    except RecordingError:
        return None


def is_turned(path: Path) -> bool:
    """Whether ``read_picture`` turns or mirrors what is stored in a file."""
    try:
        data = path.read_bytes()
        stored = decoding.decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        turned = decoding.decode(data, cv2.IMREAD_COLOR)
    except (OSError, InvalidImage):
        return False
    return not np.array_equal(stored, turned)


def as_rgb(image: np.ndarray, grey: Range) -> np.ndarray:
    """An image decoded by OpenCV, (H, W) or (H, W, 3) BGR of 8 or 16 bits, as (H, W, 3) uint8 RGB."""
    return cv2.cvtColor(grey.eight_bits(image), cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def write_picture(path: Path, image: np.ndarray, *options: int) -> None:
    """Write an (H, W) or (H, W, 3) RGB image in the format of the file's suffix; options: those of ``cv2.imencode``.

    Unlike ``cv2.imwrite`` it works with every file name.  Raises RecordingError.
    """
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    try:
        done, data = cv2.imencode(path.suffix, pixels, options)
    except cv2.error:  # an unknown suffix, or an empty image
        done = False
    if not done:
        raise RecordingError(
            f"cannot write {shown(path)}: a {image.shape[1]}x{image.shape[0]} image does not fit the format"
        )
    write_whole(path, data.tobytes())
