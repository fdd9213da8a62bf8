"""Real videos with masks, in the layout of DAVIS: used as they are, and to cut objects from.

The folder is one that ``sam2_ros evaluate`` reads too: ``JPEGImages/NAME`` with pictures and ``Annotations/NAME`` with
label images of the same names and sizes, or both one level deeper (``480p``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.annotations import LabelImages, annotations_of
from sam2_ros.recordings.folders import sequences_in
from sam2_ros.recordings.labels import ids_in
from sam2_ros.recordings.pictures import picture_of
from sam2_ros.training.compositing import WHOLE_SHARE, as_clip, squared

#: An object must cover this share of the picture to be cut out.
SMALLEST_SHARE = 0.004
#: Most starts of a stretch that are tried until an object is seen on one.
STARTS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One video, of which any picture can be read with its masks.

    pictures: those that have masks.  places: where each of them stands among all pictures of the video.
    """

    name: str
    pictures: list[Path]
    places: list[int]
    masks: LabelImages

    def picture(self, number: int, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 3) uint8, RGB; RecordingError where it cannot be read, or has another size than its masks."""
        path = self.pictures[number]
        image = picture_of(path)
        if image.shape[:2] != size:
            raise RecordingError(
                f"{path} has {image.shape[1]}x{image.shape[0]} pixels and its masks, "
                f"{self.masks.files[self.places[number]]}, {size[1]}x{size[0]}; "
                "bring them to one size (the picture turned as its EXIF data say)"
            )
        return image

    def label(self, number: int) -> np.ndarray:
        """(H, W) uint8 or uint16, the id of an object in each pixel; RecordingError where it cannot be read."""
        return self.masks.labels(self.places[number])


class Footage:
    """All sequences of one folder."""

    def __init__(self, folder: str | Path) -> None:
        """List the folder; RecordingError when it is not in DAVIS layout or holds no sequence."""
        self.sequences, self.left_out = _sequences(Path(folder))

    def moments(self, random: np.random.Generator, frames: int) -> tuple[Sequence, list[int]]:
        """A random sequence and the numbers of ``frames`` of its frames: forwards or backwards, 1 to 4 times as fast.

        The first of them shows an object, unless that is hard to find.
        """
        for _ in range(STARTS):
            sequence = self.sequences[random.integers(len(self.sequences))]
            count = len(sequence.pictures)
            speed = min(int(random.integers(1, 5)), max((count - 1) // max(frames - 1, 1), 1))
            start = int(random.integers(max(count - speed * (frames - 1), 1)))
            numbers = [min(start + speed * step, count - 1) for step in range(frames)]
            numbers = numbers[::-1] if random.random() < 0.5 else numbers
            if ids_in(sequence.label(numbers[0])):
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
        values = ids_in(labels[0][y0:y1, x0:x1])
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
    footage = Footage(folder)
    for sequence in footage.sequences:
        sequence.picture(0, sequence.label(0).shape)
    count = sum(len(sequence.pictures) for sequence in footage.sequences)
    used = f"{folder}: {len(footage.sequences)} videos, {count} pictures with masks"
    if not footage.left_out:
        return used
    return f"{used}; left out, with fewer than two masks of their pictures' names: {', '.join(footage.left_out)}"


def _sequences(root: Path) -> tuple[list[Sequence], list[str]]:
    """The videos of a folder, and the names of those without masks.  RecordingError where none has any."""
    if not (root / "JPEGImages").is_dir():
        raise RecordingError(f"{root} has no folder JPEGImages; footage is expected in the layout of DAVIS")
    found, left_out = [], []
    for folder in sequences_in(root):
        masks = annotations_of(folder.annotations, folder.name, folder.pictures)
        if isinstance(masks, LabelImages) and len(masks.files) > 1:
            places = sorted(masks.files)
            found.append(Sequence(folder.name, [folder.pictures[place] for place in places], places, masks))
        else:
            left_out.append(folder.name)
    if not found:
        raise RecordingError(
            f"{root} holds no video with masks; give a folder with pictures in JPEGImages/NAME and PNGs of "
            f"the same names in Annotations/NAME (looked at: {', '.join(left_out)})"
        )
    return found, left_out


def _an_object(random: np.random.Generator, label: np.ndarray) -> int:
    """One of the ids in an (H, W) label image, 1 where it is empty."""
    values = ids_in(label)
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
