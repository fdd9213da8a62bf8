"""The last frames of the stream, found again by their stamps: so that a prompt may come late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from sam2_ros.errors import UnknownStamp


class Stamped(Protocol):
    """A frame's order of arrival and its acquisition time in nanoseconds (0 = unknown)."""

    index: int
    stamp: int


Moment = TypeVar("Moment", bound=Stamped)


class Ring(Generic[Moment]):
    """At most ``capacity`` moments in the order of arrival."""

    def __init__(self, capacity: int) -> None:
        self._moments: deque[Moment] = deque(maxlen=capacity)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    @property
    def oldest(self) -> Moment:
        return self._moments[0]

    @property
    def newest(self) -> Moment | None:
        return self._moments[-1] if self._moments else None

    def push(self, moment: Moment) -> None:
        """Add the newest moment; the oldest makes room.

        When time went back (a bag that starts over, or the camera's clock is set) the moments that
        are not older than the new one are dropped, and those without a stamp: stamps must say
        which frame is meant.
        """
        if moment.stamp and any(earlier.stamp >= moment.stamp for earlier in self._moments):
            older = [earlier for earlier in self._moments if 0 < earlier.stamp < moment.stamp]
            self._moments = deque(older, maxlen=self._moments.maxlen)
        self._moments.append(moment)

    def clear(self) -> None:
        self._moments.clear()

    def before(self, moment: Moment) -> Moment | None:
        """The moment that came just before, if it is still here."""
        return next((earlier for earlier in self._moments if earlier.index == moment.index - 1), None)

    def after(self, moment: Moment) -> list[Moment]:
        """The moments that came later, in their order."""
        return [later for later in self._moments if later.index > moment.index]

    def at(self, stamp: int) -> Moment:
        """The moment of ``stamp``; 0 means the newest.  Raises an UnknownStamp that says why there is none."""
        if not self._moments:
            raise UnknownStamp("no image has arrived yet; send the prompt again after the first one")
        if stamp == 0:
            return self._moments[-1]
        for moment in reversed(self._moments):
            if moment.stamp == stamp:
                return moment
        oldest, newest = self._moments[0].stamp, self._moments[-1].stamp
        if not newest:
            raise UnknownStamp(
                f"the images carry no stamp, so none is that of {_seconds(stamp)}; "
                "send the prompt with stamp 0, for the newest image"
            )
        if stamp > newest:
            raise UnknownStamp(f"stamp {_seconds(stamp)} is newer than the newest image ({_seconds(newest)})")
        if stamp < oldest:
            raise UnknownStamp(
                f"stamp {_seconds(stamp)} is {_seconds(oldest - stamp)} older than the oldest remembered image; "
                f"prompt a newer image or raise remembered_frames (now {self._moments.maxlen})"
            )
        raise UnknownStamp(
            f"the image of stamp {_seconds(stamp)} was never tracked (a dropped frame); "
            "use the stamp of a published result"
        )


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d} s"
