"""A recording through the tracker: every frame, or only those that a robot would have had time for.

    for step in replay(recordings.open("kitchen.mcap"), tracker): ...

It drives the session that the node drives, so the rules are the same.  Offline every frame is
tracked; nothing depends on how fast the machine is, so two runs give the same answers to the bit.
On the clock, the time that each frame took counts against the recorded times: while the tracker is
busy the newest frame replaces those that wait, as in the node's mailbox.  No time is spent waiting
in either case.
"""

from __future__ import annotations

import math
import time
from bisect import bisect
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sam2_ros.errors import Sam2RosError, UnknownObject
from sam2_ros.recordings.recording import Event, PromptEvent, Recording, RemovalEvent, Truth
from sam2_ros.stamps import replaces
from sam2_ros.stream.requests import Request, RequestQueue
from sam2_ros.stream.session import Applied, Session
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.types import MAX_OBJECT_ID, Frame, Prompt, Track

#: The truth of an image must come within this number of images after it.
LOOK_AHEAD = 8
#: Frames that are read while the tracker works, and steps that wait to be written or scored.
PREFETCHED = 4

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Moment:
    """A frame of a recording and what goes with it.

    index: number of the image in the recording.  arrival: when it was recorded, nanoseconds.
    truth: of this image, None when there is none.  events: the frame's own, and the prompts and
    removals that were recorded from then until the next frame (for the first one also before).
    """

    index: int
    frame: Frame
    arrival: int
    truth: Truth | None = None
    events: list[Event] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A prompt that was applied: to which object, and to the image of which stamp."""

    name: str
    prompt: Prompt
    stamp: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What became of one frame.

    tracks: every object after the prompts that were given before the next frame came; for a
    dropped frame those of the last tracked one: what a robot had in its hands.
    track_ms, prompt_ms: what tracking and prompting took.  delay_ms: from the frame's arrival
    to its masks, waiting included (offline: what tracking took).
    given: prompts that were applied.  refused: sentences about those that could not be.
    timed: whether the step was on the clock.
    """

    moment: Moment
    tracks: tuple[Track, ...]
    dropped: bool = False
    track_ms: float = 0.0
    prompt_ms: float = 0.0
    delay_ms: float = 0.0
    given: tuple[Given, ...] = ()
    refused: tuple[str, ...] = ()
    timed: bool = False

    @property
    def prompted(self) -> tuple[str, ...]:
        """The names of the prompted objects."""
        return tuple(dict.fromkeys(given.name for given in self.given))

    @property
    def clicks(self) -> int:
        """How many points the prompts had, a box or a mask counting as one."""
        prompts = [given.prompt for given in self.given]
        return sum(len(one.points) + (one.box is not None) + (one.mask is not None) for one in prompts)


#: Somebody who looks at a frame with its tracks and prompts: user(moment, tracks, prompt).
User = Callable[[Moment, list[Track], Callable[[Prompt], Applied]], None]
#: As in the node, but the recording decides how many objects there are.
SETTINGS = SessionSettings(max_objects=MAX_OBJECT_ID)


def replay(
    recording: Recording,
    tracker: ObjectTracker,
    user: User | None = None,
    *,
    settings: SessionSettings = SETTINGS,
    on_clock: bool = False,
    recorded_prompts: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Step, None, None]:
    """Every frame of ``recording`` in order, tracked or (on the clock) dropped.

    user: looks at each tracked frame and prompts.  recorded_prompts: whether the prompts in the
    recording are given too, each on the image that it was made on, and objects that were removed
    are forgotten.  clock: seconds, for durations.
    """
    driver = _Driver(tracker, settings, user, recorded_prompts, clock)
    moments = prefetched(moments_of(recording))
    try:
        yield from _on_clock(moments, driver) if on_clock else map(driver.step, moments)
        recording.lost += driver.left()
    finally:
        moments.close()  # ends its thread, also when a step raised


def _on_clock(moments: Iterator[Moment], driver: _Driver) -> Iterator[Step]:
    """Drop each frame whose successor has come by the time that the tracker is free."""
    free, moment = 0, next(moments, None)
    tracks: tuple[Track, ...] = ()
    while moment is not None:
        start = max(moment.arrival, free)
        late, following = _waiting_behind(moment, moments, start)
        for left_out in late:
            driver.keep(left_out)
        if following is not None and following.arrival <= start:
            driver.keep(moment)
            yield Step(moment, tracks, dropped=True, timed=True)
        else:
            step = driver.step(moment)
            free = start + round((step.track_ms + step.prompt_ms) * 1e6)
            tracks = step.tracks
            yield replace(step, delay_ms=(start - moment.arrival) / 1e6 + step.track_ms, timed=True)
        yield from (Step(left_out, tracks, dropped=True, timed=True) for left_out in late)
        moment = following


