"""What a tracker must offer to a session, and so to the node, a replay and an evaluation.

``tracker.Tracker`` is one, the baselines of an evaluation are others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sam2_ros.stamps import Place
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.types import Frame, Prompt, Track

if TYPE_CHECKING:
    from sam2_ros.tracking.exported import ObjectMemory


@dataclass(frozen=True, slots=True, eq=False)
class Prompted:
    """The answer to a prompt.

    track: the object on the prompted frame; stamp: that frame's, in nanoseconds.
    newest: every object on the newest frame, after the correction reached it; made when it is looked at.
    """

    track: Track
    stamp: int
    newest: Sequence[Track]


class ObjectTracker(Protocol):
    """Frames and prompts in, the objects of each frame out.  Used by one thread only."""

    #: Where the last frame that was given belongs in the stream.
    placed: Place

    @property
    def settings(self) -> TrackerSettings:
        """How the tracker behaves."""
        ...

    @settings.setter
    def settings(self, settings: TrackerSettings) -> None: ...

    @property
    def objects(self) -> dict[str, int]:
        """The id of every followed object by its name, in the order of their first prompts."""
        ...

    @property
    def stamps(self) -> list[int]:
        """The stamps of the remembered frames in nanoseconds, oldest first: those that a prompt may carry."""
        ...

    @property
    def newest_stamp(self) -> int | None:
        """The newest stamp of a frame in nanoseconds, 0 when no frame had one; None before the first frame."""
        ...

    def track(self, frame: Frame) -> list[Track]:
        """Follow every object onto ``frame``; returns where they are, in id order."""
        ...

    def prompt(self, prompt: Prompt, stamp: int = 0, *, later: bool = False) -> Prompted:
        """Start or correct an object on the frame of ``stamp``; 0 = the newest.

        later: newer frames are left to ``catch_up``.  Raises InvalidPrompt and UnknownStamp.
        """
        ...

    def is_behind(self, stamp: int = 0) -> bool:
        """Whether an object was prompted on an older frame and has not been followed from there to ``stamp``'s."""
        ...

    def catch_up(self) -> None:
        """Follow the objects that are behind onto one more remembered frame."""
        ...

    def current(self) -> list[Track]:
        """Every object on the newest frame, in id order."""
        ...

    def newest(self) -> Sequence[Track]:
        """The same, but masks may be made when they are first looked at; stays as it is now."""
        ...

    def at(self, stamp: int) -> list[Track]:
        """Every object on the remembered frame of ``stamp``, in id order.  Raises UnknownStamp."""
        ...

    def size(self, stamp: int) -> tuple[int, int]:
        """(height, width) of that frame.  Raises UnknownStamp."""
        ...

    def name_at(self, x: float, y: float, stamp: int = 0) -> str:
        """The name of the object whose mask covers a pixel of that frame; "" for none.  Raises UnknownStamp."""
        ...

    def forget(self, name: str) -> None:
        """Stop following ``name``."""
        ...

    def export(self, name: str) -> ObjectMemory:
        """The memory of ``name``.  Raises UnknownObject, and InvalidInput where a tracker has no such thing."""
        ...

    def restore(self, memory: ObjectMemory, name: str = "") -> int:
        """Follow an exported object from the next frame on; returns its id.  Raises InvalidInput."""
        ...

    def reset(self) -> None:
        """Forget every object and every frame."""
        ...

    def rewind(self) -> None:
        """Go through the same frames once more, from the first: objects and what was prompted stay."""
        ...
