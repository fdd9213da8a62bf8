"""A process that startup.py starts: it tracks, and prints its times and its memory as JSON.

    python benchmarks/parts/first_mask.py WEIGHTS SIDE ENGINE DEVICE OBJECTS BEGAN

BEGAN: when the process was started, in seconds of the clock.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import numpy as np
import torch

from sam2_ros.engines.choice import load
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt

#: Images until the memories are full.
FRAMES = 20


def bytes_now(device: str) -> int:
    """Resident, or allocated on the GPU."""
    if device != "cpu":
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def bytes_at_most(device: str) -> int:
    """The same, the largest of the process."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    weights, side, engine, device, objects, began = sys.argv[1:]
    imported = time.time()
    tracker = Tracker(load(weights, device, int(side), engine))
    loaded = time.time()
    images = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), np.uint8)
    tracker.track(Frame(images[0], 1))
    _ = tracker.prompt(Prompt("object 0", box=(100, 100, 300, 300))).track.mask
    seen = time.time()
    memory = bytes_now(device)
    for number in range(1, int(objects)):
        tracker.prompt(Prompt(f"object {number}", box=(100 + 20 * number, 100, 300 + 20 * number, 300)))
    for number in range(1, FRAMES):
        _ = [track.mask for track in tracker.track(Frame(images[number % 4], number + 1))]
    found = {
        "imported": imported - float(began),
        "loaded": loaded - imported,
        "first_mask": seen - loaded,
        "started_bytes": memory,
        "peak_bytes": bytes_at_most(device),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
