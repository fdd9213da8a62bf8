"""The place of an image in the stream, from its stamp; stamps are nanoseconds, 0 = unknown.

Networks and drivers sometimes deliver neighbouring images in the wrong order, or an image twice.  An image that is a
little older than the newest one is dropped, and nothing else changes.  Time starts again (a bag that loops, a camera
that restarts) when a stamp goes back by more than ``JUMP``, or when ``OLDER_IN_A_ROW`` images in a row were older than
the newest one.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable
from statistics import median_low

#: A stamp that goes back by more than this many nanoseconds is a restart, not a message out of order.
JUMP = 10**9
#: This many older images without a newer one among them are a restart, too: a bag shorter than ``JUMP`` that loops.
OLDER_IN_A_ROW = 5
#: A prompt whose image is not remembered goes to one this near, in nanoseconds, or farther away where images are rare.
TOLERANCE = 100_000_000
#: A prompt reaches no farther than this many nanoseconds to its image, however far apart the images are.
REACH = 5 * 10**9
#: A gap between two images that is wider than this many usual ones is a pause of the camera, not dropped images.
GAP = 4


class Place(enum.Enum):
    """Where an image belongs."""

    NEWER = enum.auto()  # the next one, also when its stamp is unknown
    SAME = enum.auto()  # the newest image once more
    LATE = enum.auto()  # older than one that came before it
    RESTART = enum.auto()  # the first one after time went back


def went_back(before: int, after: int) -> bool:
    """Whether time started again between two stamps that came one after the other."""
    return 0 < after < before - JUMP


class NewestStamp:
    """The newest of the stamps since time started last."""

    def __init__(self) -> None:
        self._newest = 0

    def restarts(self, stamp: int) -> bool:
        """Take in the next stamp; whether time started again with it."""
        restarted = went_back(self._newest, stamp)
        self._newest = stamp if restarted else max(self._newest, stamp)
        return restarted


class Timeline:
    """Says of each image where it belongs, given those that came before it."""

    def __init__(self) -> None:
        self.newest = 0  # the newest known stamp
        self._last = 0  # the stamp of the last image that was not left out
        self._older = 0  # images that were left out since then
        self._begin = 0  # the first of them
        self._loops_to = 0  # where a run of older images began that turned out to be a restart

    def place(self, stamp: int) -> Place:
        """Where the image of ``stamp`` belongs, now that it has come."""
        if stamp and stamp == self._last:
            return Place.SAME
        place = Place.NEWER if not stamp or stamp > self.newest else self._place_of_older(stamp)
        if place != Place.LATE:
            self._last, self._older = stamp, 0
            self.newest = stamp or self.newest
        return place

    def _place_of_older(self, stamp: int) -> Place:
        self._older += 1
        if self._older == 1:
            self._begin = stamp
        if went_back(self.newest, stamp) or stamp == self._loops_to:
            return Place.RESTART
        if self._older < OLDER_IN_A_ROW:
            return Place.LATE
        self._loops_to = self._begin
        return Place.RESTART


def replaces(waiting: int, stamp: int) -> bool:
    """Whether an image takes the place of one that waits: not when it is a little older."""
    return not 0 < stamp < waiting or went_back(waiting, stamp)


def nearest(stamps: Iterable[int], stamp: int, tolerance: int) -> int | None:
    """The remembered stamp nearest to the prompt's stamp; None when none is near enough.

    Near enough is what lies within ``tolerance``, or within the distance between the two
    remembered images around the prompt (at either end: the two nearest ones), since images between
    them may have been dropped.  That distance counts up to ``GAP`` times the usual one, and up to ``REACH``.
    """
    known = sorted(set(stamps) - {0})
    if not known:
        return None
    place = min(range(len(known)), key=lambda number: abs(known[number] - stamp))
    reach = max(tolerance, _spacing(known, place, stamp))
    return known[place] if abs(known[place] - stamp) <= reach else None


def _spacing(known: list[int], place: int, stamp: int) -> int:
    """How far apart remembered images are, around a prompt that is nearest to the one at ``place``."""
    gaps = [after - before for before, after in itertools.pairwise(known)]
    if not gaps:
        return 0
    gap = place if stamp > known[place] else place - 1
    gap = min(max(gap, 0), len(gaps) - 1)
    return min(gaps[gap], GAP * median_low(gaps), REACH)
