"""Milliseconds per frame of the tracker, whole: resize, encode, attend, decode, remember, masks at camera size.

    python benchmarks/speed.py
    python benchmarks/speed.py --size edgetam_512 tiny_512 --objects 1 4 --peer --json speed_512.json

Weights are random: speed does not depend on them.  Every memory is full when timing starts.
--peer times the official code (see official.py) on the same frames, prompts and weights in the
same process, the two in turn, so that the ratio holds on a machine whose speed drifts.

The table is Markdown; its lines are printed as soon as they are measured.  "rest" is what a frame
takes besides the four stages.  The official code enlarges its mask to the side of the image in
"decode", ours in "remember".
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import numpy as np
import torch
from official import STAGES, OfficialStream, official_predictor
from torch import Tensor

from sam2_ros.errors import InvalidInput
from sam2_ros.model import pixels
from sam2_ros.model.interface import Model
from sam2_ros.model.precision import autocast
from sam2_ros.model.repvit import folded
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, PERCEIVER, SIZES, Size
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

#: Frames until six memories and fifteen pointers are there.
WARM_UP = 16
IMAGE = (480, 640)
#: The methods of our model, by stage; decode_mask is not used here.
METHODS = {"encode": "encode_image", "attend": "attend", "decode": "decode", "remember": "encode_memory"}


#: Eight (480, 640, 3) images, shown in turn.
PICTURES = np.random.default_rng(0).integers(0, 256, (8, *IMAGE, 3), np.uint8)


def boxes(count: int) -> list[tuple[float, float, float, float]]:
    return [(20.0 + 60 * n, 40.0 + 40 * n, 160.0 + 60 * n, 200.0 + 30 * n) for n in range(count)]


class Stopwatch:
    """Seconds of each frame, whole and by stage."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.frames: list[dict[str, float]] = []
        self._spent: defaultdict[str, float] = defaultdict(float)

    def watch(self, owner: Any, methods: dict[str, str]) -> None:
        """Add the time of the ``methods`` of an object, by stage, to that stage."""
        for stage, name in methods.items():
            setattr(owner, name, self._timed(stage, getattr(owner, name)))

    def frame(self, step: Callable[[int], object], number: int) -> None:
        """Take the step of frame ``number``, and keep its times."""
        self._spent.clear()
        self._timed("frame", step)(number)
        self.frames.append(dict(self._spent))

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = self._now()
            result = function(*args, **options)
            self._spent[stage] += self._now() - start
            return result

        return timed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass
class Row:
    """Times of one contender in milliseconds: median and deciles of whole frames, medians of the stages.

    faster: the median over the frames of the official code's time over ours; None in its own rows.
    """

    size: str
    side: int
    contender: str
    objects: int
    median: float
    p10: float
    p90: float
    stages: dict[str, float]
    faster: float | None = None


def row(size: Size, contender: str, objects: int, frames: list[dict[str, float]]) -> Row:
    """The row of a contender from the seconds of its timed frames."""
    spent = {stage: [1000 * frame.get(stage, 0.0) for frame in frames] for stage in ("frame", *STAGES)}
    whole = spent.pop("frame")
    spent["rest"] = [frame - sum(stages) for frame, *stages in zip(whole, *spent.values())]
    deciles = statistics.quantiles(whole, n=10, method="inclusive")
    medians = {stage: statistics.median(times) for stage, times in spent.items()}
    return Row(
        size.name, size.image_size, contender, objects, statistics.median(whole), deciles[0], deciles[-1], medians
    )


