"""The objects of one frame as they are published; their masks are made when they are first used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam2_ros.model import pixels
from sam2_ros.model.device_memory import with_room
from sam2_ros.model.transfer import Download
from sam2_ros.tracking.remembered import Estimate, RememberedFrame, Target
from sam2_ros.types import Mask, Track


class _Object(NamedTuple):
    """One object of the frame, but for its mask at the size of the camera."""

    id: int
    name: str
    estimate: Estimate
    prompted_frames: int


class Tracks(Sequence[Track]):
    """The objects on one frame in id order, as they were when this was made; any thread may read it.

    Masks are brought to the size of the frame when they are first looked at: one object,
    or only their number, does not cost the masks of the others.  This raises OutOfMemory if the device has no memory
    for the masks.
    """

    def __init__(self, targets: Iterable[Target], frame: RememberedFrame, exclusive: bool) -> None:
        present = [one for one in targets if frame.index in one.estimates]
        self._objects = [
            _Object(one.id, one.name, one.estimates[frame.index], len(one.bank.prompted))
            for one in sorted(present, key=lambda one: one.id)
        ]
        self._size = frame.size
        self._exclusive = exclusive
        self._made: list[Track] | None = None

    def __len__(self) -> int:
        return len(self._objects)

    @overload
    def __getitem__(self, place: int) -> Track: ...

    @overload
    def __getitem__(self, place: slice) -> list[Track]: ...

    def __getitem__(self, place: int | slice) -> Track | list[Track]:
        if self._made is None:
            self._made = with_room(lambda: self._make(self._objects), "the masks")
        return self._made[place]

    def only(self, object_id: int) -> Track:
        """One of them alone; of the others only those whose masks touch its own are looked at."""
        return with_room(lambda: self._only(object_id), "the mask of one object")

    def _only(self, object_id: int) -> Track:
        place = [one.id for one in self._objects].index(object_id)
        rivals = pixels.touching(self._logits(self._objects), place) if self._exclusive else [place]
        return self._make([self._objects[rival] for rival in rivals])[rivals.index(place)]

    def name_at(self, x: float, y: float) -> str:
        """The name of the object whose mask covers the pixel at (x, y), the last of several; "" for none."""
        column, row = round(x), round(y)
        if not self._objects or not (0 <= row < self._size[0] and 0 <= column < self._size[1]):
            return ""
        values = with_room(
            lambda: pixels.at_pixel(self._logits(self._objects), (row, column), self._size), "the masks at one pixel"
        )
        covering = np.flatnonzero(values > 0)
        if not len(covering):
            return ""
        return self._objects[int(values.argmax()) if self._exclusive else covering[-1]].name

    def _make(self, objects: Sequence[_Object]) -> list[Track]:
        if not objects:
            return []
        with torch.inference_mode():
            pointers = Download(torch.stack([one.estimate.pointer for one in objects]).float())
            masks = pixels.to_masks(self._logits(objects), self._size, self._exclusive)
            return [_track(*found) for found in zip(objects, masks, pointers.values().numpy())]

    @staticmethod
    def _logits(objects: Sequence[_Object]) -> Tensor:
        """(N, 1, h, w), a row for each object."""
        with torch.inference_mode():
            return torch.cat([one.estimate.logits for one in objects])


def _track(one: _Object, mask: Mask, pointer: NDArray[np.float32]) -> Track:
    """An object with its (H, W) bool mask and its (C,) pointer."""
    estimate = one.estimate
    return Track(
        id=one.id,
        name=one.name,
        state=estimate.visibility.state,
        occluded=estimate.score <= 0,
        mask=mask,
        object_score=estimate.score,
        predicted_iou=estimate.iou,
        object_pointer=pointer.copy(),
        frames_since_seen=estimate.visibility.frames_since_seen,
        prompted_frames=one.prompted_frames,
    )
