"""The frames of a recording, each with its ground truth, its depth, and the events between it and the next frame."""

from __future__ import annotations

from bisect import bisect
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from sam2_ros.recordings.recording import Event, PromptEvent, Recording, RemovalEvent, Truth
from sam2_ros.types import Frame

#: The truth of an image, and its depth, must come within this number of images after it.
LOOK_AHEAD = 8
#: Frames that are read while the tracker works, and steps that wait to be written or scored.
PREFETCHED = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Sensed:
    """What belongs to one image: depth (H, W) in the units of its camera, None without any, and the camera_info."""

    depth: np.ndarray | None = None
    info: Any = None


class Sensor:
    """Finds the depth of each image among the events of a recording; this one finds none."""

    def take(self, event: Event) -> None:
        """An event, in the order of the recording."""

    def waits(self, stamp: int, now: int) -> bool:
        """Whether the image of ``stamp`` may still get its depth at a time of the recording, nanoseconds."""
        return False

    def give(self, stamp: int) -> Sensed:
        """What belongs to an image, which then waits no longer."""
        return Sensed()


@dataclass(slots=True, eq=False)
class Moment:
    """A frame of a recording and what goes with it.

    index: number of the image in the recording.  arrival: when it was recorded, nanoseconds.
    truth: of this image, None when there is none.  sensed: its depth.  events: the frame's own, and the prompts and
    removals that were recorded from then until the next frame (for the first one also before).
    """

    index: int
    frame: Frame
    arrival: int
    truth: Truth | None = None
    events: list[Event] = field(default_factory=list)
    sensed: Sensed = Sensed()


def moments_of(recording: Recording, sensor: Sensor = Sensor()) -> Iterator[Moment]:
    """The frames of a recording, each with its ground truth, its depth, and the events between it and the next frame.

    Truth that matches no image is a sentence in ``recording.lost``.
    """
    waiting: deque[Moment] = deque()
    truths = _Truths()
    early: list[Event] = []
    count = 0
    for event in recording.events():
        sensor.take(event)
        if isinstance(event.content, Truth):
            truths.add(event.content, {moment.frame.stamp for moment in waiting})
        elif isinstance(event.content, Frame):
            waiting.append(Moment(count, event.content, event.time, events=[*early, event]))
            early, count = [], count + 1
        elif isinstance(event.content, (PromptEvent, RemovalEvent)):  # others could pile up without an image
            (waiting[-1].events if waiting else early).append(event)
        while len(waiting) > 1:
            stamp = waiting[0].frame.stamp
            is_whole = (not recording.has_truth or stamp in truths.known) and not sensor.waits(stamp, event.time)
            if not is_whole and len(waiting) <= LOOK_AHEAD:
                break
            yield _completed(waiting.popleft(), truths, sensor)
    for moment in waiting:
        yield _completed(moment, truths, sensor)
    recording.lost += truths.lost()


def _completed(moment: Moment, truths: _Truths, sensor: Sensor) -> Moment:
    """A moment with its truth and its depth, if they have come."""
    moment.sensed = sensor.give(moment.frame.stamp)
    return truths.give(moment)


class _Truths:
    """Truth that waits for its image, by stamp; counts the truth that no image got."""

    def __init__(self) -> None:
        self.known: dict[int, Truth] = {}
        self._count = 0
        self._unmatched: list[int] = []
        self._images: dict[int, bool] = {}  # by stamp: whether it got its truth

    def add(self, truth: Truth, wanted: set[int]) -> None:
        """Keep the truth of one image, and of images that are not ``wanted`` yet that of the last few only."""
        if truth.stamp not in self.known:
            self._count += 1
        self.known[truth.stamp] = truth
        for stamp in [stamp for stamp in self.known if stamp not in wanted][:-LOOK_AHEAD]:
            del self.known[stamp]
            self._unmatched.append(stamp)

    def give(self, moment: Moment) -> Moment:
        """A moment with its truth, if that has come."""
        stamp = moment.frame.stamp
        moment.truth = self.known.pop(stamp, None)
        self._images[stamp] = moment.truth is not None or self._images.get(stamp, False)
        return moment

    def lost(self) -> list[str]:
        """A sentence on truth that no image got, if there is any; asked after the last image."""
        unmatched = [stamp for stamp in (*self._unmatched, *self.known) if not self._images.get(stamp)]
        images = sorted(self._images)
        offsets = [_nearest(stamp, images) for stamp in unmatched]
        late, apart = offsets.count(0), [offset for offset in offsets if offset]
        reasons = [f"{late} came more than {LOOK_AHEAD} images apart from their own"] if late else []
        if apart:
            reasons.append(f"{len(apart)} have the stamp of no image (the nearest is {min(apart) / 1e6:g} ms off)")
        if not reasons:
            return []
        sentence = (
            f"{len(unmatched)} of {self._count} ground truths were not used: {' and '.join(reasons)}; truth must "
            "carry exactly the header stamp of its image, and come soon after it"
        )
        return [sentence]


def _nearest(stamp: int, images: list[int]) -> int:
    """Nanoseconds from a stamp to the nearest of the sorted stamps of images, of which there is one at least."""
    place = bisect(images, stamp)
    return min(abs(near - stamp) for near in images[max(place - 1, 0) : place + 1])


def with_following(items: Iterable[T]) -> Iterator[tuple[T, T | None]]:
    """Each item with the one after it, None after the last; an error of an item is raised when it is its turn."""
    iterator, end = iter(items), object()
    present: Any = next(iterator, end)
    while present is not end:
        try:
            following: Any = next(iterator, end)
        except Exception:
            yield present, None
            raise
        yield present, None if following is end else following
        present = following


def prefetched(items: Iterable[T], depth: int = PREFETCHED) -> Generator[T, None, None]:
    """The same items, drawn by a thread that is at most ``depth`` ahead; what it raises is raised here."""
    pool, iterator, end = ThreadPoolExecutor(1, "reader"), iter(items), object()
    coming: deque[Future[Any]] = deque(pool.submit(next, iterator, end) for _ in range(depth))
    try:
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, iterator, end))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
