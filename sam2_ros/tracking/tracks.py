"""The objects of one frame as they are published; their masks are made when they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from torch import Tensor

from sam2_ros.model import pixels
from sam2_ros.tracking.remembered import Answer, Followed
from sam2_ros.types import Mask, Track


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

    def track(self, mask: Mask) -> Track:
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

    @overload
    def __getitem__(self, place: int) -> Track: ...

    @overload
    def __getitem__(self, place: slice) -> list[Track]: ...

    def __getitem__(self, place: int | slice) -> Track | list[Track]:
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
