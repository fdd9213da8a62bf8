"""Batches of clips for every step of a training, drawn by worker processes.

The batch of step s depends on the seed and on s alone, so a resumed run sees the batches
that it would have seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from sam2_ros.errors import InvalidInput
from sam2_ros.training.clips import ClipSource, ClipStock
from sam2_ros.training.footage import check_footage
from sam2_ros.training.photographs import Photographs
from sam2_ros.training.recipe import TrainSettings
from sam2_ros.training.robot_clips import RobotClips
from sam2_ros.training.textures import pictures_in
from sam2_ros.training.unroll import ClipBatch, collate

#: Clip numbers of one step start at the step times this.
CLIPS_PER_STEP = 4096
#: Batches that each worker draws ahead.
AHEAD = 3


class Batches(Dataset[ClipBatch]):
    """Item s is the batch of step s."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.source: ClipSource | None = None

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, step: int) -> ClipBatch:
        if self.source is None:  # made in the worker
            self.source = ClipSource(stock_of(self.settings))
        _, stage, _ = self.settings.stage_at(step)
        first = step * CLIPS_PER_STEP
        frames = stage.frames + stage.lead_of(np.random.default_rng((self.settings.seed, step, 4)))
        return collate(
            [
                self.source.draw(
                    first + number, frames, stage.side, self.settings.objects, stage.smallest, self.settings.vanishing
                )
                for number in range(stage.clips)
            ]
        )


def stock_of(settings: TrainSettings) -> ClipStock:
    """What the clips of a training are made of."""
    return ClipStock(
        settings.seed,
        settings.footage or None,
        settings.pictures or None,
        settings.robots or None,
        settings.photos or None,
        settings.scenes or None,
        photo_share=settings.photo_share,
        scene_share=settings.scene_share,
        robot_share=settings.robot_share,
        footage_share=settings.footage_share,
        plain_share=settings.plain_share,
        lingering_share=settings.lingering_share,
        crossing_share=settings.crossing_share,
    )


def check_folders(settings: TrainSettings, tell: Callable[[str], None]) -> None:
    """Say what is used of the folders.

    Raises RecordingError for one that a worker could not use: from there it would come as a traceback.
    InvalidInput where nothing but footage is wanted and none is named.
    """
    if settings.footage_share == 1.0 and not settings.footage:
        raise InvalidInput(
            "footage_share is 1, so nothing but footage is to be learned, and none is named; "
            "give --footage FOLDER, or a smaller footage_share"
        )
    for footage in filter(None, (settings.footage, settings.validation_footage)):
        tell(check_footage(footage))
    for folder in filter(None, (settings.robots, settings.scenes)):
        RobotClips(folder)
    if settings.photos:
        Photographs(settings.photos)
    if settings.pictures:
        pictures_in(Path(settings.pictures))


def feed(settings: TrainSettings, start: int) -> Iterator[ClipBatch]:
    """The batches of steps ``start`` to the end."""
    steps = range(start, settings.steps)
    batches = Batches(settings)
    if settings.workers == 0:
        return (batches[step] for step in steps)
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=settings.workers,
        prefetch_factor=AHEAD,
        worker_init_fn=partial(_prepare, settings.worker_niceness),
    )
    return iter(loader)


def _prepare(niceness: int, _: int) -> None:
    """What a worker does first; at the top of the module, since workers that are not forked look it up by name."""
    os.nice(niceness)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
