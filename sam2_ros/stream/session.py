"""One tracker, and the rules by which images, prompts, clicks, detections and removals reach it.

The tracker needs exact stamps and names.  From outside, the stamp may be that of a dropped image, a
click has no name of an object, and a detector sends the same box again and again.  The node drives a
session through a ``worker.Worker``; ``replay`` and ``evaluate`` drive it themselves.  Nothing here waits
or publishes, and everything runs on one thread; other threads may only read ``view`` and call
``configure``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sam2_ros.errors import InvalidPrompt
from sam2_ros.stamps import Place, nearest
from sam2_ros.stream.association import Box, associate, intersection_over_union
from sam2_ros.stream.counts import Counts
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.interface import ObjectTracker, Prompted
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.types import Frame, Prompt, State, Track

if TYPE_CHECKING:
    from sam2_ros.tracking.exported import ObjectMemory


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The newest image, None before the first, and the objects on it.

    tracks: their masks may be made only when they are looked at, so that many prompts cost them once.
    """

    frame: Frame | None = None
    tracks: Sequence[Track] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """A prompt that was applied.

    track: the object on the prompted image; stamp: that image's, in nanoseconds, and frame_id its
    camera's.  sentence: what was done.
    """

    track: Track
    stamp: int
    frame_id: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Detection:
    """One box of a detector; name: the detector's own key for the object, or empty; label: its class, or empty."""

    box: Box
    name: str = ""
    label: str = ""


OnApplied = Callable[[Prompt, Applied], None]


