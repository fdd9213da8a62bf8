"""Finds the depth image that belongs to an image by stamps, with the rule of message_filters.

When an image or a depth image comes, it is paired at once with the waiting one of the other kind whose stamp is
nearest, if that is less than the tolerance away.  Both are then removed.  Without a partner it waits; if too many
wait, the one with the smallest stamp is dropped.  ApproximateTimeSynchronizer of message_filters does the same for two
topics, with one difference: where time starts again (a bag that loops), it would drop every new stamp as the smallest.
Here the waiting ones are forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sam2_ros.stamps import NewestStamp

#: What waits on one side.
QUEUE = 10


class Pairs(Protocol):
    """Pairs images with depth; ``on_pair`` is called with the stamp of the image and with what was given as depth."""

    def image(self, stamp: int) -> None:
        """An image of a stamp, nanoseconds, has come."""

    def depth(self, stamp: int, content: Any) -> None:
        """Depth of a stamp has come."""


class Pairing:
    """The rule in plain Python.

    tolerance: nanoseconds; a pair may not be so far apart, but equal stamps are always a pair.
    """

    def __init__(self, on_pair: Callable[[int, Any], object], tolerance: int, queue: int = QUEUE) -> None:
        self._on_pair = on_pair
        self.tolerance = tolerance
        self._queue = queue
        self._images: dict[int, None] = {}
        self._depths: dict[int, Any] = {}
        self._newest = NewestStamp()

    def image(self, stamp: int) -> None:
        """See ``Pairs``."""
        self._begin(stamp)
        partner = self._nearest(self._depths, stamp)
        if partner is None:
            self._keep(self._images, stamp, None)
        else:
            self._on_pair(stamp, self._depths.pop(partner))

    def depth(self, stamp: int, content: Any) -> None:
        """See ``Pairs``."""
        self._begin(stamp)
        partner = self._nearest(self._images, stamp)
        if partner is None:
            self._keep(self._depths, stamp, content)
        else:
            del self._images[partner]
            self._on_pair(partner, content)

    def _begin(self, stamp: int) -> None:
        if self._newest.restarts(stamp):
            self._images.clear()
            self._depths.clear()

    def _nearest(self, waiting: dict[int, Any], stamp: int) -> int | None:
        near = min(waiting, key=lambda other: (abs(other - stamp), other), default=None)
        if near is None or (near != stamp and abs(near - stamp) >= self.tolerance):
            return None
        return near

    def _keep(self, waiting: dict[int, Any], stamp: int, content: Any) -> None:
        waiting[stamp] = content
        while len(waiting) > self._queue:
            del waiting[min(waiting)]
