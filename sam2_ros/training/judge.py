"""Measures a model on photographs and rendered scenes that no training saw, in one table.

    python -m sam2_ros.training.judge embedded RUN/model.safetensors --photos PHOTOS --scenes HELD_OUT_SCENES

Photographs: IoU from a box, from a click in the middle, and after three, each at the middle of the largest error; how
often a correcting click works (its pixel gets its label) and how often it makes the mask worse.
Scenes (``object_scenes --held-out`` renders them): J by first prompt, on all objects and on look-alikes, J by how
much of the object is seen, F1 of the flag "not visible", and objects found again after they were hidden.
For J&F by the rules of DAVIS write the scenes with ``held_out`` and use ``sam2_ros evaluate``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from sam2_ros import cpu_threads
from sam2_ros.model import checkpoint
from sam2_ros.recordings.labels import IGNORE_LABEL
from sam2_ros.simulated_user import box_around, first_click, next_click
from sam2_ros.tracking.memory import MemoryBank
from sam2_ros.tracking.rules import RULES
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.training.kept_aside import kept_aside
from sam2_ros.training.photographs import Photographs
from sam2_ros.types import Frame, Prompt

#: Most things of one photograph and of one scene that are asked for; smaller ones than this share are left out.
THINGS, SMALLEST_SHARE = 3, 0.002
CLICKS = 3
#: An object of which less than this share is seen counts as hidden; it is found with this IoU.
HIDDEN_BELOW, FOUND = 0.02, 0.5
#: Bounds of the shares seen by which J is told apart.
SEEN = (0.02, 0.3, 0.8, 1.01)


@dataclass
class Clicked:
    """What clicks on photographs brought: IoU lists by prompt, and corrections that were obeyed or did harm."""

    iou: dict[str, list[float]] = field(default_factory=lambda: {"box": [], "1-click": [], "3-click": []})
    obeyed: list[bool] = field(default_factory=list)
    worse: list[bool] = field(default_factory=list)

    def table(self) -> dict[str, float]:
        """Means in per cent."""
        means = {f"photo {name}": np.mean(values) for name, values in self.iou.items()}
        means |= {"click obeyed": np.mean(self.obeyed), "click harms": np.mean(self.worse)}
        return {name: 100 * float(value) for name, value in means.items()}


@dataclass
class Followed:
    """J of objects in scenes: rows of (J, share seen, flagged as not visible) for all frames after the prompt."""

    rows: list[np.ndarray] = field(default_factory=list)
    alike: list[bool] = field(default_factory=list)

    def table(self, prompt: str) -> dict[str, float]:
        """Means in per cent, and F1."""
        means = {f"{prompt} J": np.mean([row[:, 0].mean() for row in self.rows])}
        alike = [row[:, 0].mean() for row, same in zip(self.rows, self.alike) if same]
        if alike:
            means[f"{prompt} J look-alikes"] = np.mean(alike)
        every = np.concatenate(self.rows)
        for low, high in itertools.pairwise(SEEN):
            part = every[(every[:, 1] >= low) & (every[:, 1] < high), 0]
            if len(part):
                means[f"{prompt} J seen {low:.0%}+"] = part.mean()
        hidden, flagged = every[:, 1] < HIDDEN_BELOW, every[:, 2] > 0
        means[f"{prompt} hidden precision"] = (hidden & flagged).sum() / max(flagged.sum(), 1)
        means[f"{prompt} hidden recall"] = (hidden & flagged).sum() / max(hidden.sum(), 1)
        means[f"{prompt} hidden F1"] = 2 * (hidden & flagged).sum() / max(hidden.sum() + flagged.sum(), 1)
        back = [found for row in self.rows for found in _returns(row)]
        if back:
            means[f"{prompt} found again of {len(back)}"] = np.mean(back)
        return {name: 100 * float(value) for name, value in means.items()}


def judge_photos(tracker: Tracker, folder: Path) -> Clicked:
    """Every held-out photograph, some things of each."""
    photographs, result = Photographs(folder, held_out=True), Clicked()
    random = np.random.default_rng(0)
    for name in sorted(kept_aside("photos")):
        picture, labels = photographs.photo(name)
        sizes = {value: (labels == value).mean() for value in np.unique(labels) if value not in (0, IGNORE_LABEL)}
        values = [value for value, share in sizes.items() if share > SMALLEST_SHARE]
        tracker.reset()
        tracker.track(Frame(picture))
        for value in random.permutation(values)[:THINGS]:
            _click_on(tracker, str(value), labels == value, result)
    return result


def _click_on(tracker: Tracker, name: str, truth: np.ndarray, result: Clicked) -> None:
    x0, y0, x1, y1 = box_around(truth)
    boxed = tracker.prompt(Prompt(name, box=(x0, y0, max(x1, x0 + 0.5), max(y1, y0 + 0.5)))).track.mask
    result.iou["box"].append(_iou(boxed, truth))
    tracker.forget(name)
    found: np.ndarray | None = None
    for number in range(CLICKS):
        click = first_click(truth) if found is None else next_click(truth, found)
        if click is not None:
            point, label = click
            former = found
            found = tracker.prompt(Prompt(name, points=point[None], labels=np.array([label]))).track.mask
            if former is not None:
                result.obeyed.append(bool(found[int(point[1]), int(point[0])]) == bool(label))
                result.worse.append(_iou(found, truth) < _iou(former, truth) - 0.005)
        if found is not None and number in (0, CLICKS - 1):
            result.iou[f"{number + 1}-click"].append(_iou(found, truth))
    tracker.forget(name)


def judge_scenes(tracker: Tracker, files: Iterable[Path], prompt: str) -> Followed:
    """Every scene, some objects of each, prompted on its first image."""
    result = Followed()
    for file in files:
        scene, seen, names = read_scene(file)
        random = np.random.default_rng(0)
        labels = scene[..., 3]
        values = [
            value
            for value in range(1, seen.shape[1] + 1)
            if (labels[0] == value).mean() > SMALLEST_SHARE and seen[0, value - 1] > 0.5
        ]
        moves = sorted(random.permutation(values).tolist(), key=lambda value: value != 1)  # the first has the story
        chosen = moves[:THINGS]
        if not chosen:
            continue
        rows = _follow(tracker, scene, chosen, prompt)
        for value, row in zip(chosen, rows):
            result.rows.append(np.column_stack((row[:, 0], seen[1:, value - 1], row[:, 1])))
            result.alike.append(names.count(names[value - 1]) > 1)
    return result


def read_scene(file: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A rendered scene (T, H, W, 4), the share seen of each object (T, K), and their names."""
    table = file.with_suffix(".visible.csv")
    names = table.read_text().splitlines()[0].lstrip("# ").split(",")
    return np.load(file, mmap_mode="r"), np.loadtxt(table, delimiter=",", ndmin=2), names