def _waiting_behind(moment: Moment, moments: Iterator[Moment], start: int) -> tuple[list[Moment], Moment | None]:
    """Frames that come until ``start`` and are older than the one that waits, and the first one after them."""
    late, following = [], next(moments, None)
    while (
        following is not None and following.arrival <= start and not replaces(moment.frame.stamp, following.frame.stamp)
    ):
        late.append(following)
        following = next(moments, None)
    return late, following


class _Driver:
    """Takes a session through a recording, with what a user and the recording ask of it.

    What was recorded waits for its images as in the node, but without a limit of time or number.  A
    removal refuses no prompt that waits: what the recording holds is what the node applied.
    """

    def __init__(
        self,
        tracker: ObjectTracker,
        settings: SessionSettings,
        user: User | None,
        recorded_prompts: bool,
        clock: Callable[[], float],
    ) -> None:
        self._session = Session(tracker, settings, self._note, in_parts=False)
        self._user = user
        self._recorded_prompts = recorded_prompts
        self._clock = clock
        self._queue = RequestQueue(most=math.inf)
        self._given: list[Given] = []  # on the present frame
        self._spent = 0.0  # seconds for these

    def keep(self, moment: Moment) -> None:
        """Let the recorded prompts and removals of a frame wait for their images."""
        if self._recorded_prompts:
            contents = [event.content for event in moment.events]
            self._queue.accept(filter(None, map(self._request, contents)), self._session.newest)

    def step(self, moment: Moment) -> Step:
        """Track a frame, give what is due, and let the user look; a frame that comes too late is dropped."""
        session, before = self._session, self._session.view
        self._given, self._spent = [], 0.0
        started = self._clock()
        session.track(moment.frame)
        milliseconds = (self._clock() - started) * 1e3
        late = session.view is before
        self.keep(moment)
        refused = self._give_recorded()
        if self._user is not None and not late:
            self._user(moment, list(session.view.tracks), self._prompt)
        return Step(
            moment,
            tuple(session.view.tracks),
            dropped=late,
            track_ms=milliseconds,
            prompt_ms=self._spent * 1e3,
            delay_ms=milliseconds,
            given=tuple(self._given),
            refused=tuple(refused),
        )

    def left(self) -> list[str]:
        """A sentence on prompts that still wait for their images, if there are any; asked after the last image."""
        names = [request.name or "one without a name" for request in self._queue if request.act == self._prompt]
        if not names:
            return []
        listed = ", ".join(dict.fromkeys(names))
        return [f"prompts that were not given, since their images never came: {len(names)} ({listed})"]

    def _request(self, content: Any) -> Request | None:
        """What the session is to do for an event of a recording, if it is a prompt or a removal."""
        if isinstance(content, PromptEvent):
            prompt, stamp = content.prompt, content.stamp
            return Request(self._prompt, stamp, math.inf, prompt.name, content=(prompt, stamp))
        if isinstance(content, RemovalEvent):
            return Request(self._forget, content.stamp, math.inf, content=(content.names,))
        return None

    def _give_recorded(self) -> list[str]:
        """Do what waits and whose image has come, in its order; returns what was refused."""
        refused = []
        while (request := self._queue.next_due(self._session.newest)) is not None:
            try:
                request.act(*request.content)
            except Sam2RosError as error:
                refused.append(f"{request.name or 'a prompt without a name'}: {error}")
        return refused

    def _prompt(self, prompt: Prompt, stamp: int = 0) -> Applied:
        """Prompt the session, and measure what only that takes."""
        started = self._clock()
        applied = self._session.prompt(prompt, stamp)
        self._spent += self._clock() - started
        return applied

    def _note(self, prompt: Prompt, applied: Applied) -> None:
        self._given.append(Given(applied.track.name, prompt, applied.stamp))

    def _forget(self, names: Iterable[str]) -> None:
        """Forget those of the objects that are tracked here: a prompt that the node took may have been refused."""
        for name in names:
            with suppress(UnknownObject):
                self._session.forget(name)


# -- frames with what goes with them --------------------------------------------------------------


def moments_of(recording: Recording) -> Iterator[Moment]:
    """The frames of a recording, each with its truth and with the events that came with it.

    Truth that matches no image is a sentence in ``recording.lost``.
    """
    waiting: deque[Moment] = deque()
    truths = _Truths()
    early: list[Event] = []
    count = 0
    for event in recording.events():
        if isinstance(event.content, Truth):
            truths.add(event.content, {moment.frame.stamp for moment in waiting})
        elif isinstance(event.content, Frame):
            waiting.append(Moment(count, event.content, event.time, events=[*early, event]))
            early, count = [], count + 1
        elif isinstance(event.content, (PromptEvent, RemovalEvent)):  # others could pile up without an image
            (waiting[-1].events if waiting else early).append(event)
        while len(waiting) > 1 and (
            not recording.has_truth or waiting[0].frame.stamp in truths.known or len(waiting) > LOOK_AHEAD
        ):
            yield truths.give(waiting.popleft())
    yield from map(truths.give, waiting)
    recording.lost += truths.lost()


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
            reasons.append(f"{len(apart)} carry the stamp of no image (the nearest is {min(apart) / 1e6:g} ms off)")
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
