"""What a tracker keeps: the remembered frames, what was said and found on them, and the followed objects."""

from __future__ import annotations

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
class Answer:
    """What the model found of one object on one frame; before: the published state on the frame before."""

    logits: Tensor  # (1, 1, a, a) float32, holes filled
    iou: float
    score: float
    pointer: Tensor  # (C,)
    before: Visibility = Visibility()
    visibility: Visibility = Visibility()


@dataclass(frozen=True, slots=True, eq=False)
class Interaction:
    """The clicks that have gathered for one object on one remembered frame."""

    view: Tensor  # (1, C, h, w) the frame as the object's memory saw it before the first click
    points: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))  # (K, 2) camera pixels
    labels: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))  # (K,) 2 and 3 are box corners

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


@dataclass(slots=True)
class Moment:
    """One remembered frame, with what was found on it and what was said about it, by object id."""

    index: int
    stamp: int
    size: tuple[int, int]
    features: ImageFeatures
    answers: dict[int, Answer] = field(default_factory=dict)
    interactions: dict[int, Interaction] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """Its acquisition time; None where the camera did not say."""
        return self.stamp / 1e9 if self.stamp else None


@dataclass(slots=True)
class Followed:
    """One followed object.

    given: the answers to its prompts, by the index of the frame.
    behind: index of the first frame that it is still to be followed onto after a late prompt.
    """

    id: int
    name: str
    bank: MemoryRule[Tensor, Tensor]  # (1, T, m) memories and (1, C) pointers
    visibility: Visibility = Visibility()
    given: dict[int, Answer] = field(default_factory=dict)
    behind: int | None = None

    def prune(self, oldest: int) -> None:
        """Drop what can never be seen again from frame ``oldest`` or a later one."""
        self.bank.prune(oldest)
        self.given = {index: self.given[index] for index in self.bank.prompted if index in self.given}
