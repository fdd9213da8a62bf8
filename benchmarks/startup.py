"""Seconds from the start of a process to the first mask, and the memory that tracking takes.

    python benchmarks/startup.py
    python benchmarks/startup.py --size embedded_lite edgetam_512 tiny_512 --objects 1 8 --json startup.json
    python benchmarks/startup.py --size tiny_512 --engine torch openvino

Each row is a process of its own, started --runs times; the table has the medians.  "import" is Python with PyTorch and
this package, "load" reads the weights (random ones, in a file), "first mask" is the first image, a box on it and the
mask.  "started" is the resident memory at that moment, "peak" the largest of the whole process after all memories were
filled; on a GPU both are what PyTorch has allocated there.  With OpenVINO the first run converts the model, so take a
few runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from parts.contenders import size_named, weights_of
from parts.stopwatch import table_lines

from sam2_ros.model.sizes import EMBEDDED_LITE, Size

CHILD = Path(__file__).parent / "parts" / "first_mask.py"
HEADER = ["model", "parameters", "engine", "objects", "import [s]", "load [s]", "first mask [s]", "together [s]"]


@dataclass(frozen=True)
class Started:
    """What a process says: seconds, and bytes."""

    imported: float
    loaded: float
    first_mask: float
    started_bytes: int
    peak_bytes: int

    @property
    def together(self) -> float:
        """From the start of the process to the first mask."""
        return self.imported + self.loaded + self.first_mask


def started(weights: Path, side: int, engine: str, device: str, objects: int) -> Started:
    """A process that loads these weights and tracks."""
    command = [sys.executable, CHILD, weights, side, engine, device, objects, time.time()]
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"{CHILD.name} ended with code {done.returncode}")
    return Started(**json.loads(done.stdout.splitlines()[-1]))


def median(runs: Sequence[Started]) -> Started:
    """The median of each figure."""
    columns: dict[str, Any] = {name: [getattr(run, name) for run in runs] for name in asdict(runs[0])}
    return Started(**{name: statistics.median(values) for name, values in columns.items()})


def line(size: Size, parameters: int, engine: str, objects: int, found: Started) -> str:
    """A row of the table."""
    seconds = (found.imported, found.loaded, found.first_mask, found.together)
    memory = (found.started_bytes, found.peak_bytes)
    return table_lines(
        [
            f"{size.name} {size.image_size}",
            f"{parameters / 1e6:.1f} M",
            engine,
            str(objects),
            *(f"{value:.1f}" for value in seconds),
            *(f"{value / 1e6:.0f}" for value in memory),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_named, nargs="+", default=[EMBEDDED_LITE], metavar="SIZE")
    parser.add_argument("--engine", nargs="+", default=["torch"], choices=["torch", "openvino"])
    parser.add_argument("--objects", type=int, nargs="+", default=[1])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    print(table_lines([*HEADER, "started [MB]", "peak [MB]"], first=True), flush=True)
    for size in chosen.size:
        weights = weights_of(size)[1]
        parameters = sum(tensor.numel() for tensor in weights.values())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.pt"
            torch.save({"model": dict(weights)}, path)
            for engine in chosen.engine:
                for objects in chosen.objects:
                    runs = [started(path, size.image_size, engine, chosen.device, objects) for _ in range(chosen.runs)]
                    found = median(runs)
                    print(line(size, parameters, engine, objects, found), flush=True)
                    row = {"size": size.name, "side": size.image_size, "engine": engine, "objects": objects}
                    rows.append({**row, "parameters": parameters, **asdict(found)})
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
