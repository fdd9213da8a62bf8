"""How much the engines lose to neighbours: a tracker alone, beside a busy process, and two trackers at once.

    python benchmarks/neighbours.py --size embedded_lite --objects 1 3 --json neighbours.json

Milliseconds per frame, medians over all rounds, with random weights.  The settings of the threads are timed in turn, in
the same two processes.  It needs the extra openvino.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from sam2_ros import cpu_threads

cpu_threads.prepare()

import torch
from parts.contenders import Ours, size_named, weights_of

from sam2_ros.engines import openvino
from sam2_ros.model.interface import Model
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, Size

#: Threads of torch, and what OpenVINO is told besides; None = torch computes everything.
SETTINGS: dict[str, tuple[int, dict[str, Any] | None]] = {
    "PyTorch, 2 threads": (2, None),
    "PyTorch, 1 thread": (1, None),
    "OpenVINO, 2 threads": (2, {}),
    "OpenVINO, 2 threads, pinned": (2, {"ENABLE_CPU_PINNING": True}),
    "OpenVINO, 1 thread": (1, {}),
    "OpenVINO, 2 threads, torch 1": (1, {"INFERENCE_NUM_THREADS": 2}),
}

#: Frames before the memories are full.
WARM_UP = 16


def contender(model: SAM2, threads: int, options: dict[str, Any] | None) -> Model:
    """The model with one setting of the threads."""
    torch.set_num_threads(threads)
    if options is None:
        return model
    chosen = openvino.options("float32") | options
    with mock.patch.object(openvino, "options", return_value=chosen):
        return openvino.prepare(model, "float32")


def work(size: Size, frames: int) -> None:
    """Time a setting for each line that comes in: its name and the number of objects."""
    torch.manual_seed(0)
    model = SAM2(size)
    model.load_state_dict(weights_of(size)[0], strict=True)
    model.eval()
    models = {name: contender(model, *setting) for name, setting in SETTINGS.items()}
    steps: dict[str, Callable[[], None]] = {}
    print("ready", flush=True)
    for line in map(str.strip, sys.stdin):
        name, objects = line.rsplit(" ", 1)
        torch.set_num_threads(SETTINGS[name][0])
        if line not in steps:
            steps[line] = frame_after_frame(models[name], int(objects))
        times = []
        for _ in range(frames):
            start = time.perf_counter()
            steps[line]()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def frame_after_frame(model: Model, objects: int) -> Callable[[], None]:
    """A function that tracks the next frame; the memories are full."""
    step, numbers = Ours(model, "torch", "float32").begin(objects, WARM_UP), itertools.count()

    def track() -> None:
        step(next(numbers))

    for _ in range(WARM_UP):
        track()
    return track


def answers(workers: list[subprocess.Popen[str]], name: str, objects: int) -> list[float]:
    """Seconds per frame that some workers measure at the same time."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(f"{name} {objects}\n")
        worker.stdin.flush()
    return [seconds for worker in workers for seconds in json.loads(line_of(worker))]


def line_of(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def measured(workers: list[subprocess.Popen[str]], name: str, objects: int) -> dict[str, list[float]]:
    """Seconds per frame of one setting in the three situations."""
    found = {"alone": answers(workers[:1], name, objects)}
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found["beside a busy process"] = answers(workers[:1], name, objects)
    finally:
        busy.kill()
        busy.wait()
    return found | {"two at once": answers(workers, name, objects)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_named, default=EMBEDDED_LITE, metavar="SIZE")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--rounds", type=int, default=3, help="how often each setting has its turn")
    parser.add_argument("--frames", type=int, default=6, help="timed frames of each turn")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.work:
        work(chosen.size, chosen.frames)
        return
    workers = [
        subprocess.Popen(
            [sys.executable, *sys.argv, "--work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    rows: list[dict[str, Any]] = []
    try:
        assert all(line_of(worker) == "ready" for worker in workers)
        print("| setting | objects | alone | beside a busy process | two at once |\n| --- | --- | --- | --- | --- |")
        for objects in chosen.objects:
            spent: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in SETTINGS}
            for _, name in itertools.product(range(chosen.rounds), SETTINGS):
                for situation, seconds in measured(workers, name, objects).items():
                    spent[name][situation] += seconds
            for name, situations in spent.items():
                medians = {where: 1000 * statistics.median(seconds) for where, seconds in situations.items()}
                rows.append({"setting": name, "objects": objects, **medians})
                print(
                    f"| {name} | {objects} | {' | '.join(f'{value:.1f}' for value in medians.values())} |", flush=True
                )
    finally:
        for worker in workers:
            worker.kill()
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
