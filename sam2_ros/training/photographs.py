"""Photographs with masks of whole real objects, as training images.

The folder holds ``index.json`` (``images``: ``id`` and ``set`` of each), ``images/<id>.jpg`` and ``masks/<id>.png``:
0 background, 1, 2, ... the objects, 255 unknown.  Not everything is labelled, so background pixels may be objects.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.labels import IGNORE_LABEL, ids_in, read_labels
from sam2_ros.recordings.pictures import read_picture
from sam2_ros.training.compositing import as_clip, squared
from sam2_ros.training.kept_aside import kept_aside

#: A set of little variety counts as at most this many photographs when one is drawn; the varied one counts whole.
MOST_OF_A_SET, VARIED_SET = 40, "coco"
#: Share of the photographs that are seen whole; of the others a window around one of their things.
WHOLE_SHARE = 0.4
#: A thing must cover this share of its photograph to be cut out, and may touch the border on so much of its outline.
SMALLEST_CUTOUT, MOST_BORDER = 0.006, 0.04


class Photographs:
    """The photographs of a folder that are for training, or those that are kept aside."""

    def __init__(self, folder: str | Path, *, held_out: bool = False) -> None:
        """RecordingError when the folder holds none."""
        self.folder, aside = Path(folder), kept_aside("photos")
        index = self.folder / "index.json"
        try:
            entries = json.loads(index.read_text(encoding="utf-8"))["images"]
        except (OSError, ValueError, KeyError) as error:
            raise RecordingError(f"{index} cannot be read: {error}; give a folder of photographs with masks") from error
        self.sets: dict[str, list[str]] = {}
        for entry in entries:
            if (entry["id"] in aside) == held_out:
                self.sets.setdefault(entry["set"], []).append(entry["id"])
        if not self.sets:
            raise RecordingError(f"{index} names no {'held-out' if held_out else 'training'} photographs")
        self._names = sorted(self.sets)
        weights = np.array(
            [
                len(self.sets[name]) if name == VARIED_SET else min(len(self.sets[name]), MOST_OF_A_SET)
                for name in self._names
            ],
            float,
        )
        self._weights = weights / weights.sum()
        self._kept: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def photo(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (H, W, 3) RGB and labels (H, W) of one photograph."""
        if name not in self._kept:
            picture = read_picture(self.folder / "images" / f"{name}.jpg")
            labels = read_labels(self.folder / "masks" / f"{name}.png", white_is_void=lambda: True)
            if picture is None or picture.shape[:2] != labels.shape:
                raise RecordingError(
                    f"photograph {name} in {self.folder} cannot be read, or has another size than its masks"
                )
            self._kept[name] = (picture, labels)
        return self._kept[name]

    def cutout(self, random: np.random.Generator, side: int) -> np.ndarray | None:
        """A whole thing, (side, side, 4) RGB and coverage, in the middle; None when the chosen one is not whole."""
        picture, labels = self._any(random)
        values = ids_in(labels)
        mask = labels == (values[random.integers(len(values))] if values else IGNORE_LABEL)
        border = np.concatenate((mask[0], mask[-1], mask[:, 0], mask[:, -1])).sum()
        if mask.mean() < SMALLEST_CUTOUT or border > MOST_BORDER * np.sqrt(mask.sum()) * 4:
            return None
        coverage = cv2.erode(np.where(mask, 255, 0).astype(np.uint8), np.ones((2, 2), np.uint8))  # no rim of background
        sprite = squared(np.dstack([picture, cv2.blur(coverage, (2, 2))]), side)
        return sprite[:, ::-1] if random.random() < 0.5 else sprite

    def _any(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        ids = self.sets[self._names[random.choice(len(self._names), p=self._weights)]]
        return self.photo(ids[random.integers(len(ids))])

    def draw(self, random: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
        """A picture (side, side, 3) and the coverages of the things on it, (K, side, side) uint8.

        Drawn by set, then by photograph, then by thing, so that none of them is seen all the time.
        """
        picture, labels = self._any(random)
        values = ids_in(labels)
        if values and random.random() >= WHOLE_SHARE:
            y, x = _window(random, labels == values[random.integers(len(values))])
            picture, labels = picture[y, x], labels[y, x]
            values = [value for value in values if (labels == value).any()]
        if random.random() < 0.5:
            picture, labels = picture[:, ::-1], labels[:, ::-1]
        pictures, covers = as_clip([picture], [labels], values, side)
        return pictures[0], covers[0]


def _window(random: np.random.Generator, mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a window that shows most of a thing and some of what surrounds it."""
    height, width = mask.shape
    x, y, wide, tall = cv2.boundingRect(mask.astype(np.uint8))
    reach = random.uniform(1.1, 3.5) * max(wide, tall)
    across = int(np.clip(reach * np.exp(random.normal(0, 0.15)), min(64, width), width))
    down = int(np.clip(reach * np.exp(random.normal(0, 0.15)), min(64, height), height))
    left = int(np.clip(x + wide / 2 + random.uniform(-0.4, 0.4) * (across - wide / 2) - across / 2, 0, width - across))
    top = int(np.clip(y + tall / 2 + random.uniform(-0.4, 0.4) * (down - tall / 2) - down / 2, 0, height - down))
    return slice(top, top + down), slice(left, left + across)
