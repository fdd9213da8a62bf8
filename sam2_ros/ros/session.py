"""What the worker does with one image message or one request: the tracker, plus what ROS needs to know.

The tracker speaks of stamps and names.  Messages also carry a frame id, a stamp may be that of
an image that was dropped, a click may be meant for an object that it does not name, and a
detector repeats itself.  Nothing here waits or publishes, and all of it runs on one thread.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2_ros.association import Box, associate, intersection_over_union
from sam2_ros.errors import InvalidPrompt
from sam2_ros.messages import frame_from, frame_from_compressed, nanoseconds, seconds_and_rest
from sam2_ros.ros.parameters import Parameters
from sam2_ros.tracker import Prompted, Tracker
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

    def __init__(self, tracker: Tracker, parameters: Parameters) -> None:
        self._tracker = tracker
        self._parameters = parameters
        #: Told of every prompt that was applied, whatever road it came by.
        self.on_applied: Callable[[Prompt, Applied], None] = lambda prompt, applied: None
        #: Names of objects that a detection started.
        self._detected: set[str] = set()
        #: Images with the stamp of the one before, which are taken for the same image.
        self.repeated = 0
        #: Replaced as a whole, so that other threads may read it.
        self.view = View()

    @property
    def newest(self) -> int | None:
        """Stamp of the newest processed image in nanoseconds; None before the first."""
        return self._tracker.newest_stamp

    def track(self, message: Any) -> int:
        """Follow every object onto an image or compressed image.  Raises InvalidImage.

        Returns by how much the camera's time went back since the last image, in nanoseconds, usually 0.
        """
        self._take_settings()
        before = self.newest
        frame = frame_from_compressed(message) if hasattr(message, "format") else frame_from(message)
        tracks = self._tracker.track(frame)
        self.repeated += frame.stamp != 0 and frame.stamp == before
        self.view = View(message.header, frame, tuple(tracks))
        return max(before - frame.stamp, 0) if before is not None and frame.stamp else 0

    def prompt(self, prompt: Prompt, stamp: int, hint: bool = False) -> Applied:
        """Apply a prompt to the image of ``stamp`` (nanoseconds, 0 = newest), or to the nearest remembered one.

        The nearest is taken within the parameter prompt_tolerance; further away a ``hint`` falls
        back on the newest image, and another stamp is refused.
        Raises InvalidPrompt and UnknownStamp.
        """
        self._take_settings()
        corrects = not prompt.replace and prompt.name in self._tracker.objects
        prompted = self._tracker.prompt(prompt, self._remembered(stamp, hint))
        self.view = View(self.view.header, self.view.frame, prompted.newest)
        applied = Applied(prompted.track, self._header_at(prompted.stamp), _sentence(prompted, stamp, corrects))
        self.on_applied(prompt, applied)
        return applied

    def click(self, x: float, y: float, stamp: int) -> Applied:
        """A click at a pixel, for the object of the parameter click_object or the one under the click, else for a new one.

        It is positive unless the parameter click_negative says otherwise.
        stamp: when it was clicked, which is only a hint at the image that was looked at.
        """
        settings = self._parameters.node
        clicked = Prompt("", points=np.array([(x, y)]), labels=np.array([int(not settings.click_negative)]))
        name = settings.click_object or self._tracker.name_at(x, y, self._remembered(stamp, hint=True))
        if settings.click_negative and not name:
            raise InvalidPrompt("a negative click (parameter click_negative) is for the object whose mask it is on, and "
                                "there is none; click on a mask, or name the object in click_object")
        return self.prompt(replace(clicked, name=name), stamp, hint=True)

    def detections(self, detections: Iterable[Detection], stamp: int) -> list[Applied]:
        """Start objects for those detections that are none yet, and find again those that were out of sight.

        A tracked object that is seen needs no help and is left alone.  One that is not is
        corrected only by a detection that carries its name.  When there are as many objects as
        allowed, a new one takes the place of a lost one that a detection started, or is left out.
        Raises UnknownStamp, and InvalidPrompt when no object can be started any more.
        """
        detections = list(detections)
        stamp = self._remembered(stamp, hint=False)
        on_newest = self.newest is not None and stamp in (0, self.newest)
        there = self.view.tracks if on_newest else self._tracker.at(stamp)
        around = {track.name: track.box for track in there if track.box is not None}
        owners = associate([found.box for found in detections], around, self._parameters.node.detection_overlap)
        states = {track.name: track.state for track in self.view.tracks}
        named = Counter(found.name for found in detections)
        applied: list[Applied] = []
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
                prompt = Prompt(name, box=found.box).checked_on(self.view.frame.size, known=known)
            except InvalidPrompt:  # outside the image
                continue
            if not known and not self._has_room():
                continue
            one = self.prompt(prompt, stamp)
            applied.append(one)
            started.append(found.box)
            self._detected.add(one.track.name)
        return applied

    def forget(self, name: str) -> None:
        """Stop following ``name``.  Raises UnknownObject."""
        self._tracker.forget(name)
        self._detected.discard(name)
        self.view = View(self.view.header, self.view.frame, self._tracker.newest())

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

    def _remembered(self, stamp: int, hint: bool) -> int:
        """The stamp to give to the tracker: a remembered one if one is near, 0 for the newest image."""
        stamps = self._tracker.stamps
        if not stamp or not stamps or stamp in stamps:
            return stamp
        nearest = min(stamps, key=lambda other: abs(other - stamp))
        if abs(nearest - stamp) <= self._parameters.node.prompt_tolerance * 1e9:
            return nearest
        return 0 if hint else stamp

    def _header_at(self, stamp: int) -> Any:
        """The newest header with another stamp: a camera does not change its frame id."""
        if stamp == nanoseconds(self.view.header.stamp):
            return self.view.header
        header = copy.deepcopy(self.view.header)
        header.stamp.sec, header.stamp.nanosec = seconds_and_rest(stamp)
        return header

    def _has_room(self) -> bool:
        """Whether a detection may start an object; if not, the one that a detection started and that is lost
        longest is given up for it."""
        if len(self.view.tracks) < self._parameters.node.max_detected_objects:
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
    return (f"{done}, prompted on the image of {prompted.stamp / 1e9:.3f} s, {abs(away):.3f} s "
            f"{'after' if away > 0 else 'before'} the stamp of the prompt")
