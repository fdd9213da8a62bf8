"""The tracker: a stream of frames and prompts in, the tracked objects of each frame out.

    tracker = Tracker(load("embedded"))
    tracker.track(frame)
    tracker.prompt(Prompt("cup", points=[(320, 200)], labels=[1]))
    for track in tracker.track(next_frame): ...

The stream has no end, so everything kept has a bound: the last ``remembered_frames`` frames
with their features and answers (the ring, so that a prompt may come late), and per object
the memories that can still be seen under its memory rule.

A Tracker belongs to one thread.  A call that raises a Sam2RosError has changed nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from sam2_ros.errors import InvalidInput, InvalidPrompt, UnknownObject
from sam2_ros.model.interface import Model, innermost, refuse_no_model
from sam2_ros.model.precision import computed_in
from sam2_ros.stamps import Place, Timeline
from sam2_ros.tracking.exported import ObjectMemory, with_tensors
from sam2_ros.tracking.finder import Finder
from sam2_ros.tracking.interface import Prompted as Prompted
from sam2_ros.tracking.remembered import RememberedFrame, Target
from sam2_ros.tracking.ring import Ring
from sam2_ros.tracking.rules import NewMemory, chosen_rule
from sam2_ros.tracking.settings import TrackerSettings as TrackerSettings
from sam2_ros.tracking.tracks import Tracks
from sam2_ros.types import MAX_OBJECT_ID, Frame, Prompt, Track

#: An image that belongs here is not looked at: its stamp has come before, or it is too late.
UNSEEN = (Place.SAME, Place.LATE)


class Tracker:
    """Follows any number of objects through one stream of frames."""

    def __init__(
        self,
        model: Model,
        settings: TrackerSettings = TrackerSettings(),
        *,
        memory_rule: NewMemory = chosen_rule,
    ) -> None:
        """memory_rule: makes the empty memory of each new object from the settings; by default the one they name."""
        _refuse_other_kind("settings", settings, TrackerSettings)
        refuse_no_model(model)
        self._model = model
        self._memory_rule = memory_rule
        self._device = model.device
        self._refuse_changed_model()
        self._objects: dict[str, Target] = {}
        self._ring = Ring(settings.remembered_frames)
        #: What computes the masks: the model, in the precision that was chosen.
        self.model = computed_in(model, settings.precision)
        self._finder = Finder(self.model, settings)
        self._timeline = Timeline()
        self.placed = Place.NEWER  # where the last frame that was given belongs in the stream
        self._next_index = 0
        self._next_id = 1

    @property
    def settings(self) -> TrackerSettings:
        """How the tracker behaves.  Settings that a running tracker cannot change are refused: InvalidInput."""
        return self._finder.settings

    @settings.setter
    def settings(self, settings: TrackerSettings) -> None:
        self._finder.settings = self.settings.changed_to(settings)

    @property
    def objects(self) -> dict[str, int]:
        """The id of every followed object by its name, in the order of their first prompts."""
        return {target.name: target.id for target in self._objects.values()}

    @property
    def stamps(self) -> list[int]:
        """The stamps of the remembered frames in nanoseconds, oldest first: those that a prompt may carry."""
        return [remembered.stamp for remembered in self._ring]

    @property
    def newest_stamp(self) -> int | None:
        """The newest stamp of a frame in nanoseconds, 0 when no frame had one; None before the first frame."""
        return self._timeline.newest if self._ring.newest else None

    def track(self, frame: Frame) -> list[Track]:
        """Follow every object onto ``frame``; returns where they are, in id order.

        The image is encoded once, whatever the number of objects.  ``placed`` says where it belongs:
        the newest stamp once more, or a slightly older one, gets the answer of the newest frame, and
        nothing is written to memory.  After a stamp that went back far (see ``stamps``) the frames
        that are not older than it can no longer be prompted; the objects stay.
        """
        _refuse_other_kind("a frame", frame, Frame)
        self._refuse_changed_model()
        timeline = copy(self._timeline)
        self.placed = timeline.place(frame.stamp)
        self._forget_needless_next(timeline)
        if self.placed not in UNSEEN:
            with self._inference():
                remembered = self._finder.see(frame, self._next_index)
                self._next_index += 1
                self._ring.push(remembered)
                for target in self._objects.values():
                    target.prune(self._ring.oldest.index)  # first: the bound holds also where the model fails
                self._finder.find([*self._objects.values()], remembered)
                self._finder.ahead.begin()  # without an object, nothing has begun it
        self._timeline = timeline  # last: an image on which the model failed may be sent again
        return self.current()

    def prepare(self, frame: Frame) -> None:
        """Name the frame after the one of the next call of ``track``, so that a GPU encodes it during that call.

        Results do not depend on this, and the frame need not be tracked.  Only the last one that was named is kept.
        If it cannot be encoded, the call that tracks it raises the error.  On a CPU this does nothing.
        """
        _refuse_other_kind("a frame", frame, Frame)
        self._finder.ahead.wanted = frame

    def is_behind(self, stamp: int = 0) -> bool:
        """Whether an object was prompted on an older frame and has not been followed from there to ``stamp``'s."""
        first = self._first_behind()
        return first < math.inf and first <= self._ring.at(stamp).index

    def prompt(self, prompt: Prompt, stamp: int = 0, *, later: bool = False) -> Prompted:
        """Apply ``prompt`` to the frame of ``stamp`` (nanoseconds; 0 = the newest frame).

        An unknown or empty name starts a new object.  For a known one this is a correction:
        clicks add to those given on that frame before, a box or a mask starts over on it; the
        frame becomes a prompted frame, and newer frames are gone through again from their kept
        features.  Other objects are not touched.
        later: those frames are left to ``catch_up``; the newest one has an answer for the time being.

        Raises InvalidPrompt, UnknownStamp when that frame is not remembered, or OutOfMemory.
        """
        _refuse_other_kind("a prompt", prompt, Prompt)
        self._refuse_changed_model()
        remembered = self._ring.at(stamp)
        known = None if prompt.replace else self._objects.get(prompt.name)
        found = known is not None and known.is_known_on(remembered.index)
        prompt = prompt.checked_on(remembered.size, known=found)
        target = known or self._new_object(prompt.name)
        with self._inference():
            self._finder.answer(target, remembered, prompt)
            corrected = known is not None and self.settings.forget_around_corrections
            target.bank.forget_stale(remembered.index, corrected=corrected)
            self._bring_up_to_date(target, remembered, later)
            if known is None:  # last: an object for which there is no memory is not followed
                self._admit(target)
        return Prompted(self._tracks_on(remembered).only(target.id), remembered.stamp, self.newest())

    def catch_up(self) -> None:
        """Follow the objects that are behind onto one more remembered frame; those at the same one go together."""
        first = self._first_behind()
        frames = [remembered for remembered in self._ring if remembered.index >= first]
        if not frames:
            return
        remembered, *newer = frames
        concerned = [target for target in self._objects.values() if target.behind <= remembered.index]
        for target in concerned:  # first: what fails is not tried for ever
            target.behind = newer[0].index if newer else math.inf
        with self._inference():
            self._finder.find(concerned, remembered)

    def forget(self, name: str) -> None:
        """Stop following ``name``; the other objects are not touched.  Raises UnknownObject."""
        self._known(name)
        del self._objects[name]

    def export(self, name: str) -> ObjectMemory:
        """The memory of ``name``, to be restored later or in another tracker.  Raises UnknownObject.

        It holds what the next frame would see of the past; an object that is behind is brought up to date first.
        """
        target = self._known(name)
        while target.behind < math.inf:
            self.catch_up()
        contents = with_tensors(target.bank.export(self._next_index - 1), lambda value: value.cpu().clone())
        visibility, size = target.visibility_before(self._next_index), self._model.size
        return ObjectMemory(
            target.name,
            int(visibility.state),
            visibility.frames_since_seen,
            size.name,
            size.image_size,
            self._weights,
            target.bank.name,
            contents,
        )

    def restore(self, memory: ObjectMemory, name: str = "") -> int:
        """Follow an object from the next frame on, as if this stream went on where its memory was exported.

        name: what it is called now, its former name by default.  Returns its id.
        Raises InvalidInput for a memory of another model, image side, weights or memory rule, for a name that is
        taken, and where the model was changed since this tracker was made.
        """
        self._refuse_changed_model()
        _refuse_other_kind("a memory", memory, ObjectMemory)
        name = name or memory.name
        if name in self._objects:
            raise InvalidInput(f"{name} is followed already; forget it first, or restore under another name")
        target = self._new_object(name)
        memory.refuse_other(self._model, self._weights, target.bank.name)
        contents = with_tensors(memory.contents, lambda value: value.to(self._device, copy=True))
        target.bank.restore(contents, self._next_index - 1)
        target.start = memory.visibility
        self._admit(target)
        return target.id

    def reset(self) -> None:
        """Forget every object and every frame.  Ids go on counting: none is used twice."""
        self._objects.clear()
        self._ring.clear()
        self._finder.ahead.drop()
        self._timeline = Timeline()

    def rewind(self) -> None:
        """Go through the same frames once more, from the first: objects and what was prompted stay.

        An object is followed from its earliest prompted frame on, and sees the later ones from every frame too.
        On a prompted frame its answer is the one that was given there; new clicks on it start from that mask.
        """
        self._ring.clear()
        self._finder.ahead.drop()
        self._timeline = Timeline()
        self._next_index = 0
        for target in self._objects.values():
            target.rewind()

    def warm_up(self, *, measured: bool = True) -> None:
        """Go through every part of the model once: a GPU's first pass takes seconds, better before the first image.

        measured: on a GPU, also measure how many objects are best followed at once, which takes up to two seconds.
        That number depends on what else the GPU does, and the last digits of results depend on that number.
        """
        other = Tracker(self._model, self.settings, memory_rule=self._memory_rule)
        for stamp in (1, 2):
            other.track(Frame(np.zeros((64, 64, 3), np.uint8), stamp))
            other.prompt(Prompt("anything", points=[(32, 32)], labels=[1]))
        if measured and self._device.type == "cuda":
            # Without CUDA graphs: only small numbers have them at the start, and would win for that reason alone.
            plain = computed_in(innermost(self._model), self.settings.precision)
            with self._inference():
                self._finder.batches.measure(plain, partial(torch.cuda.synchronize, self._device))

    def size(self, stamp: int) -> tuple[int, int]:
        """(height, width) of the remembered frame of ``stamp`` (nanoseconds; 0 = newest).  Raises UnknownStamp."""
        return self._ring.at(stamp).size

    def at(self, stamp: int) -> list[Track]:
        """Every object on the remembered frame of ``stamp`` (nanoseconds; 0 = newest), in id order.

        Raises UnknownStamp.
        """
        return list(self._tracks_on(self._ring.at(stamp)))

    def name_at(self, x: float, y: float, stamp: int = 0) -> str:
        """The name of the object whose mask covers a pixel of the remembered frame of ``stamp``; "" for none.

        Raises UnknownStamp.
        """
        return self._tracks_on(self._ring.at(stamp)).name_at(x, y)

    def current(self) -> list[Track]:
        """Every object on the newest frame, in id order."""
        return list(self.newest())

    def newest(self) -> Sequence[Track]:
        """The same, but masks are brought to the camera's size when they are first looked at; stays as it is now."""
        return self._tracks_on(self._ring.newest) if self._ring.newest else ()

    def _forget_needless_next(self, timeline: Timeline) -> None:
        """Do not encode the next frame ahead if it will not be looked at."""
        wanted = self._finder.ahead.wanted
        if wanted is not None and copy(timeline).place(wanted.stamp) in UNSEEN:
            self._finder.ahead.wanted = None

    # -- prompts -------------------------------------------------------------------------------

    def _new_object(self, name: str) -> Target:
        """An object with an empty memory, not followed yet; named after its id when it has no name."""
        if self._next_id > MAX_OBJECT_ID:
            raise InvalidPrompt(f"all {MAX_OBJECT_ID} object ids are used up; restart the tracker")
        number = self._next_id
        while not name:
            name = f"object_{number}" if f"object_{number}" not in self._objects else ""
            number += 1
        return Target(self._next_id, name, self._memory_rule(self.settings))

    def _admit(self, target: Target) -> None:
        """Follow a new object from now on, in the place of a former one of that name."""
        if target.name in self._objects:
            self.forget(target.name)
        self._objects[target.name] = target
        self._next_id = target.id + 1

    def _bring_up_to_date(self, target: Target, remembered: RememberedFrame, later: bool) -> None:
        """Follow the object from ``remembered`` over the newer remembered frames, from their kept features."""
        newer = self._ring.after(remembered)
        if later and len(newer) > 1:
            target.behind = min(target.behind, newer[0].index)
            newer = newer[-1:]
        for one in newer:
            self._finder.find([target], one)

    # -- answers -------------------------------------------------------------------------------

    def _tracks_on(self, remembered: RememberedFrame) -> Tracks:
        """Every object on ``remembered``, masks at the size of its image when they are looked at."""
        return Tracks(self._objects.values(), remembered, self.settings.non_overlapping)

    def _first_behind(self) -> float:
        """Index of the first frame onto which an object is still to be followed; infinite = none."""
        return min((target.behind for target in self._objects.values()), default=math.inf)

    def _known(self, name: str) -> Target:
        if name not in self._objects:
            known = ", ".join(self._objects) or "none"
            raise UnknownObject(f"no object is called {name!r}; followed objects: {known}")
        return self._objects[name]

    def _refuse_changed_model(self) -> None:
        """A model that was converted or moved would fail in the middle of a frame."""
        if self._model.precision != torch.float32:
            raise InvalidInput(
                f"the weights of the model are {self._model.precision}; keep them in torch.float32, "
                "as model.float() does, and choose the arithmetic with the setting precision"
            )
        if self._model.device != self._device:
            raise InvalidInput(f"the model was moved from {self._device} to {self._model.device}; make a new Tracker")

    @cached_property
    def _weights(self) -> str:
        """The checksum of the model's weights; it takes up to a second with the largest ones."""
        return self._model.checksum()

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """No gradients, and no autocast of others: the model that finds has its own."""
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            yield


def _refuse_other_kind(what: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise InvalidInput(f"{what} must be a {kind.__name__} of sam2_ros, got {type(value).__name__}")
