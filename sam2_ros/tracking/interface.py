"""The Protocol of a tracker, for a session and so for node, replay and evaluation.

``tracker.Tracker`` implements it, and so do the baselines of an evaluation.
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
    """Frames and prompts in, the objects of each frame out.  Used by one thread only.

    ``tracker.Tracker`` documents what each of these does.  A tracker that remembers only the newest frame raises
    UnknownStamp for others, and InvalidInput where it has no memory to export.
    """

    placed: Place

    @property
    def settings(self) -> TrackerSettings: ...

    @settings.setter
    def settings(self, settings: TrackerSettings) -> None: ...

    @property
    def objects(self) -> dict[str, int]: ...

    @property
    def stamps(self) -> list[int]: ...

    @property
    def newest_stamp(self) -> int | None: ...

    def track(self, frame: Frame) -> list[Track]: ...

    def prepare(self, frame: Frame) -> None: ...

    def prompt(self, prompt: Prompt, stamp: int = 0, *, later: bool = False) -> Prompted: ...

    def is_behind(self, stamp: int = 0) -> bool: ...

    def catch_up(self) -> None: ...

    def newest(self) -> Sequence[Track]: ...

    def at(self, stamp: int) -> list[Track]: ...

    def size(self, stamp: int) -> tuple[int, int]: ...

    def name_at(self, x: float, y: float, stamp: int = 0) -> str: ...

    def export(self, name: str) -> ObjectMemory: ...

    def restore(self, memory: ObjectMemory, name: str = "") -> int: ...

    def forget(self, name: str) -> None: ...

    def reset(self) -> None: ...

    def rewind(self) -> None: ...
