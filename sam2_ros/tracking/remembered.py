"""What a tracker keeps: the remembered frames, what was said and found on them, and the followed objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from sam2_ros.errors import InvalidPrompt
from sam2_ros.model import pixels
from sam2_ros.model.sam2 import ImageFeatures, Memories
from sam2_ros.tracking.memory import MemoryBank, View
from sam2_ros.tracking.visibility import Visibility
from sam2_ros.types import Prompt, Track

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
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.float32))  # (K, 2) camera pixels
    labels: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))  # (K,) 2 and 3 are box corners

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


@dataclass(slots=True)
class Followed:
    """One followed object.

    given: the answers to its prompts, by the index of the frame.
    behind: index of the first frame that it is still to be followed onto after a late prompt.
    """

    id: int
    name: str
    bank: MemoryBank[Tensor, Tensor]  # (m, h, w) memories and (C,) pointers
    visibility: Visibility = Visibility()
    given: dict[int, Answer] = field(default_factory=dict)
    behind: int | None = None

    def prune(self, oldest: int) -> None:
        """Drop what can never be seen again from frame ``oldest`` or a later one."""
        self.bank.prune(oldest)
        self.given = {index: self.given[index] for index in self.bank.prompted if index in self.given}


def stacked(views: Sequence[View], device: torch.device) -> Memories:
    """The views of several objects, equally long, as one batch."""

    def numbers(part: str, dtype: torch.dtype) -> Tensor:
        rows = [[number for _, number in getattr(view, part)] for view in views]
        return torch.tensor(rows, dtype=dtype, device=device)

    def tensors(part: str) -> Tensor:
        return torch.stack([torch.stack([tensor for tensor, _ in getattr(view, part)]) for view in views])

    return Memories(
        spatial=tensors("spatial"),
        time_code=numbers("spatial", torch.int64),
        pointers=tensors("pointers"),
        pointer_distance=numbers("pointers", torch.float32),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One object of a frame as it is published, but for its mask at the camera's size."""

    id: int
    name: str
    answer: Answer
    prompted_frames: int

    @classmethod
    def of(cls, followed: Followed, answer: Answer) -> Shown:
        return cls(followed.id, followed.name, answer, len(followed.bank.prompted))

    def track(self, mask: np.ndarray) -> Track:
        """With its (H, W) bool mask."""
        answer = self.answer
        return Track(
            id=self.id,
            name=self.name,
            state=answer.visibility.state,
            occluded=answer.score <= 0,
            mask=mask,
            object_score=answer.score,
            predicted_iou=answer.iou,
            object_pointer=answer.pointer.float().cpu().numpy().copy(),
            frames_since_seen=answer.visibility.frames_since_seen,
            prompted_frames=self.prompted_frames,
        )


class Tracks(Sequence[Track]):
    """The objects on one frame in id order, as they were when this was made; any thread may read it.

    Masks are brought to the camera's ``size`` (height, width) when they are first looked at: one object,
    or only their number, does not cost the masks of the others.
    """

    def __init__(self, shown: Sequence[Shown], size: tuple[int, int], exclusive: bool) -> None:
        self._shown = shown
        self._size = size
        self._exclusive = exclusive
        self._made: list[Track] | None = None

    def __len__(self) -> int:
        return len(self._shown)

    def __getitem__(self, place):
        if self._made is None:
            self._made = self._make(self._shown)
        return self._made[place]

    def only(self, object_id: int) -> Track:
        """One of them alone; of the others only those whose masks touch its own are looked at."""
        place = next(place for place, shown in enumerate(self._shown) if shown.id == object_id)
        rivals = pixels.touching(self._logits(self._shown), place) if self._exclusive else [place]
        return next(track for track in self._make([self._shown[rival] for rival in rivals]) if track.id == object_id)

    def name_at(self, x: float, y: float) -> str:
        """The name of the object whose mask covers the pixel at (x, y), the last of several; "" for none."""
        column, row = round(x), round(y)
        if not self._shown or not (0 <= row < self._size[0] and 0 <= column < self._size[1]):
            return ""
        values = pixels.at_pixel(self._logits(self._shown), (row, column), self._size)
        covering = np.flatnonzero(values > 0)
        if not len(covering):
            return ""
        return self._shown[int(values.argmax()) if self._exclusive else covering[-1]].name

    def _make(self, shown: Sequence[Shown]) -> list[Track]:
        if not shown:
            return []
        with torch.inference_mode():
            masks = pixels.to_masks(self._logits(shown), self._size, self._exclusive)
            return [one.track(mask) for one, mask in zip(shown, masks)]

    @staticmethod
    def _logits(shown: Sequence[Shown]) -> Tensor:
        with torch.inference_mode():
            return torch.cat([one.answer.logits for one in shown])
