"""Real videos with masks, in the layout of DAVIS, as they are and as stock to cut objects from.

The folder holds ``JPEGImages/NAME/*.jpg`` (or other pictures) and ``Annotations/NAME/*.png``
(label images of the same names and sizes, one value or palette index per object; beside other
values the byte 255 means unknown), or both one level deeper (``480p``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.pictures import is_picture, masks_of, pictures_in, read_picture
from sam2_ros.recordings.png import stored_values
from sam2_ros.training.compositing import WHOLE_SHARE, as_clip, squared

#: An object must cover this share of the picture to be cut out.
SMALLEST_SHARE = 0.004
UNKNOWN_LABEL = 255
#: So many starts of a stretch are looked at for one on which an object is seen.
STARTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One video: the files of its pictures and label images, frame by frame."""

    name: str
    pictures: list[Path]
    labels: list[Path]

    def picture(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8, RGB; RecordingError when the file is no picture, or its size is not that of its labels."""
        path = self.pictures[number]
        image = read_picture(path)
        if image is None:
            raise RecordingError(f"{path} is not a readable picture")
        if image.shape[:2] != size:
            raise RecordingError(
                f"{path} has {image.shape[1]}x{image.shape[0]} pixels and its masks, {self.labels[number]}, "
                f"{size[1]}x{size[0]}; bring them to one size (the picture turned as its EXIF data say)"
            )
        return image

    def label(self, number: int) -> np.ndarray:
        """(H, W) uint8 or uint16, one value per object; RecordingError when the file holds no such picture."""
        return stored_values(self.labels[number].read_bytes(), str(self.labels[number]))


class Footage:
    """All sequences of one folder."""

    def __init__(self, folder: str | Path) -> None:
        """List the folder; RecordingError when it is not in DAVIS layout or holds no sequence."""
        self.sequences = [
            Sequence(name, [picture for picture, _ in files], [label for _, label in files])
            for name, files in _videos(Path(folder))[0]
        ]

    def moments(self, random: np.random.Generator, frames: int) -> tuple[Sequence, list[int]]:
        """A random sequence and the numbers of ``frames`` of its frames: forwards or backwards, 1 to 4 times as fast.

        The first of them shows an object, unless that is hard to find.
        """
        for _ in range(STARTS):
            sequence = self.sequences[random.integers(len(self.sequences))]
            count = len(sequence.pictures)
            speed = int(min(random.integers(1, 5), max((count - 1) // max(frames - 1, 1), 1)))
            start = int(random.integers(max(count - speed * (frames - 1), 1)))
            numbers = [min(start + speed * step, count - 1) for step in range(frames)]
            numbers = numbers[::-1] if random.random() < 0.5 else numbers
            if sequence.label(numbers[0]).any():
                break
        return sequence, numbers

    def clip(self, random: np.random.Generator, frames: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A random stretch through a random, steady window around one of the objects.

        Returns frames (T, side, side, 3) RGB and the coverage of each object in the window on the
        first frame, (T, K, side, side) uint8.
        """
        sequence, numbers = self.moments(random, frames)
        labels = [sequence.label(number) for number in numbers]
        middle = labels[0] == _an_object(random, labels[0])
        x0, y0, x1, y1 = _a_window(random, middle)
        step = -1 if random.random() < 0.5 else 1
        values = _objects(labels[0][y0:y1, x0:x1])
        pictures = (
            sequence.picture(number, label.shape)[y0:y1, x0:x1][:, ::step] for number, label in zip(numbers, labels)
        )
        return as_clip(pictures, [label[y0:y1, x0:x1][:, ::step] for label in labels], values, side)

    def cutouts(self, random: np.random.Generator, frames: int, side: int) -> np.ndarray | None:
        """An object cut out of each frame, (T, side, side, 4) RGB and coverage, centred; None where it is too small."""
        sequence, numbers = self.moments(random, frames)
        labels = [sequence.label(number) for number in numbers]
        wanted = _an_object(random, labels[0])
        sprites = np.zeros((frames, side, side, 4), np.uint8)
        for step, number in enumerate(numbers):
            mask = labels[step] == wanted
            if mask.mean() < SMALLEST_SHARE:
                return None
            sprites[step] = _sprite(sequence.picture(number, mask.shape), mask, side)
        return sprites[:, :, ::-1].copy() if random.random() < 0.5 else sprites


def check_footage(folder: str | Path) -> str:
    """What is used of a folder, in a sentence, and what is left out and why.

    Raises the RecordingError that ``Footage`` or its first pictures and labels would raise, without reading all of it.
    """
    videos, left_out = _videos(Path(folder))
    for name, files in videos:
        first = Sequence(name, *([path] for path in files[0]))
        first.picture(0, first.label(0).shape)
    used = f"{folder}: {len(videos)} videos, {sum(len(files) for _, files in videos)} pictures with masks"
    return (
        f"{used}; left out, with fewer than two masks of their pictures' names: {', '.join(left_out)}"
        if left_out
        else used
    )


def _videos(root: Path) -> tuple[list[tuple[str, list[tuple[Path, Path]]]], list[str]]:
    """The name of each sequence and its pictures with their label images, and the names of those without masks.

    RecordingError where there are none.
    """
    pictures = root / "JPEGImages"
    if not pictures.is_dir():
        raise RecordingError(f"{root} has no folder JPEGImages; footage is expected in the layout of DAVIS")
    videos, left_out = [], []
    for folder in sorted({path.parent.relative_to(pictures) for path in pictures.rglob("*") if is_picture(path)}):
        labels = root / "Annotations" / folder
        shown = pictures_in(pictures / folder)
        masks = [path for path in pictures_in(labels) if path.suffix.lower() == ".png"] if labels.is_dir() else []
        files = [(shown[place], label) for place, label in sorted(masks_of(shown, masks)[0].items())]
        if len(files) > 1:
            videos.append((folder.name, files))
        else:
            left_out.append(str(folder))
    if not videos:
        raise RecordingError(
            f"{root} holds no video with masks; give a folder with pictures in JPEGImages/NAME and PNGs of "
            f"the same names in Annotations/NAME (looked at: {', '.join(left_out) or 'nothing'})"
        )
    return videos, left_out


def _objects(label: np.ndarray) -> list[int]:
    """The values of a label image that are objects: 255 is unknown (in 8 bits), unless it is the only value."""
    values = [value for value, count in enumerate(np.bincount(label.ravel())) if value and count]
    if len(values) > 1 and UNKNOWN_LABEL in values and label.dtype == np.uint8:
        values.remove(UNKNOWN_LABEL)
    return values


def _an_object(random: np.random.Generator, label: np.ndarray) -> int:
    values = _objects(label)
    return values[random.integers(len(values))] if values else 1


def _a_window(random: np.random.Generator, mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a window: the whole picture, as a robot sees it, or a part around the object."""
    height, width = mask.shape
    if random.random() < WHOLE_SHARE:
        return 0, 0, width, height
    tall = int(height * random.uniform(0.55, 1.0))
    wide = int(np.clip(tall * np.exp(random.uniform(-0.15, 0.6)), 32, width))
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    weight = max(moments["m00"], 1.0)
    centre = (moments["m10"] / weight, moments["m01"] / weight)
    x0 = int(np.clip(centre[0] + random.normal(0, 0.15) * wide - wide / 2, 0, width - wide))
    y0 = int(np.clip(centre[1] + random.normal(0, 0.15) * tall - tall / 2, 0, height - tall))
    return x0, y0, x0 + wide, y0 + tall


def _sprite(picture: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """The object that ``mask`` shows, in the middle of a square."""
    coverage = cv2.blur(np.where(mask, 255, 0).astype(np.uint8), (2, 2))
    return squared(np.dstack([picture, coverage]), side)
