"""Picture files: which they are, in which order, and their pixels."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.files import shown, write_whole

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}


def is_picture(path: Path) -> bool:
    """Whether the name of a file is that of a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, numbers in their names counted as numbers."""
    return sorted(filter(is_picture, folder.iterdir()), key=natural)


def natural(path: Path) -> list[tuple[int, int | str]]:
    """A key to sort by in which frame 9 comes before frame 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", path.name) if part]


def read_picture(path: Path) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB, turned as its EXIF data say, or None when the file is no readable picture."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError:
        return None
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_picture(path: Path, image: np.ndarray, *options: int) -> None:
    """Write an (H, W) or (H, W, 3) RGB image in the format of the file's suffix; options: those of ``cv2.imencode``.

    Unlike ``cv2.imwrite`` it takes every name of a file.  Raises RecordingError.
    """
    pixels = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(path.suffix, pixels, options)
    if not done:
        raise RecordingError(f"cannot write {shown(path)}: a {image.shape[1]}x{image.shape[0]} image does not fit the format")
    write_whole(path, data.tobytes())
