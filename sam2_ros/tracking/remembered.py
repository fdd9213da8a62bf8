"""What a tracker keeps: the last frames, and for each object its memory, its clicks and its estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sam2_ros.errors import InvalidPrompt
from sam2_ros.model.interface import ImageFeatures
from sam2_ros.tracking.memory import MemoryRule
from sam2_ros.tracking.visibility import Visibility
from sam2_ros.types import Prompt

#: Clicks, box corners included, that one object has on one image at most: each makes every further prompt there slower.
MAX_CLICKS = 256


@dataclass(frozen=True, slots=True, eq=False)
class RememberedFrame:
    """One of the last frames; its image is encoded once."""

    index: int  # order of arrival
    stamp: int  # nanoseconds, 0 = unknown
    size: tuple[int, int]
    features: ImageFeatures

    @property
    def seconds(self) -> float | None:
        """Its acquisition time; None where it is unknown."""
        return self.stamp / 1e9 if self.stamp else None


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What the model found of one object on one frame.

    prompted: whether it answers a prompt.  visibility: the published state; before: that on the frame before.
    """

    logits: Tensor  # (1, 1, a, a) float32, holes filled
    iou: float
    score: float
    pointer: Tensor  # (C,)
    prompted: bool
    before: Visibility = Visibility()
    visibility: Visibility = Visibility()


@dataclass(frozen=True, slots=True, eq=False)
class Interaction:
    """The clicks that have gathered for one object on one remembered frame."""

    view: Tensor  # (1, C, h, w) the frame as the object's memory saw it before the first click
    points: NDArray[np.float32]  # (K, 2) camera pixels
    labels: NDArray[np.int32]  # (K,) 2 and 3 are box corners

    def gather(self, prompt: Prompt) -> Interaction:
        """The clicks so far with those of ``prompt``; its box, as two corners, or its mask starts over.

        Raises InvalidPrompt for more than ``MAX_CLICKS``.
        """
        kept = 0 if prompt.box is not None or prompt.mask is not None else len(self.points)
        corners = np.reshape(prompt.box if prompt.box is not None else (), (-1, 2))
        points = np.concatenate([self.points[:kept], corners, prompt.points])
        labels = np.concatenate([self.labels[:kept], (2, 3)[: len(corners)], prompt.labels])
        if len(points) > MAX_CLICKS:
            name = prompt.name or "the object"
            raise InvalidPrompt(
                f"{name} would have {len(points)} clicks on this image, more than {MAX_CLICKS}; "
                "give a box or a mask, which starts over, or click on a newer image"
            )
        return Interaction(self.view, points.astype(np.float32), labels.astype(np.int32))


@dataclass(slots=True, eq=False)
class Target:
    """One followed object.

    start: its published state before the first frame on which it is followed.
    estimates, interactions: by the index of the frame.
    behind: index of the first frame that it is still to be followed onto after a late prompt; infinite = none.
    """

    id: int
    name: str
    bank: MemoryRule[Tensor, Tensor]  # (1, T, m) memories and (1, C) pointers
    start: Visibility = Visibility()
    estimates: dict[int, Estimate] = field(default_factory=dict)
    interactions: dict[int, Interaction] = field(default_factory=dict)
    behind: float = math.inf

    def is_known_on(self, index: int) -> bool:
        """Whether there is anything to go by on frame ``index``: an estimate, or a memory of earlier frames."""
        return index in self.estimates or self.bank.has_past(index)

    def visibility_before(self, index: int) -> Visibility:
        """The published state on the frame before ``index``."""
        if index - 1 in self.estimates:
            return self.estimates[index - 1].visibility
        if index in self.estimates:  # prompted again on the oldest frame
            return self.estimates[index].before
        earlier = [kept for kept in self.estimates if kept < index]
        if earlier:
            return self.estimates[max(earlier)].visibility
        return Visibility() if self.estimates else self.start  # later frames do not tell

    def rewind(self) -> None:
        """The frames come again from the first one: the answers to prompts stay."""
        self.bank.rewind()
        self.estimates = {index: kept for index, kept in self.estimates.items() if kept.prompted}
        self.interactions.clear()
        self.start, self.behind = Visibility(), math.inf

    def prune(self, oldest: int) -> None:
        """Drop what can never be seen again from frame ``oldest`` or a later one.

        The answer to a prompt stays as long as the memory holds its frame: it is needed again after ``rewind``.
        """
        self.bank.prune(oldest)
        prompted = self.bank.prompted
        self.estimates = {
            index: kept
            for index, kept in self.estimates.items()
            if index >= oldest or (kept.prompted and index in prompted)
        }
        self.interactions = {index: kept for index, kept in self.interactions.items() if index >= oldest}
