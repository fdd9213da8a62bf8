"""Milliseconds per frame of the tracker, whole: resize, encode, attend, decode, remember, masks at camera size.

    python benchmarks/speed.py --size embedded --objects 1 3 8
    python benchmarks/speed.py --size tiny --side 512 --objects 1 4 --peer

Weights are random: speed does not depend on them.  Every memory is full when timing starts.
--peer times the official code (PyPI package sam2) on the same frames and weights in the same
run, the two in turn, so that the ratio holds on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import numpy as np
import torch

from sam2_ros.model import pixels
from sam2_ros.model.precision import autocast
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import SIZES
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

#: Frames until six memories and fifteen pointers are there.
WARM_UP = 16
IMAGE = (480, 640)


#: Eight (480, 640, 3) images, shown in turn.
PICTURES = np.random.default_rng(0).integers(0, 256, (8, *IMAGE, 3), np.uint8)


def boxes(count: int) -> list[tuple[float, float, float, float]]:
    return [(20.0 + 60 * n, 40.0 + 40 * n, 160.0 + 60 * n, 200.0 + 30 * n) for n in range(count)]


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def ours(model: SAM2, count: int) -> Callable[[int], None]:
    """A function that tracks frame number n."""
    tracker = Tracker(model, TrackerSettings())
    device = model.device

    def step(number: int) -> None:
        tracker.track(Frame(PICTURES[number % 8], number + 1))
        if number == 0:
            for n, box in enumerate(boxes(count)):
                tracker.prompt(Prompt(f"object {n}", box=box))
        synchronise(device)

    return step


def official(model: SAM2, count: int, frames: int) -> Callable[[int], None]:
    """The same of the official video predictor in the same precision, with its masks brought to camera size as it does.

    frames: how many it will be asked for; its video has an end.
    """
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
    import sam2.sam2_video_predictor as module
    from oracle import official_model

    device = model.device
    predictor: Any = official_model(model.size, video=True).to(device)
    predictor.load_state_dict(model.state_dict())
    images = torch.cat([pixels.normalise(image, model.size.image_size, device) for image in PICTURES])
    images = images.repeat(-(-frames // len(images)), 1, 1, 1)
    module.load_video_frames = lambda **_: (images, *IMAGE)
    module.tqdm = lambda steps, **_: steps
    state = predictor.init_state("frames")

    @torch.inference_mode()
    def step(number: int) -> None:
        with autocast(device):
            follow(number)
        synchronise(device)

    def follow(number: int) -> None:
        if number == 0:
            for n, box in enumerate(boxes(count)):
                predictor.add_new_points_or_box(state, 0, n, box=box)
        pixels.normalise(PICTURES[number % 8], model.size.image_size, device)  # a stream has to do this
        for _, _, logits in predictor.propagate_in_video(state, number, 0):
            (logits > 0).cpu()

    return step


def timed(steps: list[Callable[[int], None]], frames: int) -> list[list[float]]:
    """Seconds per frame of each function, the functions in turn."""
    seconds: list[list[float]] = [[] for _ in steps]
    for number in range(WARM_UP + frames):
        for step, times in zip(steps, seconds):
            start = time.perf_counter()
            step(number)
            times.append(time.perf_counter() - start)
    return [times[WARM_UP:] for times in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="embedded", choices=sorted(SIZES))
    parser.add_argument("--side", type=int, help="image side in pixels, when not the size's own")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 8])
    parser.add_argument("--frames", type=int, default=40, help="timed frames for each row")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--peer", action="store_true", help="time the official code beside ours")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    size = SIZES[chosen.size].at(chosen.side) if chosen.side else SIZES[chosen.size]
    model = SAM2(size).to(chosen.device).eval()
    print(
        f"{size.name} at {size.image_size} pixels, {chosen.device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print("objects  median ms  (p10, p90)  frames/s" + ("  official ms  ratio" if chosen.peer else ""))
    for count in chosen.objects:
        steps = [ours(model, count), *([official(model, count, WARM_UP + chosen.frames)] if chosen.peer else [])]
        mine, *peers = timed(steps, chosen.frames)
        deciles = statistics.quantiles([1000 * value for value in mine], n=10)
        median = 1000 * statistics.median(mine)
        row = f"{count:7d}  {median:9.1f}  ({deciles[0]:.1f}, {deciles[-1]:.1f})  {1000 / median:8.1f}"
        for peer in peers:
            ratio = statistics.median(theirs / own for theirs, own in zip(peer, mine))
            row += f"  {1000 * statistics.median(peer):11.1f}  {ratio:5.2f}"
        print(row, flush=True)


if __name__ == "__main__":
    main()
