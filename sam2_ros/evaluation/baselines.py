"""Baselines without SAM 2: OpenCV's GrabCut with one of its box trackers, or a mask that never moves.

Both are trackers as ``tracking.interface`` declares them; they remember only the newest frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput, MissingDependency, UnknownStamp
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.stamps import Place, Timeline
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.stream.tracker_setup import TrackerSetup
from sam2_ros.tracking.interface import ObjectTracker, Prompted
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.types import Frame, Prompt, State, Track, box_of

#: GrabCut gets a window around the box, larger by this share of its size.
MARGIN = 0.4
#: Rounds of GrabCut for each frame; more change little.
ROUNDS = 3
#: A click does not tell the size: its object is searched in a box of this share of the image.
CLICK_SHARE = 0.25


@dataclass(slots=True)
class _Followed:
    id: int
    name: str
    mask: np.ndarray
    seen: int = 0
    state: Any = None
    box: tuple[int, int, int, int] | None = None


@dataclass
class FirstMask:
    """The mask of the prompted frame, never moving."""

    _objects: dict[str, _Followed] = field(default_factory=dict)
    _frame: Frame | None = None
    _next_id: int = 1
    _timeline: Timeline = field(default_factory=Timeline)
    placed: Place = Place.NEWER
    settings: TrackerSettings = TrackerSettings()  # which change nothing here

    @property
    def objects(self) -> dict[str, int]:
        return {followed.name: followed.id for followed in self._objects.values()}

    @property
    def newest_stamp(self) -> int | None:
        return self._frame.stamp if self._frame else None

    @property
    def stamps(self) -> list[int]:
        return [self._frame.stamp] if self._frame else []

    def track(self, frame: Frame) -> list[Track]:
        """Every object on ``frame``; one that came too late changes nothing."""
        self.placed = self._timeline.place(frame.stamp)
        if self.placed == Place.LATE:
            return self.current()
        self._frame = frame
        for followed in self._objects.values():
            self._move(followed, frame.image)
        return self.current()

    def prepare(self, frame: Frame) -> None:
        """There is nothing to do."""

    def prompt(self, prompt: Prompt, stamp: int = 0, *, later: bool = False) -> Prompted:
        """Start or correct an object on the newest frame; an older one is refused (UnknownStamp)."""
        frame = self._at(stamp)
        known = None if prompt.replace else self._objects.get(prompt.name)
        prompt = prompt.checked_on(frame.size, known=known is not None)
        followed = known or self._new(prompt.name, frame.size)
        followed.mask = self._mask_of(prompt, followed.mask, frame.image)
        self._objects[followed.name] = followed
        self._start(followed, frame.image)
        return Prompted(_track(followed), frame.stamp, self.current())

    def is_behind(self, stamp: int = 0) -> bool:
        """Never: only the newest frame can be prompted."""
        return False

    def catch_up(self) -> None:
        """There is nothing to do."""

    def forget(self, name: str) -> None:
        self._objects.pop(name, None)

    def reset(self) -> None:
        self._objects.clear()
        self._frame, self._timeline = None, Timeline()

    def rewind(self) -> None:
        """Go through the same frames once more; a baseline cannot use what was prompted on later ones."""
        self.reset()

    def export(self, name: str) -> NoReturn:
        raise InvalidInput("a baseline has no memory that could be exported or restored")

    def restore(self, memory: object, name: str = "") -> NoReturn:
        self.export(name)

    def current(self) -> list[Track]:
        """Every object on the newest frame, in id order."""
        return sorted((_track(followed) for followed in self._objects.values()), key=lambda track: track.id)

    def newest(self) -> list[Track]:
        """The same."""
        return self.current()

    def at(self, stamp: int) -> list[Track]:
        """The same; UnknownStamp for any other frame."""
        self._at(stamp)
        return self.current()

    def size(self, stamp: int) -> tuple[int, int]:
        """(height, width) of the newest frame; UnknownStamp for any other."""
        return self._at(stamp).size

    def name_at(self, x: float, y: float, stamp: int = 0) -> str:
        """The name of the last object whose mask covers a pixel of the newest frame; "" for none."""
        height, width = self._at(stamp).size
        column, row = round(x), round(y)
        inside = 0 <= row < height and 0 <= column < width
        return next((track.name for track in reversed(self.current()) if inside and track.mask[row, column]), "")

    def _at(self, stamp: int) -> Frame:
        if self._frame is None or stamp not in (0, self._frame.stamp):
            raise UnknownStamp("a baseline knows the newest image only")
        return self._frame

    def _new(self, name: str, size: tuple[int, int]) -> _Followed:
        self._next_id += 1
        return _Followed(self._next_id - 1, name or f"object_{self._next_id - 1}", np.zeros(size, bool))

    def _mask_of(self, prompt: Prompt, before: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The mask of a prompt: its own, or by GrabCut in its box, with its clicks as certain pixels."""
        if prompt.mask is not None:
            return prompt.mask
        if prompt.box is not None:
            x0, y0, x1, y1 = prompt.box
            box = (round(x0), round(y0), round(x1), round(y1))
        else:
            x, y = prompt.points[prompt.labels == 1][0] if (prompt.labels == 1).any() else prompt.points[0]
            height, width = (CLICK_SHARE * side / 2 for side in image.shape[:2])
            box = _box(before) or (int(x - width), int(y - height), int(x + width), int(y + height))
        return grab(image, box, before, prompt.points, prompt.labels)

    def _start(self, followed: _Followed, image: np.ndarray) -> None:
        """Called when an object got a new mask."""

    def _move(self, followed: _Followed, image: np.ndarray) -> None:
        """Called for every new image."""