class Session:
    """One tracker, and the newest view: image and objects.

    on_applied: called for every prompt that was applied, from a topic, a service, a click or a detection.
    in_parts: an object that was prompted on an older image is followed to the newest one by
    ``catch_up``, an image a part; else at once.
    """

    def __init__(
        self,
        tracker: ObjectTracker,
        settings: SessionSettings = SessionSettings(),
        on_applied: OnApplied = lambda prompt, applied: None,
        *,
        in_parts: bool = True,
    ) -> None:
        self._tracker = tracker
        #: Of the session and of the tracker (None: those that it has); replaced together, for ``configure``.
        self._configured: tuple[SessionSettings, TrackerSettings | None] = (settings, None)
        self._on_applied = on_applied
        self._in_parts = in_parts
        #: Names of objects that a detection started.
        self._detected: set[str] = set()
        self.counts = Counts()
        #: Replaced as a whole, so that other threads may read it.
        self.view = View()

    @property
    def settings(self) -> SessionSettings:
        """The settings in force."""
        return self._configured[0]

    def configure(self, settings: SessionSettings, tracker: TrackerSettings) -> None:
        """Work with other settings from the next image or prompt on; any thread may call it.

        Raises InvalidInput for what a running tracker cannot change (``fixed`` in ``TrackerSettings``);
        then all settings stay as they are.
        """
        self._configured = (settings, self._tracker.settings.changed_to(tracker))

    @property
    def newest(self) -> int | None:
        """The newest stamp of a processed image in nanoseconds, 0 when none had one; None before the first image."""
        return self._tracker.newest_stamp

    def prepare(self, frame: Frame) -> None:
        """Name the image after the next one that is tracked, see ``Tracker.prepare``."""
        self._tracker.prepare(frame)

    def track(self, frame: Frame) -> int:
        """Follow every object onto an image.

        One that comes too late leaves the view as it is and is counted; one that repeats the
        newest stamp makes the same view once more.
        Returns by how much the camera's time went back where it started again, in nanoseconds, usually 0.
        """
        self._take_settings()
        before = self.newest or 0
        tracks = tuple(self._tracker.track(frame))
        place = self._tracker.placed
        if place == Place.LATE:
            self.counts.late += 1
            return 0
        if place == Place.SAME:
            self.counts.repeated += 1
            self.view = View(self.view.frame, tracks)
            return 0
        self.view = View(frame, tracks)
        if place == Place.NEWER:
            return 0
        self.counts.restarts += 1
        return before - frame.stamp

    def prompt(self, prompt: Prompt, stamp: int, hint: bool = False) -> Applied:
        """Apply a prompt to the image of ``stamp`` (nanoseconds, 0 = newest), or to the nearest remembered one.

        The nearest is taken within the setting prompt_tolerance, or within the distance between
        two images where that is more (see ``stamps.nearest``); further away a ``hint`` falls back
        on the newest image, and another stamp is refused.
        Raises InvalidPrompt and UnknownStamp.
        """
        self._take_settings()
        corrects = not prompt.replace and prompt.name in self._tracker.objects
        self._refuse_one_too_many(prompt.name, "name the object that the prompt is for, ")
        prompted = self._tracker.prompt(prompt, self._remembered(stamp, hint), later=self._in_parts)
        self.view = View(self.view.frame, prompted.newest)
        frame_id = self.view.frame.frame_id if self.view.frame else ""  # a camera does not change it
        applied = Applied(prompted.track, prompted.stamp, frame_id, _sentence(prompted, stamp, corrects))
        self._on_applied(prompt, applied)
        return applied

    def click(self, x: float, y: float, stamp: int) -> Iterator[Applied | None]:
        """A click at a pixel: for the object of the setting click_object, else the one under it, else a new one.

        It is positive unless the setting click_negative says otherwise.
        stamp: when it was clicked, which is only a hint at the image that was looked at.
        Objects are brought up to date on that image first, an image a part, for which None is yielded.
        """
        while self._is_behind_on(self._remembered(stamp, hint=True)):
            self.catch_up()
            yield None
        settings = self.settings
        clicked = Prompt("", points=np.array([(x, y)]), labels=np.array([int(not settings.click_negative)]))
        name = settings.click_object or self._tracker.name_at(x, y, self._remembered(stamp, hint=True))
        if settings.click_negative and not name:
            raise InvalidPrompt(
                "a negative click (parameter click_negative) is for the object whose mask it is on, and "
                "there is none; click on a mask, or name the object in click_object"
            )
        yield self.prompt(replace(clicked, name=name), stamp, hint=True)

    def detections(self, detections: Iterable[Detection], stamp: int) -> Iterator[Applied | None]:
        """Start an object for each detection of a new one, and correct those that were out of sight.

        Each is applied when it is asked for, so that something else may be done in between; None stands
        for a part without an outcome of its own.
        A tracked object that is seen needs no help and is left alone.  One that is not is
        corrected only by a detection that carries its name.  When there are as many objects as
        allowed, a new one takes the place of a lost one that a detection started, or is left out.
        Raises UnknownStamp, and InvalidPrompt when no object can be started any more.
        """
        detections = list(detections)
        stamp = self._remembered(stamp, hint=False)
        while self._is_behind_on(stamp):
            self.catch_up()
            yield None
        around = self._boxes_on(stamp)
        if self.view.frame is not None:
            stamp = stamp or self.view.frame.stamp  # a newer image may come in between
        size = self._tracker.size(stamp)
        owners = associate([found.box for found in detections], around, self.settings.detection_overlap)
        states = {track.name: track.state for track in self.view.tracks}
        named = Counter(found.name for found in detections)
        started: list[Box] = []
        for found, owner in zip(detections, owners):
            name = found.name if named[found.name] == 1 else ""  # a shared name, such as a class, names none of them
            known = name in states
            if owner or (known and states[name] == State.VISIBLE):
                continue
            if not known and self._repeats(found.box, started):
                continue
            prompt = self._prompt_for(found, name, known, size)
            if prompt is not None:
                one = self.prompt(prompt, stamp)
                started.append(found.box)
                self._detected.add(one.track.name)
                yield one

    @property
    def is_behind(self) -> bool:
        """Whether an object that was prompted on an older image is still to be followed to the newest."""
        return self._tracker.is_behind()

    def catch_up(self) -> None:
        """Follow such objects onto one more image; ``update_view`` when it is enough."""
        self._tracker.catch_up()

    def update_view(self) -> None:
        """Make a new view from what the tracker knows now."""
        self.view = View(self.view.frame, self._tracker.newest())

    def forget(self, name: str) -> None:
        """Stop following ``name``.  Raises UnknownObject."""
        self._tracker.forget(name)
        self._detected.discard(name)
        self.update_view()

    def export(self, name: str) -> Generator[None, None, ObjectMemory]:
        """The memory of an object, to be restored later or in another session.  Raises UnknownObject.

        Objects are brought up to date first, an image a part.
        """
        while self.is_behind and name in self._tracker.objects:
            self.catch_up()
            yield
        return self._tracker.export(name)

    def restore(self, memory: ObjectMemory, name: str = "") -> int:
        """Follow an exported object from the next image on, under its former name or another; returns its id.

        Raises InvalidInput for a memory that this tracker cannot use, a name that is taken, or one object too many.
        """
        self._take_settings()
        self._refuse_one_too_many("", "")
        return self._tracker.restore(memory, name)

    def reset(self) -> int:
        """Forget every object and every image; returns how many objects there were."""
        count = len(self._tracker.objects)
        self._tracker.reset()
        self._detected.clear()
        self.view = View(self.view.frame)
        return count

    # -- helpers -------------------------------------------------------------------------------

    def _take_settings(self) -> None:
        """Settings of the tracker that were changed meanwhile take effect."""
        _, wanted = self._configured
        if wanted is not None and self._tracker.settings is not wanted:
            self._tracker.settings = wanted

    def _remembered(self, stamp: int, hint: bool) -> int:
        """The stamp to give to the tracker: a remembered one if one is near, 0 for the newest image."""
        if not stamp:
            return stamp
        near = nearest(self._tracker.stamps, stamp, round(self.settings.prompt_tolerance * 1e9))
        if near is not None:
            return near
        return 0 if hint else stamp

    def _is_behind_on(self, stamp: int) -> bool:
        """Whether an object is still to be followed to the image of ``stamp``; the newest has preliminary answers."""
        return stamp not in (0, self.newest) and self._tracker.is_behind(stamp)

    def _refuse_one_too_many(self, name: str, remedy: str) -> None:
        """Each object makes every image slower, so a program must not start one with every prompt."""
        most, objects = self.settings.max_objects, self._tracker.objects
        if name not in objects and len(objects) >= most:
            raise InvalidPrompt(
                f"{len(objects)} objects are tracked already (parameter max_objects is {most}); "
                f"{remedy}remove one, or raise max_objects"
            )

    @property
    def _bound(self) -> str:
        """The parameter that says how many objects there may be when a detection starts one."""
        settings = self.settings
        return "max_detected_objects" if settings.max_detected_objects <= settings.max_objects else "max_objects"

    def _has_room(self) -> bool:
        """Whether a detection may start an object.

        When all places are taken, the object that a detection started and that is lost longest is given up for it.
        """
        if len(self._tracker.objects) < getattr(self.settings, self._bound):
            return True
        lost = [track for track in self.view.tracks if track.state == State.LOST and track.name in self._detected]
        if lost:
            self.forget(max(lost, key=lambda track: track.frames_since_seen).name)
        return bool(lost)

    def _boxes_on(self, stamp: int) -> dict[str, Box]:
        """The boxes of the objects that are seen on the image of ``stamp``, by name."""
        on_newest = self.newest is not None and stamp in (0, self.newest)
        tracks = self.view.tracks if on_newest else self._tracker.at(stamp)
        return {track.name: track.box for track in tracks if track.box is not None}

    def _prompt_for(self, found: Detection, name: str, known: bool, size: tuple[int, int]) -> Prompt | None:
        """The prompt for a detection on an image of this size; None, and counted, where it cannot be used."""
        name = name or self._free_name(found.label or found.name)
        try:
            prompt = Prompt(name, box=found.box).checked_on(size, known=known)
        except InvalidPrompt:
            self._leave_out("outside the image")
            return None
        if not known and not self._has_room():
            self._leave_out(f"without room ({self._bound})")
            return None
        return prompt

    def _leave_out(self, reason: str) -> None:
        """Count a detection that cannot be used."""
        self.counts.left_out = self.counts.left_out + Counter([reason])

    def _repeats(self, box: Box, started: list[Box]) -> bool:
        overlap = self.settings.detection_overlap
        return any(intersection_over_union(box, other) >= overlap for other in started)

    def _free_name(self, label: str) -> str:
        """``label`` with the smallest number that makes it new; empty without a label: the tracker finds a name."""
        number = 1
        while label and f"{label}_{number}" in self._tracker.objects:
            number += 1
        return f"{label}_{number}" if label else ""


def _sentence(prompted: Prompted, asked: int, corrects: bool) -> str:
    """A sentence on what was done, and on which image if it is not the one that was asked for."""
    track = prompted.track
    done = f"{track.name}, object {track.id}, is corrected" if corrects else f"{track.name} is object {track.id}"
    if not asked or asked == prompted.stamp:
        return done
    away = (prompted.stamp - asked) / 1e9
    return (
        f"{done}, prompted on the image of {prompted.stamp / 1e9:.3f} s, {abs(away):.3f} s "
        f"{'after' if away > 0 else 'before'} the stamp of the prompt"
    )
