"""Held-out clips, which training never draws: the same on every machine with the same libraries.

Robot scenes use their own seeds, models and photographs; composites use their own seeds and
photographs and no footage; scenes of scanned objects use held-out objects.
``python -m sam2_ros.training.held_out FOLDER`` writes these sets in the layout of DAVIS, for any reader of it.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.recordings.pictures import write_picture
from sam2_ros.training.clips import Clip, ClipSource, ClipStock
from sam2_ros.training.object_scenes import HELD_OUT_SCENES, HELD_OUT_STORIES, Renderer
from sam2_ros.training.random_scenes import HELD_OUT_SEED, render
from sam2_ros.training.textures import make_bank

#: The listed seeds.  Nothing that trains or tunes may draw them.
COMPOSITE_BANK_SEED = 910_001
COMPOSITE_SEEDS = tuple(range(24))
ROBOT_SEEDS = tuple(range(HELD_OUT_SEED, HELD_OUT_SEED + 16))
COMPOSITE_FRAMES, COMPOSITE_SIDE = 24, 256
ROBOT_FRAMES, ROBOT_SIZE = 40, (240, 320)
OBJECT_SEEDS = tuple(range(HELD_OUT_SEED, HELD_OUT_SEED + HELD_OUT_SCENES))
#: A thing of a rendered scene is asked for when it covers this share of the first picture.
SMALLEST_SHARE = 0.003


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutClip:
    """name, unique.  frames: (T, H, W, 3) uint8 RGB.  masks: (T, N, H, W) bool, disjoint, seen on the first frame."""

    name: str
    frames: np.ndarray
    masks: np.ndarray


def composites(seeds: tuple[int, ...] = COMPOSITE_SEEDS) -> Iterator[HeldOutClip]:
    """Drawn objects over drawn backgrounds."""
    source = ClipSource(ClipStock(COMPOSITE_BANK_SEED, held_out=True))
    for seed in seeds:
        clip = source.draw(seed, COMPOSITE_FRAMES, COMPOSITE_SIDE)
        yield HeldOutClip(f"composite-{seed:03d}", clip.frames, _disjoint(clip))


def robot_scenes(seeds: tuple[int, ...] = ROBOT_SEEDS) -> Iterator[HeldOutClip]:
    """Rendered robot scenes; MissingDependency without pybullet."""
    bank = make_bank(HELD_OUT_SEED, held_out=True)
    for seed in seeds:
        frames, labels = render(seed, bank, ROBOT_FRAMES, ROBOT_SIZE)
        values = [value for value in range(1, int(labels.max())) if (labels[0] == value).mean() > SMALLEST_SHARE]
        if values:
            yield HeldOutClip(f"robot-{seed}", frames, np.stack([labels == value for value in values], axis=1))


def object_scenes(folder: Path) -> Iterator[HeldOutClip]:
    """Rendered scenes of the scanned objects in ``folder``; names tell which are of look-alikes that are shuffled."""
    renderer = Renderer(folder, held_out=True)
    for seed, story in zip(OBJECT_SEEDS, itertools.cycle(HELD_OUT_STORIES)):
        scene = renderer.render(seed, story=story)
        values = [
            value for value in range(1, len(scene.names) + 1) if (scene.labels[0] == value).mean() > SMALLEST_SHARE
        ]
        if story == "shuffle":
            values = [value for value in values if scene.names.count(scene.names[value - 1]) > 1]
        if values:
            name = f"{'look-alikes' if story == 'shuffle' else 'objects'}-{seed}"
            yield HeldOutClip(name, scene.frames, np.stack([scene.labels == value for value in values], axis=1))


def _disjoint(clip: Clip) -> np.ndarray:
    """Objects without those that share pixels with an earlier one (a part of it)."""
    kept: list[int] = []
    for number in range(clip.masks.shape[1]):
        if not any((clip.masks[:, number] & clip.masks[:, other]).any() for other in kept):
            kept.append(number)
    return clip.masks[:, kept]


def write(clip: HeldOutClip, folder: Path) -> None:
    """One sequence in DAVIS layout: JPEGImages/NAME/00000.jpg and Annotations/NAME/00000.png (values 1, 2, ...)."""
    pictures, annotations = folder / "JPEGImages" / clip.name, folder / "Annotations" / clip.name
    pictures.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    values = np.arange(1, clip.masks.shape[1] + 1, dtype=np.uint8)[:, None, None]
    for number, (frame, masks) in enumerate(zip(clip.frames, clip.masks)):
        write_picture(pictures / f"{number:05d}.jpg", frame, cv2.IMWRITE_JPEG_QUALITY, 95)
        write_picture(annotations / f"{number:05d}.png", (masks * values).max(axis=0))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the held-out sets in the layout of DAVIS.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=("composites", "robot", "objects"), default=None)
    parser.add_argument(
        "--objects", type=Path, default=None, help="folder of the scanned objects; without it their scenes are left out"
    )
    options = parser.parse_args()
    if options.only == "objects" and not options.objects:
        parser.error("--only objects needs --objects FOLDER")
    sets: dict[str, Callable[[], Iterator[HeldOutClip]]] = {"composites": composites, "robot": robot_scenes}
    if options.objects:
        sets["objects"] = lambda: object_scenes(options.objects)
    for name in [options.only] if options.only else sets:
        for clip in sets[name]():
            write(clip, options.folder / name)


if __name__ == "__main__":
    main()
