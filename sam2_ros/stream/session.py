"""What the worker does with one image message or one request: the tracker, plus what ROS needs to know.

The tracker speaks of stamps and names.  Messages also carry a frame id, a stamp may be that of
an image that was dropped, a click may be meant for an object that it does not name, and a
detector repeats itself.  Nothing here waits or publishes, and all of it runs on one thread.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2_ros.errors import InvalidPrompt
from sam2_ros.messages import frame_from, frame_from_compressed, nanoseconds, seconds_and_rest
from sam2_ros.ranges import Range
from sam2_ros.stamps import Place, nearest
from sam2_ros.stream.association import Box, associate, intersection_over_union
from sam2_ros.tracking.tracker import Prompted, Tracker
from sam2_ros.types import Frame, Prompt, State, Track


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The newest image and what is on it; header: std_msgs/Header of the camera, None before the first image.

    tracks: their masks may be made only when they are looked at, so that many prompts cost them once.
    """

    header: Any = None
    frame: Frame | None = None
    tracks: Sequence[Track] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """A prompt that was applied.

    track: the object on the prompted image; header: that image's; sentence: what was done.
    """

    track: Track
    header: Any
    sentence: str


@dataclass(frozen=True, slots=True)
class Detection:
    """One box of a detector; name: the detector's own key for the object, or empty; label: its class, or empty."""

    box: Box
    name: str = ""
    label: str = ""


