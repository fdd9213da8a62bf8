"""What a recording is made of, whichever kind of file it came from.

A recording is an iterable of ``Frame`` (all that tracking needs) and, through ``events``,
a lazy stream of stamped events in time order (all that was recorded).
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.ranges import AUTO
from sam2_ros.recordings.labels import IGNORE_LABEL, ids_in
from sam2_ros.types import Frame, Prompt

#: Frames per second of pictures that carry no times (the rate of DAVIS and SA-V).
DEFAULT_RATE = 24.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Ground truth for the image of one stamp.

    stamp: nanoseconds, that of the image.
    masks: (H, W) bool for each object id; masks may overlap.
    ignore: (H, W) bool of the pixels that must not count for any object, or None; ignores: for single ones.
    complete: an id that is not listed is absent from this image (a label image); otherwise
        it was simply not annotated here (one picture for each object, as in SA-V).
    """

    stamp: int
    masks: dict[int, np.ndarray]
    ignore: np.ndarray | None = None
    complete: bool = True
    ignores: dict[int, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_labels(cls, labels: np.ndarray, stamp: int) -> Truth:
        """Truth of one (H, W) label image: 0 is the background; in 8 bits 255 is not counted, in 16 it is an id."""
        ignored = labels == IGNORE_LABEL if labels.dtype == np.uint8 else None
        return cls(stamp, {one: labels == one for one in ids_in(labels)}, ignored if np.any(ignored) else None)

    def mask(self, object_id: int, size: tuple[int, int]) -> np.ndarray | None:
        """The object's (H, W) bool mask, empty where it is absent, None where nobody annotated it."""
        if object_id in self.masks:
            return self.masks[object_id]
        return np.zeros(size, bool) if self.complete else None

    def ignored(self, object_id: int) -> np.ndarray | None:
        """(H, W) bool of the pixels that must not count for an object, or None."""
        return self.ignores.get(object_id, self.ignore)


@dataclass(frozen=True, slots=True, eq=False)
class PromptEvent:
    """A prompt as it was given: on the image of ``stamp`` (nanoseconds; 0 = the newest image)."""

    prompt: Prompt
    stamp: int


@dataclass(frozen=True, slots=True, eq=False)
class RemovalEvent:
    """Names of objects that a node had followed and, on the image of ``stamp`` (nanoseconds), followed no more."""

    names: tuple[str, ...]
    stamp: int


@dataclass(frozen=True, slots=True, eq=False)
class CameraEvent:
    """A camera_info message: size (height, width), 3 x 3 intrinsic matrix and distortion coefficients."""

    stamp: int
    size: tuple[int, int]
    matrix: np.ndarray
    distortion: np.ndarray
    frame_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class DepthEvent:
    """A depth image: (H, W) uint16 as the camera counts (mostly millimetres) or float32 metres."""

    stamp: int
    depth: np.ndarray


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One serialised message of a bag; ``types`` gives the type store of the rosbags library to read it with.

    latched: whether who subscribes later got it too (transient local), as static transforms are published.
    """

    time: int
    topic: str
    type: str
    raw: bytes
    types: Callable[[], Any]
    latched: bool = False

    def decode(self) -> Any:
        """An object with the fields that the bag's own definition of the type has.  Raises RecordingError."""
        try:
            return self.types().deserialize_cdr(self.raw, self.type)
        except Exception as error:  # rosbags answers damaged messages with errors of many kinds
            raise RecordingError(f"a {self.type} message of {len(self.raw)} bytes cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One thing that happened: when it was recorded (nanoseconds), on which topic, and what.

    content: Frame, Truth, PromptEvent, RemovalEvent, CameraEvent, DepthEvent, or None for every other type.
    stored: the message as it lies in the bag, for events that come from one.
    """

    time: int
    topic: str
    content: Any
    stored: StoredMessage | None = None


@dataclass
class Recording(abc.ABC):
    """One lazily read source of frames; iterating again starts again from the beginning.

    name: what reports call it.  path: where it lies.  frames: how many images, None when
    that is unknown before the end.
    lost: sentences on what could not be read, complete after one whole iteration.
    image_range: how 16 bits become 8, see ``ranges.Range``; each iteration follows the values from the first image on.
    reduced: whether pictures or a video had more than eight bits, known after one whole iteration.
    """

    name: str
    path: Path
    frames: int | None = None
    lost: list[str] = field(default_factory=list)
    image_range: str = AUTO
    reduced: bool = field(default=False, init=False)

    @abc.abstractmethod
    def events(self) -> Iterator[Event]:
        """Everything recorded, in time order; raises RecordingError when nothing can be read."""

    def __iter__(self) -> Iterator[Frame]:
        for event in self.events():
            if isinstance(event.content, Frame):
                yield event.content

    @property
    def rate(self) -> float | None:
        """Nominal images per second, None where that is unknown."""
        return None

    @property
    def has_truth(self) -> bool:
        """Whether ground truth is known to exist."""
        return False

    @property
    def has_prompts(self) -> bool:
        """Whether prompts were recorded."""
        return False

    def stem(self, index: int) -> str:
        """File name without suffix for results on image number ``index``."""
        return f"{index:05d}"


def stamp_of(index: int, rate: float) -> int:
    """Stamp of picture ``index`` in nanoseconds, counted from one period because 0 means "unknown"."""
    return round((index + 1) * 1e9 / rate)
