"""Finds the depth image that belongs to an image by stamps, with the rule of message_filters.

When an image or a depth image comes, it is paired at once with the waiting one of the other kind whose stamp is
nearest, if that is less than the tolerance away.  Both are then removed.  Without a partner it waits; if too many
wait, the one with the smallest stamp is dropped.  ApproximateTimeSynchronizer of message_filters does the same for two
topics, with two differences.  Where time starts again (a bag that loops), it would drop every new stamp as the
smallest; here the waiting ones are forgotten.  And it keeps as many of the one topic as of the other; here many stamps
of images wait, because depth may be computed and late, and few depth images, because they are large.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sam2_ros.stamps import NewestStamp

#: Stamps of images that wait for their depth; more than the locator has tracked images, as not every image is tracked.
IMAGES = 150
#: Depth images that wait for their image.
DEPTHS = 10


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

    def __init__(self, on_pair: Callable[[int, Any], object], tolerance: int) -> None:
        self._on_pair = on_pair
        self.tolerance = tolerance
        self._images: dict[int, None] = {}
        self._depths: dict[int, Any] = {}
        self._newest_image, self._newest_depth = NewestStamp(), NewestStamp()  # depth may be seconds late

    def image(self, stamp: int) -> None:
        """See ``Pairs``."""
        if self._newest_image.restarts(stamp):
            self._images.clear()
        partner = self._nearest(self._depths, stamp)
        if partner is None:
            self._images[stamp] = None
            drop_oldest(self._images, IMAGES)
        else:
            self._on_pair(stamp, self._depths.pop(partner))

    def depth(self, stamp: int, content: Any) -> None:
        """See ``Pairs``."""
        if self._newest_depth.restarts(stamp):
            self._depths.clear()
        partner = self._nearest(self._images, stamp)
        if partner is None:
            self._depths[stamp] = content
            drop_oldest(self._depths, DEPTHS)
        else:
            del self._images[partner]
            self._on_pair(partner, content)

    def _nearest(self, waiting: dict[int, Any], stamp: int) -> int | None:
        near = min(waiting, key=lambda other: (abs(other - stamp), other), default=None)
        if near is None or (near != stamp and abs(near - stamp) >= self.tolerance):
            return None
        return near


def drop_oldest(waiting: dict[int, Any], count: int) -> None:
    """Leave at most ``count`` stamps, the newest."""
    while len(waiting) > count:
        del waiting[min(waiting)]
