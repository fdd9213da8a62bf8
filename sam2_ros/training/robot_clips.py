"""Rendered scenes in files, as training clips.

One file is one scene: a compressed ``.npz`` with ``frames`` (T, H, W, 3) uint8 RGB and
``labels`` (T, H, W) uint8, one value per object, 0 = background; or a plain ``.npy`` (T, H, W, 4) uint8
of both, of which only the needed part is read.  ``random_scenes`` and ``object_scenes`` write such files; the
latter writes the names of the objects beside them, which say which objects look alike.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.training.compositing import WHOLE_SHARE, as_clip

#: Decompressed scenes kept at hand, of 7 MB each.
KEPT = 250
#: With this many scenes or more they get their whole share of a training; with fewer less, in proportion.
ENOUGH = 100
#: Share of the robot scenes that skip every second picture; they have two pictures a second, so that is fast.
FAST_SHARE = 0.25
#: Share of the clips of a scene with look-alikes that ask for nothing else: they are what trackers confuse.
ALIKE_SHARE = 0.6


class RobotClips:
    """A folder of rendered scenes; ``fullness``: how much of their share of a training they are enough for, 0..1."""

    def __init__(self, folder: str | Path, fast_share: float = FAST_SHARE, fastest: int = 2) -> None:
        """List the folder; RecordingError when it holds no scenes.

        fast_share: share of the clips that are played at 2 to ``fastest`` times the speed.
        """
        self.fast_share, self.fastest = fast_share, fastest
        self.files = sorted(path for path in Path(folder).glob("*.np[yz]"))
        if not self.files:
            raise RecordingError(f"{folder} holds no .npz or .npy scenes; render some, or name no folder")
        self.fullness = min(1.0, len(self.files) / ENOUGH)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def clip(self, random: np.random.Generator, frames: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (T, side, side, 3) and coverages (T, K, side, side) of a random stretch and window."""
        scene = int(random.integers(len(self.files)))
        pictures, labels = self.scene(scene)
        count, height, width = labels.shape
        wanted = int(random.integers(2, self.fastest + 1)) if random.random() < self.fast_share else 1
        speed = min(wanted, max((count - 1) // max(frames - 1, 1), 1))
        start = int(random.integers(max(count - speed * (frames - 1), 1)))
        numbers = np.minimum(start + speed * np.arange(frames), count - 1)
        numbers = numbers[::-1] if random.random() < 0.3 else numbers
        narrowest = 1.0 if random.random() < WHOLE_SHARE else 0.6
        tall, wide = (int(length * random.uniform(narrowest, 1.0)) for length in (height, width))
        y, x = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
        values = [value for value in np.unique(labels[numbers[0], y : y + tall, x : x + wide]) if value]
        alike = [value for value in values if value in self._alike(scene)]
        if alike and random.random() < ALIKE_SHARE:
            values = alike
        step = -1 if random.random() < 0.5 else 1
        window = (numbers, slice(y, y + tall), slice(x, x + wide))
        return as_clip(pictures[window][:, :, ::step], list(labels[window][:, :, ::step]), values, side)

    def _alike(self, number: int) -> set[int]:
        """The values of the objects of a scene that look like another one; none where no names are told."""
        names = self.names(number)
        return {value for value, name in enumerate(names, 1) if names.count(name) > 1}

    def names(self, number: int) -> list[str]:
        """What the objects of a scene are called; none where the file does not say."""
        table = self.files[number].with_suffix(".visible.csv")
        if not table.is_file():
            return []
        with open(table, encoding="utf-8") as lines:
            return lines.readline().lstrip("# ").rstrip().split(",")

    def scene(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """All pictures (T, H, W, 3) and labels (T, H, W) of a scene."""
        if self.files[number].suffix == ".npy":
            scene = np.load(self.files[number], mmap_mode="r")
            return scene[..., :3], scene[..., 3]
        if number not in self._kept:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            with np.load(self.files[number]) as data:
                self._kept[number] = (data["frames"], data["labels"])
        return self._kept[number]
