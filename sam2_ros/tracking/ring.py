"""The last frames of the stream, by their stamps, so that a prompt may come late."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral

from sam2_ros.errors import UnknownStamp
from sam2_ros.tracking.remembered import RememberedFrame


class Ring:
    """Those of the last ``capacity`` frames that can still be prompted, in the order of arrival."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._frames: list[RememberedFrame] = []

    def __iter__(self) -> Iterator[RememberedFrame]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def oldest(self) -> RememberedFrame:
        return self._frames[0]

    @property
    def newest(self) -> RememberedFrame | None:
        return self._frames[-1] if self._frames else None

    def push(self, frame: RememberedFrame) -> None:
        """Add the newest frame; the oldest makes room.

        When time went back (a bag that starts over, or the camera's clock is set) the frames that
        are not older than the new one are dropped, and those without a stamp: stamps must say
        which frame is meant.
        """
        kept = [earlier for earlier in self._frames if earlier.index > frame.index - self._capacity]
        if frame.stamp and any(earlier.stamp >= frame.stamp for earlier in kept):
            kept = [earlier for earlier in kept if 0 < earlier.stamp < frame.stamp]
        self._frames = [*kept, frame]

    def clear(self) -> None:
        self._frames.clear()

    def after(self, frame: RememberedFrame) -> list[RememberedFrame]:
        """The frames that came later, in their order."""
        return [later for later in self._frames if later.index > frame.index]

    def at(self, stamp: int) -> RememberedFrame:
        """The frame of ``stamp``; 0 means the newest.  Raises an UnknownStamp that says why there is none."""
        if not isinstance(stamp, Integral) or isinstance(stamp, bool):
            raise UnknownStamp(f"a stamp is a whole number of nanoseconds, 0 = the newest image; got {stamp!r}")
        if not self._frames:
            raise UnknownStamp("no image has arrived yet; send the prompt again after the first one")
        if stamp == 0:
            return self._frames[-1]
        for frame in reversed(self._frames):
            if frame.stamp == stamp:
                return frame
        oldest, newest = self._frames[0].stamp, self._frames[-1].stamp
        if not newest:
            raise UnknownStamp(
                f"the images have no stamps, so none of them is the image of {_seconds(stamp)}; "
                "send the prompt with stamp 0, for the newest image"
            )
        if stamp > newest:
            raise UnknownStamp(f"stamp {_seconds(stamp)} is newer than the newest image ({_seconds(newest)})")
        if stamp < oldest:
            raise UnknownStamp(
                f"stamp {_seconds(stamp)} is {_seconds(oldest - stamp)} older than the oldest remembered image; "
                f"prompt a newer image or raise remembered_frames (now {self._capacity})"
            )
        raise UnknownStamp(
            f"the image of stamp {_seconds(stamp)} was never tracked (a dropped frame); "
            "use the stamp of a published result"
        )


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d} s"
