"""What all recordings have in common, and the events in them.

A recording is an iterable of ``Frame``, which is all that tracking needs.  Its ``events`` are everything that was
recorded: a lazy stream of stamped events in time order.
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

#: Images per second of pictures without times (the rate of DAVIS and SA-V).
DEFAULT_RATE = 24.0
#: At most this many sentences on losses of one kind are listed; the others are counted.
MOST_SENTENCES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Ground truth for the image of one stamp.

    stamp: nanoseconds, that of the image.
    masks: (H, W) bool for each object id; masks may overlap.
    ignore: (H, W) bool of the pixels that count for no object, or None; ignores: the same for single objects.
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
        """Truth of one (H, W) label image: 0 is the background; 255 is ignored in 8 bits and an id in 16."""
        ignored = labels == IGNORE_LABEL if labels.dtype == np.uint8 else None
        return cls(stamp, {one: labels == one for one in ids_in(labels)}, ignored if np.any(ignored) else None)

    def mask(self, object_id: int, size: tuple[int, int]) -> np.ndarray | None:
        """The (H, W) bool mask of an object: empty if it is absent, None if it was not annotated."""
        if object_id in self.masks:
            return self.masks[object_id]
        return np.zeros(size, bool) if self.complete else None

    def ignored(self, object_id: int) -> np.ndarray | None:
        """(H, W) bool of the pixels that do not count for an object, or None."""
        return self.ignores.get(object_id, self.ignore)


@dataclass(frozen=True, slots=True, eq=False)
class PromptEvent:
    """A prompt for the image of ``stamp`` (nanoseconds; 0 = the newest image)."""

    prompt: Prompt
    stamp: int


@dataclass(frozen=True, slots=True, eq=False)
class RemovalEvent:
    """Names of objects that a node does not follow any more from the image of ``stamp`` (nanoseconds) on."""

    names: tuple[str, ...]
    stamp: int


@dataclass(frozen=True, slots=True, eq=False)
class CameraEvent:
    """A camera_info message: size (height, width), 3 x 3 intrinsic matrix and distortion coefficients.

    info: the message itself, with all of its fields.
    """

    stamp: int
    size: tuple[int, int]
    matrix: np.ndarray
    distortion: np.ndarray
    frame_id: str = ""
    info: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class DepthEvent:
    """A depth image: (H, W) uint16 in units of the camera (mostly millimetres) or float32 metres."""

    stamp: int
    depth: np.ndarray
    frame_id: str = ""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One serialised message of a bag; ``types`` gives the type store of the rosbags library to read it with.

    latched: whether later subscribers got it, too (transient local), as with static transforms.
    """

    time: int
    topic: str
    type: str
    raw: bytes
    types: Callable[[], Any]
    latched: bool = False

    def decode(self) -> Any:
        """The message as an object, by the definition of its type in the bag.  Raises RecordingError."""
        try:
            return self.types().deserialize_cdr(self.raw, self.type)
        except Exception as error:  # rosbags raises errors of many types for damaged messages
            raise RecordingError(f"a {self.type} message of {len(self.raw)} bytes cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One recorded message: its time of recording (nanoseconds), topic and content.

    content: Frame, Truth, PromptEvent, RemovalEvent, CameraEvent, DepthEvent, or None for other types.
    stored: the message in the bag; None for pictures and videos.
    """

    time: int
    topic: str
    content: Any
    stored: StoredMessage | None = None


@dataclass
class Recording(abc.ABC):
    """A source of frames that is read while it is iterated; iterating again starts from the beginning.

    name: for reports.  path: file or folder.  frames: number of images, None if it is unknown
    before the end.
    lost: sentences on what could not be read, complete after one iteration.
    image_range: how 16 bits become 8, see ``ranges.Range``; each iteration follows the values from the first image on.
    reduced: whether pictures or a video had more than eight bits, known after one iteration.
    """

    name: str
    path: Path
    frames: int | None = None
    lost: list[str] = field(default_factory=list)
    image_range: str = AUTO
    reduced: bool = field(default=False, init=False)

    @abc.abstractmethod
    def events(self) -> Iterator[Event]:
        """Everything recorded, in time order.  Raises RecordingError if nothing can be read."""

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


def shortened(sentences: list[str], what: str) -> list[str]:
    """The first of some sentences, and the number of the others, which are about ``what``."""
    rest = len(sentences) - MOST_SENTENCES
    return sentences if rest <= 0 else [*sentences[:MOST_SENTENCES], f"and {rest} more {what}"]