class Session:
    """One tracker and the newest view of the world."""

    def __init__(self, tracker: Tracker, parameters: Any) -> None:
        self._tracker = tracker
        self._parameters = parameters
        #: Told of every prompt that was applied, whatever road it came by.
        self.on_applied: Callable[[Prompt, Applied], None] = lambda prompt, applied: None
        #: Names of objects that a detection started.
        self._detected: set[str] = set()
        #: Images with the stamp of the one before, which are taken for the same image.
        self.repeated = 0
        #: Images that are a little older than one before them, which are left out.
        self.late = 0
        #: Times that the camera's time started again.
        self.restarts = 0
        #: Detections that could not be used, by reason; for the status.
        self.left_out: Counter[str] = Counter()
        self._grey = Range(parameters.node.image_range)
        #: Replaced as a whole, so that other threads may read it.
        self.view = View()

    @property
    def newest(self) -> int | None:
        """The newest stamp of a processed image in nanoseconds, 0 when none had one; None before the first image."""
        return self._tracker.newest_stamp

    def track(self, message: Any) -> int:
        """Follow every object onto an image or compressed image.  Raises InvalidImage.

        One that comes too late leaves the view as it is and is counted; one that repeats the
        newest stamp makes the same view once more.
        Returns by how much the camera's time went back where it started again, in nanoseconds, usually 0.
        """
        self._take_settings()
        before = self.newest or 0
        frame = self._frame_of(message)
        tracks = tuple(self._tracker.track(frame))
        place = self._tracker.placed
        self.late += place == Place.LATE
        self.repeated += place == Place.SAME
        self.restarts += place == Place.RESTART
        if place == Place.SAME:
            self.view = View(self.view.header, self.view.frame, tracks)
        elif place != Place.LATE:
            self.view = View(message.header, frame, tracks)
        return before - frame.stamp if place == Place.RESTART else 0

    def prompt(self, prompt: Prompt, stamp: int, hint: bool = False) -> Applied:
        """Apply a prompt to the image of ``stamp`` (nanoseconds, 0 = newest), or to the nearest remembered one.

        The nearest is taken within the parameter prompt_tolerance, or within the distance between
        two images where that is more (see ``stamps.nearest``); further away a ``hint`` falls back
        on the newest image, and another stamp is refused.
        Raises InvalidPrompt and UnknownStamp.
        """
        self._take_settings()
        corrects = not prompt.replace and prompt.name in self._tracker.objects
        self._refuse_one_too_many(prompt)
        prompted = self._tracker.prompt(prompt, self._remembered(stamp, hint), later=True)
        self.view = View(self.view.header, self.view.frame, prompted.newest)
        applied = Applied(prompted.track, self._header_at(prompted.stamp), _sentence(prompted, stamp, corrects))
        self.on_applied(prompt, applied)
        return applied

    def click(self, x: float, y: float, stamp: int) -> Applied:
        """``click_in_parts`` to its end."""
        *_, applied = self.click_in_parts(x, y, stamp)
        return applied

    def click_in_parts(self, x: float, y: float, stamp: int) -> Iterator[Applied | None]:
        """A click at a pixel, for the object of the parameter click_object or the one under the click, else for a new one.

        It is positive unless the parameter click_negative says otherwise.
        stamp: when it was clicked, which is only a hint at the image that was looked at.
        Objects are brought up to date on that image first, an image a part; None stands for such a part.
        """
        while self._is_behind_on(self._remembered(stamp, hint=True)):
            self.catch_up()
            yield None
        settings = self._parameters.node
        clicked = Prompt("", points=np.array([(x, y)]), labels=np.array([int(not settings.click_negative)]))
        name = settings.click_object or self._tracker.name_at(x, y, self._remembered(stamp, hint=True))
        if settings.click_negative and not name:
            raise InvalidPrompt(
                "a negative click (parameter click_negative) is for the object whose mask it is on, and "
                "there is none; click on a mask, or name the object in click_object"
            )
        yield self.prompt(replace(clicked, name=name), stamp, hint=True)

    def detections(self, detections: Iterable[Detection], stamp: int) -> list[Applied]:
        """``each_detection`` to its end."""
        return [applied for applied in self.each_detection(detections, stamp) if applied]

    def each_detection(self, detections: Iterable[Detection], stamp: int) -> Iterator[Applied | None]:
        """Start objects for those detections that are none yet, and find again those that were out of sight.

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
        on_newest = self.newest is not None and stamp in (0, self.newest)
        there = self.view.tracks if on_newest else self._tracker.at(stamp)
        around = {track.name: track.box for track in there if track.box is not None}
        stamp = stamp or nanoseconds(self.view.header.stamp)  # a newer image may come in between
        size = self._tracker.size(stamp)
        owners = associate([found.box for found in detections], around, self._parameters.node.detection_overlap)
        states = {track.name: track.state for track in self.view.tracks}
        named = Counter(found.name for found in detections)
        started: list[Box] = []
        for found, owner in zip(detections, owners):
            name = found.name if named[found.name] == 1 else ""  # what two share, such as their class, is no name
            known = name in states
            if owner or (known and states[name] == State.VISIBLE):
                continue
            if not known and self._repeats(found.box, started):
                continue
            name = name or self._free_name(found.label or found.name)
            try:
                prompt = Prompt(name, box=found.box).checked_on(size, known=known)
            except InvalidPrompt:
                self.left_out["outside the image"] += 1
                continue
            if not known and not self._has_room():
                self.left_out[f"without room ({self._bound})"] += 1
                continue
            one = self.prompt(prompt, stamp)
            started.append(found.box)
            self._detected.add(one.track.name)
            yield one

    @property
    def is_behind(self) -> bool:
        """Whether an object that was prompted on an older image is still to be followed to the newest."""
        return self._tracker.is_behind()

    def catch_up(self) -> None:
        """Follow such objects onto one more image; ``look`` when it is enough."""
        self._tracker.catch_up()

    def look(self) -> None:
        """Make a new view, from what the tracker knows now."""
        self.view = View(self.view.header, self.view.frame, self._tracker.newest())

    def forget(self, name: str) -> None:
        """Stop following ``name``.  Raises UnknownObject."""
        self._tracker.forget(name)
        self._detected.discard(name)
        self.look()

    def reset(self) -> int:
        """Forget every object and every image; returns how many objects there were."""
        count = len(self._tracker.objects)
        self._tracker.reset()
        self._detected.clear()
        self.view = View(self.view.header, self.view.frame)
        return count

    # -- helpers -------------------------------------------------------------------------------

    def _take_settings(self) -> None:
        """Parameters that were changed meanwhile take effect."""
        if self._tracker.settings is not self._parameters.tracker:
            self._tracker.settings = self._parameters.tracker

    def _frame_of(self, message: Any) -> Frame:
        rule = self._parameters.node.image_range
        if self._grey.rule != rule:
            self._grey = Range(rule)
        read = frame_from_compressed if hasattr(message, "format") else frame_from
        return read(message, self._grey)

    def _remembered(self, stamp: int, hint: bool) -> int:
        """The stamp to give to the tracker: a remembered one if one is near, 0 for the newest image."""
        if not stamp:
            return stamp
        near = nearest(self._tracker.stamps, stamp, round(self._parameters.node.prompt_tolerance * 1e9))
        if near is not None:
            return near
        return 0 if hint else stamp

    def _is_behind_on(self, stamp: int) -> bool:
        """Whether an object is still to be followed to the image of ``stamp``; the newest has answers for the time being."""
        return stamp not in (0, self.newest) and self._tracker.is_behind(stamp)

    def _header_at(self, stamp: int) -> Any:
        """The newest header with another stamp: a camera does not change its frame id."""
        if stamp == nanoseconds(self.view.header.stamp):
            return self.view.header
        header = copy.deepcopy(self.view.header)
        header.stamp.sec, header.stamp.nanosec = seconds_and_rest(stamp)
        return header

    def _refuse_one_too_many(self, prompt: Prompt) -> None:
        """Each object makes every image slower, so a program that starts one with every prompt would stop the node."""
        most, objects = self._parameters.node.max_objects, self._tracker.objects
        if prompt.name not in objects and len(objects) >= most:
            raise InvalidPrompt(
                f"{len(objects)} objects are tracked already (parameter max_objects is {most}); name "
                "the object that the prompt is for, remove one, or raise max_objects"
            )

    @property
    def _bound(self) -> str:
        """The parameter that says how many objects there may be when a detection starts one."""
        settings = self._parameters.node
        return "max_detected_objects" if settings.max_detected_objects <= settings.max_objects else "max_objects"

    def _has_room(self) -> bool:
        """Whether a detection may start an object; if not, the one that a detection started and that is lost
        longest is given up for it."""
        if len(self._tracker.objects) < getattr(self._parameters.node, self._bound):
            return True
        lost = [track for track in self.view.tracks if track.state == State.LOST and track.name in self._detected]
        if lost:
            self.forget(max(lost, key=lambda track: track.frames_since_seen).name)
        return bool(lost)

    def _repeats(self, box: Box, started: list[Box]) -> bool:
        overlap = self._parameters.node.detection_overlap
        return any(intersection_over_union(box, other) >= overlap for other in started)

    def _free_name(self, label: str) -> str:
        """``label`` with the smallest number that makes it new; empty without a label: the tracker finds a name."""
        number = 1
        while label and f"{label}_{number}" in self._tracker.objects:
            number += 1
        return f"{label}_{number}" if label else ""


def _sentence(prompted: Prompted, asked: int, corrects: bool) -> str:
    """What was done, and on which image when it is not the one that was asked for."""
    track = prompted.track
    done = f"{track.name}, object {track.id}, is corrected" if corrects else f"{track.name} is object {track.id}"
    if not asked or asked == prompted.stamp:
        return done
    away = (prompted.stamp - asked) / 1e9
    return (
        f"{done}, prompted on the image of {prompted.stamp / 1e9:.3f} s, {abs(away):.3f} s "
        f"{'after' if away > 0 else 'before'} the stamp of the prompt"
    )
