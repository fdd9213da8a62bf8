"""Trains on a borrowed machine for some minutes: one command, which continues if it is called again.

    python -m sam2_ros.training.on_gpu PACK.zip RUN --minutes 8

It unpacks the file of ``packing``, measures its first steps, and makes the last stage of the recipe as long as the
remaining time allows, so that the learning rate has fallen at the end.  A run that was saved in RUN is continued;
RUN/model.safetensors is the result.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import logging
import time
from pathlib import Path

from sam2_ros import cpu_threads
from sam2_ros.training.packing import unpack
from sam2_ros.training.recipe import read_settings
from sam2_ros.training.train import saved_settings, train

logger = logging.getLogger(__name__)

RECIPE = Path(__file__).parent / "embedded_lite_gpu.yaml"
#: Part of the time that is planned for steps; the rest is for saving, and for steps that take longer than the first.
PLANNED = 0.9


def run(pack: Path, folder: Path, minutes: float, config: Path = RECIPE) -> Path:
    """Train for ``minutes``, from what is packed or on from what was saved; the path of the trained weights."""
    started = time.monotonic()
    data = unpack(pack, folder / "data")
    logger.info("unpacked after %.0f s", time.monotonic() - started)
    whole = read_settings(config, None, out=str(folder), **data)
    if not (folder / "state.pt").is_file():
        train(dataclasses.replace(whole, stages=whole.stages[:1]))
    settings = read_settings(None, saved_settings(folder), out=str(folder), **data)
    if len(settings.stages) < len(whole.stages):
        spent, pace = time.monotonic() - started, _seconds_per_step(folder / "steps.csv")
        steps = max(int((60 * minutes - spent) * PLANNED / pace), 1)
        logger.info("%.0f s are over; a step takes %.2f s, so the last stage has %d", spent, pace, steps)
        stages = (*whole.stages[:-1], dataclasses.replace(whole.stages[-1], steps=steps))
        settings = dataclasses.replace(whole, stages=stages)
    left = max(minutes - (time.monotonic() - started) / 60, 0.1)
    return train(dataclasses.replace(settings, time_limit_minutes=left), resume=True)


def _seconds_per_step(path: Path) -> float:
    """Of the second half of the steps so far: the first ones wait for the data."""
    with path.open(newline="") as file:
        minutes = [float(row["minutes"]) for row in csv.DictReader(file)]
    middle = (len(minutes) - 1) // 2
    return max(60 * (minutes[-1] - minutes[middle]) / max(len(minutes) - 1 - middle, 1), 1e-3)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pack", type=Path, help="what packing.py made")
    parser.add_argument("run", type=Path, help="folder of the run; called again with it, it goes on")
    parser.add_argument("--minutes", type=float, default=8.0, help="of this call")
    parser.add_argument("--config", type=Path, default=RECIPE)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(run(options.pack, options.run, options.minutes, options.config))


if __name__ == "__main__":
    cpu_threads.prepare()
    main()
