"""The tracker of the source tree on PYTHONPATH, for gate.py: for each line that it reads, it times a few images.

    PYTHONPATH=TREE python benchmarks/parts/gate_worker.py MODEL OBJECTS FRAMES

It uses public names only, so that it runs with earlier revisions.  A line that it writes is the processor time and the
elapsed time of an image in seconds.
"""

from __future__ import annotations

import sys
import time

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import numpy as np

from sam2_ros import Frame, Prompt, Tracker, load

#: Images until the memories are full.
WARM_UP = 16


def picture(number: int) -> np.ndarray:
    """Squares that move over a rough background, (480, 640, 3)."""
    image = np.random.default_rng(0).integers(0, 60, (480, 640, 3), np.uint8)
    for place in range(16):
        x, y = 40 + 150 * (place % 4) + number % 20, 20 + 115 * (place // 4)
        image[y : y + 80, x : x + 80] = np.random.default_rng(place).integers(80, 255, 3)
    return image


def main() -> None:
    model, objects, frames = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    tracker = Tracker(load(model, device="cpu"))
    images = [picture(number) for number in range(20)]

    def track(number: int) -> None:
        tracks = tracker.track(Frame(images[number % len(images)], number + 1))
        _ = [track.mask for track in tracks]

    track(0)
    for place in range(objects):
        x, y = 40.0 + 150 * (place % 4), 20.0 + 115 * (place // 4)
        tracker.prompt(Prompt(f"object {place}", box=(x, y, x + 80, y + 80)))
    for number in range(1, WARM_UP):
        track(number)
    print("ready", flush=True)
    number = WARM_UP
    for _ in sys.stdin:
        used, start = time.process_time(), time.perf_counter()
        for _ in range(frames):
            track(number)
            number += 1
        used, elapsed = time.process_time() - used, time.perf_counter() - start
        print(used / frames, elapsed / frames, flush=True)


if __name__ == "__main__":
    main()