def box_tracker() -> Any:
    """CSRT, from OpenCV's contributed modules, where they are; else MIL, the only other one without a network."""
    for home in (cv2, getattr(cv2, "legacy", None)):
        for name in ("TrackerCSRT_create", "TrackerCSRT"):
            make = getattr(home, name, None)
            if make is not None:
                return make() if name.endswith("create") else make.create()
    if not hasattr(cv2, "TrackerMIL_create"):
        raise MissingDependency("this OpenCV has neither CSRT nor MIL; install opencv-contrib-python-headless")
    return cv2.TrackerMIL_create()


def box_tracker_name() -> str:
    """Which of the two ``box_tracker`` gives."""
    return "CSRT" if "CSRT" in type(box_tracker()).__name__ else "MIL"


@dataclass
class OpenCVTracker(FirstMask):
    """A box tracker of OpenCV finds the object, GrabCut cuts it out of its box.

    make: builds the box tracker.  CSRT repeats itself; MIL draws features at random, with a seed
    that cannot be set, and differs from run to run.
    """

    make: Callable[[], Any] = box_tracker

    def _start(self, followed: _Followed, image: np.ndarray) -> None:
        followed.state, box = None, _box(followed.mask)
        if box is not None:
            followed.box = box
            followed.state = self.make()
            followed.state.init(image[..., ::-1].copy(), (box[0], box[1], box[2] - box[0] + 1, box[3] - box[1] + 1))

    def _move(self, followed: _Followed, image: np.ndarray) -> None:
        found, rectangle = followed.state.update(image[..., ::-1].copy()) if followed.state else (False, (0, 0, 0, 0))
        followed.seen = 0 if found else followed.seen + 1
        if not found:
            followed.mask = np.zeros(image.shape[:2], bool)
            return
        x, y, width, height = (round(value) for value in rectangle)
        box = (x, y, x + width - 1, y + height - 1)
        moved = _moved(followed.mask, followed.box or box, box)
        cut = grab(image, box, moved)
        # Where the colours cannot be told apart, the old outline in its new place is the better guess.
        followed.mask = cut if cut.any() else moved
        followed.box = box