def _follow(tracker: Tracker, scene: np.ndarray, values: list[int], prompt: str) -> list[np.ndarray]:
    """For each object rows of J and flag, one for each image after the first."""
    tracker.reset()
    rows: dict[str, list[tuple[float, float]]] = {str(value): [] for value in values}
    for number, image in enumerate(scene):
        tracks = tracker.track(Frame(np.ascontiguousarray(image[..., :3]), number + 1))
        if number == 0:
            for value in values:
                _start(tracker, str(value), image[..., 3] == value, prompt)
        for track in tracks if number else ():
            truth = image[..., 3] == int(track.name)
            rows[track.name].append((_iou(track.mask, truth), float(track.occluded)))
    return [np.array(rows[str(value)]) for value in values]


def _start(tracker: Tracker, name: str, truth: np.ndarray, prompt: str) -> None:
    if prompt == "mask":
        tracker.prompt(Prompt(name, mask=truth))
    elif prompt == "box":
        tracker.prompt(Prompt(name, box=box_around(truth)))
    else:
        tracker.prompt(Prompt(name, points=first_click(truth)[0][None], labels=np.array([1])))


def _returns(row: np.ndarray) -> list[bool]:
    """For each time an object comes back: was it found before it left again?"""
    hidden = row[:, 1] < HIDDEN_BELOW
    changes = np.flatnonzero(hidden[1:] != hidden[:-1]) + 1
    return [
        bool((row[start:stop, 0] >= FOUND).any())
        for start, stop in zip(changes, [*changes[1:], len(row)])
        if not hidden[start]
    ]


def _iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two (H, W) bool masks; 1 where both are empty."""
    either = np.count_nonzero(found | truth)
    return np.count_nonzero(found & truth) / either if either else 1.0


def judge(
    weights: str, photos: Path | None, scenes: list[Path], prompts: list[str], memory_rule: str = MemoryBank.name
) -> dict[str, float]:
    """All numbers of one model."""
    tracker = Tracker(checkpoint.load(weights, "cpu"), TrackerSettings(memory_rule=memory_rule))
    table: dict[str, float] = {}
    if photos:
        table |= judge_photos(tracker, photos).table()
    for prompt in prompts if scenes else ():
        table |= judge_scenes(tracker, scenes, prompt).table(prompt)
    return table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="+", help="known names or files; one column each")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--scenes", type=Path, help="folder of rendered held-out scenes")
    parser.add_argument("--count", type=int, default=0, help="number of scenes; 0 = all")
    parser.add_argument("--prompts", nargs="+", default=["mask", "1-click"], choices=("mask", "box", "1-click"))
    parser.add_argument("--memory-rule", default=MemoryBank.name, choices=sorted(RULES), help="in scenes")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = sorted(options.scenes.glob("*.npy")) if options.scenes else []
    scenes = files[: options.count or None]
    columns = [
        judge(weights, options.photos, scenes, options.prompts, options.memory_rule) for weights in options.weights
    ]
    for name in columns[0]:
        print(f"{name:28}" + "".join(f"{column[name]:8.1f}" for column in columns))


if __name__ == "__main__":
    cpu_threads.prepare()
    main()