def size_named(given: str) -> Size:
    """A size by its name, which may end in a side of the image: tiny, tiny_512."""
    name, _, side = given.rpartition("_")
    if given not in SIZES and not (name in SIZES and side.isdecimal()):
        raise argparse.ArgumentTypeError(f"{given!r} is none of {', '.join(SIZES)}, alone or with a side: tiny_512")
    try:
        return SIZES[given] if given in SIZES else SIZES[name].at(int(side))
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def weights_of(size: Size) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random weights in the names of our model, and in those of the official one."""
    if size.memory == PERCEIVER:
        from edgetam_weights import edgetam_weights

        published = edgetam_weights(object_score=4.0)
        return folded(published), published
    drawn = SAM2(size).state_dict()
    return drawn, drawn


def tracking(model: Model, count: int) -> Callable[[int], object]:
    """A function that tracks frame number n with this many objects."""
    tracker = Tracker(model, TrackerSettings())

    def step(number: int) -> None:
        tracks = tracker.track(Frame(PICTURES[number % len(PICTURES)], number + 1))
        _ = [track.mask for track in tracks]
        if number == 0:
            for n, box in enumerate(boxes(count)):
                tracker.prompt(Prompt(f"object {n}", box=box))

    return step


class Race:
    """The contenders of one size with the same weights."""

    def __init__(self, size: Size, device: torch.device, *, peer: bool, warm_up: int = WARM_UP) -> None:
        self.size, self.device, self.warm_up = size, device, warm_up
        own, published = weights_of(size)
        self._model = SAM2(size)
        self._model.load_state_dict(own, strict=True)
        self._model.to(device).eval()
        self._watches = {"sam2_ros": Stopwatch(device)}
        self._watches["sam2_ros"].watch(self._model, METHODS)
        if peer:
            self._predictor = official_predictor(size, published).to(device)
            self._watches["official"] = Stopwatch(device)
            self._watches["official"].watch(self._predictor, STAGES)

    def run(self, objects: int, frames: int) -> list[Row]:
        """Time ``frames`` frames with this many objects, the contenders in turn."""
        steps = {"sam2_ros": tracking(self._model, objects)}
        if "official" in self._watches:
            steps["official"] = self._official(objects, self.warm_up + frames)
        for number in range(self.warm_up + frames):
            for name, step in steps.items():
                self._watches[name].frame(step, number)
        timed = {name: self._watches[name].frames[-frames:] for name in steps}
        rows = [row(self.size, name, objects, times) for name, times in timed.items()]
        if "official" in timed:
            pairs = zip(timed["official"], timed["sam2_ros"])
            rows[0].faster = statistics.median(theirs["frame"] / own["frame"] for theirs, own in pairs)
        return rows

    def _official(self, count: int, frames: int) -> Callable[[int], object]:
        """The same of the official video predictor; frames: how many, since its video has an end."""
        side = self.size.image_size
        images = torch.cat([pixels.normalise(image, side, self.device) for image in PICTURES])
        images = images.repeat(-(-frames // len(images)), 1, 1, 1)
        stream = OfficialStream(self.size, self._predictor, images, IMAGE, boxes(count))

        def step(number: int) -> None:
            pixels.normalise(PICTURES[number % len(PICTURES)], side, self.device)  # a stream has to do this
            with autocast(self.device):
                stream.track(number)

        return step


def cells(found: Row) -> list[str]:
    """A row of the table."""
    faster = "" if found.faster is None else f"{found.faster:.2f}"
    spread = f"{found.median:.0f} ({found.p10:.0f} to {found.p90:.0f})"
    model = f"{found.size} {found.side}"
    return [model, str(found.objects), found.contender, spread, *(f"{ms:.0f}" for ms in found.stages.values()), faster]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size",
        type=size_named,
        nargs="+",
        default=[EMBEDDED_LITE],
        metavar="SIZE",
        help=f"one or more of {', '.join(SIZES)}, alone or with a side of the image: tiny_512 (default: "
        "embedded_lite, which ships as embedded)",
    )
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 8])
    parser.add_argument("--frames", type=int, default=40, help="timed frames for each row")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="frames before those; memories are full after 7")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="time the official code beside ours")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    facts = {
        "device": chosen.device,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "frames": chosen.frames,
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()) + "\n")
    header = ["model", "objects", "", "ms per frame (p10 to p90)", *STAGES, "rest", "times as fast"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    rows: list[Row] = []
    for size in chosen.size:
        race = Race(size, torch.device(chosen.device), peer=chosen.peer, warm_up=chosen.warm_up)
        for count in chosen.objects:
            for found in race.run(count, chosen.frames):
                rows.append(found)
                print(f"| {' | '.join(cells(found))} |", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps({**facts, "rows": [asdict(found) for found in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