def grab(
    image: np.ndarray,
    box: tuple[int, int, int, int],
    before: np.ndarray,
    points: np.ndarray = np.empty((0, 2)),
    labels: np.ndarray = np.empty(0),
) -> np.ndarray:
    """GrabCut of ``image`` (H, W, 3) around ``box``; returns (H, W) bool.

    before: (H, W) bool, probably the object; empty: the box is.  points, labels: certain pixels.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (max(box[0], 0), max(box[1], 0), min(box[2], width - 1), min(box[3], height - 1))
    result = np.zeros((height, width), bool)
    if x1 <= x0 or y1 <= y0:
        return result
    dx, dy = int(MARGIN * (x1 - x0)) + 4, int(MARGIN * (y1 - y0)) + 4
    window = (slice(max(y0 - dy, 0), y1 + dy + 1), slice(max(x0 - dx, 0), x1 + dx + 1))
    guess = np.full((height, width), cv2.GC_BGD, np.uint8)
    guess[y0 : y1 + 1, x0 : x1 + 1] = cv2.GC_PR_BGD if before.any() else cv2.GC_PR_FGD
    guess[before & (guess != cv2.GC_BGD)] = cv2.GC_PR_FGD
    for (x, y), label in zip(points, labels):
        cv2.circle(guess, (int(x), int(y)), 2, int(cv2.GC_FGD if label else cv2.GC_BGD), -1)
    guess = np.ascontiguousarray(guess[window])
    if not (guess & 1).any() or (guess & 1).all():
        return result  # GrabCut needs pixels on and off the object
    part = np.ascontiguousarray(image[window][..., ::-1])
    cv2.setRNGSeed(0)  # its colour model starts at random
    unused = (0, 0, 0, 0)  # a box, for the other modes of GrabCut
    cv2.grabCut(part, guess, unused, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    result[window] = (guess & 1).astype(bool)
    return result


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box of a mask; None where it is no larger than one row or column, which a box tracker cannot take."""
    box = box_of(mask)
    return box if box is not None and box[0] < box[2] and box[1] < box[3] else None


def _moved(mask: np.ndarray, old: tuple[int, int, int, int], new: tuple[int, int, int, int]) -> np.ndarray:
    """The mask as it would be if it had moved and grown with its box."""
    scale = [(new[2 + axis] - new[axis] + 1) / max(old[2 + axis] - old[axis] + 1, 1) for axis in (0, 1)]
    matrix = np.array([[scale[0], 0, new[0] - scale[0] * old[0]], [0, scale[1], new[1] - scale[1] * old[1]]])
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST).astype(bool)


def _track(followed: _Followed) -> Track:
    gone = not followed.mask.any()
    return Track(
        followed.id,
        followed.name,
        State.OCCLUDED if gone else State.VISIBLE,
        gone,
        followed.mask,
        -1.0 if gone else 1.0,
        0.0,
        np.zeros(0, np.float32),
        followed.seen,
        1,
    )


#: By the names that stand in place of a model.
BASELINES: dict[str, Callable[[], ObjectTracker]] = {"opencv": OpenCVTracker, "first-mask": FirstMask}


class BaselineSetup(TrackerSetup):
    """A baseline, by its name in place of a model."""

    __slots__ = ()
    uses: ClassVar[tuple[type, ...]] = (SessionSettings, DepthSettings)

    def tracker(self) -> ObjectTracker:
        return BASELINES[self.model]()

    def check_engine(self) -> None:
        pass

    def computed(self) -> dict[str, str]:
        return {"device": "cpu", "precision": "float32"}

    def identity(self) -> dict[str, Any]:
        finder = {"box_tracker": box_tracker_name()} if self.model == "opencv" else {}
        return {"name": self.model, **finder}

    def all_settings(self) -> dict[str, Any]:
        return {}


def setup_of(
    model: str,
    device: str,
    settings: Mapping[str, Any],
    image_side: int | None = None,
    engine: str = "",
) -> TrackerSetup:
    """The setup of a baseline or a model.

    settings: by name.  image_side, engine: None and "" leave them to the recording.
    """
    kind = BaselineSetup if model in BASELINES else TrackerSetup
    return kind(model, device, tuple(sorted(settings.items())), image_side, engine)
