"""Joins copies of a run that trained beside each other: all of them go on from their mean.

    sam2_ros train --config RECIPE --seed 31 --threads 1 --out RUN_A     and, at the same time,
    sam2_ros train --config RECIPE --seed 32 --threads 1 --out RUN_B
    python -m sam2_ros.training.joining RUN_A RUN_B                      now and then, while both are stopped

Threads of one run wait for each other after every operation; copies with one thread each use all cores.  Weights,
averaged weights and the optimiser's moments are averaged.  Both runs then go on with --resume, each with its own
seed.  After the last join ``model.safetensors`` of any of them is the result.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.model import checkpoint
from sam2_ros.training.train import state_in, write_state

logger = logging.getLogger(__name__)

#: What of a state is averaged; the step is the lowest of all, and the settings of a run stay its own.
AVERAGED = ("model", "average", "optimiser")


def join(folders: list[Path]) -> int:
    """Give the runs in ``folders`` the mean of their states, and return the step from which they go on.

    Raises InvalidInput for fewer than two folders, CheckpointError for a folder without a run and for runs of
    different models; then nothing is written.
    """
    if len(set(folders)) < 2:
        raise InvalidInput(f"to join runs takes two folders or more, got {len(set(folders))}")
    states = [torch.load(state_in(folder), map_location="cpu", weights_only=True) for folder in folders]
    models = [checkpoint.load(folder / "model.safetensors", "cpu") for folder in folders]
    try:
        joined = {name: _mean([state[name] for state in states]) for name in AVERAGED}
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{', '.join(map(str, folders))} hold runs of different models: {error}") from error
    step = min(state["step"] for state in states)
    for folder, state, model in zip(folders, states, models):
        write_state(state | joined | {"step": step}, folder)
        model.load_state_dict(joined["average"])
        checkpoint.save(model, folder / "model.safetensors")
    return step


def _mean(values: list[Any]) -> Any:
    """The mean of tensors in equally nested dicts; all else is as in the first."""
    first = values[0]
    if isinstance(first, dict):
        return {name: _mean([value[name] for value in values]) for name in first}
    if isinstance(first, Tensor) and first.is_floating_point():
        return torch.stack([value.double() for value in values]).mean(0).to(first.dtype)
    return first


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of the runs, all stopped")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("joined at step %d", join(options.runs))


if __name__ == "__main__":
    main()
