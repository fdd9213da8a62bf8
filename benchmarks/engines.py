"""Milliseconds per frame of the tracker by PyTorch and by OpenVINO: the same weights, frames and prompts, in turn.

    python benchmarks/engines.py --size embedded_lite --objects 1 3 8
    python benchmarks/engines.py --size tiny_512 edgetam_512 --objects 1 4 --frames 10 --json engines.json

Both contenders run in one process, so that their ratio holds on a machine whose speed drifts.  It needs the extra
openvino.  Weights, pictures and the table are those of speed.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

import torch
from official import STAGES
from speed import METHODS, WARM_UP, Row, Stopwatch, cells, row, size_named, tracking, weights_of

from sam2_ros.engines import openvino
from sam2_ros.model.interface import Model
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, Size


def contenders(size: Size) -> dict[str, Model]:
    """The model of random weights, and the same run by OpenVINO."""
    model = SAM2(size)
    model.load_state_dict(weights_of(size)[0], strict=True)
    model.eval()
    engine = openvino.prepare(model)
    return {"PyTorch": model, f"OpenVINO {engine.arithmetic}": engine}


def race(models: dict[str, Model], objects: int, warm_up: int, frames: int) -> list[Row]:
    """Time ``frames`` frames with this many objects, the contenders in turn."""
    steps = {name: tracking(model, objects) for name, model in models.items()}
    watches = {name: Stopwatch(torch.device("cpu")) for name in models}
    for name, watch in watches.items():
        watch.watch(models[name], METHODS)
    for number in range(warm_up + frames):
        for name, watch in watches.items():
            watch.frame(steps[name], number)
    timed = {name: watch.frames[-frames:] for name, watch in watches.items()}
    size = next(iter(models.values())).size
    rows = [row(size, name, objects, times) for name, times in timed.items()]
    slow, fast = timed.values()
    rows[-1].faster = statistics.median(one["frame"] / other["frame"] for one, other in zip(slow, fast))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_named, nargs="+", default=[EMBEDDED_LITE], metavar="SIZE")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3, 8])
    parser.add_argument("--frames", type=int, default=20, help="timed frames for each row")
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="frames before those; memories are full after 7")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    print(f"threads {torch.get_num_threads()}, torch {torch.__version__}\n")
    header = ["model", "objects", "", "ms per frame (p10 to p90)", *STAGES, "rest", "times as fast"]
    print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}", flush=True)
    rows: list[Row] = []
    for size in chosen.size:
        models = contenders(size)
        for count in chosen.objects:
            for found in race(models, count, chosen.warm_up, chosen.frames):
                rows.append(found)
                print(f"| {' | '.join(cells(found))} |", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(found) for found in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
