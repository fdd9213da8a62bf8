"""Runs the tracker over a recording: every frame, or only those that a robot would have had time for.

    for step in replay(recordings.open("kitchen.mcap"), tracker): ...

It drives the same session as the node, so the rules are the same.  Offline every frame is tracked,
and the speed of the machine does not matter: two runs give the same results, bit for bit.  On the
clock, the time that each frame took is compared with the recorded times: while the tracker is busy,
a newer frame replaces a waiting one, as in the node's mailbox.  Neither of the two waits for real time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sam2_ros.errors import Sam2RosError, UnknownObject
from sam2_ros.geometry.locator import Located
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.recordings.moments import Moment, moments_of, prefetched, with_following
from sam2_ros.recordings.recording import PromptEvent, Recording, RemovalEvent
from sam2_ros.stamps import replaces
from sam2_ros.stream.recorded_depth import RecordedDepth
from sam2_ros.stream.requests import Request, RequestQueue
from sam2_ros.stream.session import Applied, Session
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.interface import ObjectTracker
from sam2_ros.types import MAX_OBJECT_ID, Prompt, Track


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
    located: where the objects are in 3-D, as far as there was depth; locate_ms: what that took.
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
    located: Located = Located()
    locate_ms: float = 0.0

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


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """Of the session, and how depth of a bag becomes positions."""

    session: SessionSettings = SETTINGS
    depth: DepthSettings = DepthSettings()


#: Depth is not looked for.
NO_DEPTH = DepthSettings(depth_transport="off")


def replay(
    recording: Recording,
    tracker: ObjectTracker,
    user: User | None = None,
    *,
    settings: ReplaySettings = ReplaySettings(),
    on_clock: bool = False,
    recorded_prompts: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Step, None, None]:
    """Every frame of ``recording`` in order, tracked or (on the clock) dropped.

    user: looks at each tracked frame and prompts.  recorded_prompts: whether the prompts in the
    recording are given too, each on the image that it was made on, and objects that were removed
    are forgotten.  clock: seconds, for durations.
    """
    sensor = RecordedDepth(recording, settings.depth)
    driver = _Driver(tracker, settings.session, user, recorded_prompts, clock, sensor)
    moments = prefetched(moments_of(recording, sensor))
    try:
        yield from _on_clock(moments, driver) if on_clock else _every(moments, driver)
        recording.lost += [*driver.left(), *sensor.lost()]
    finally:
        moments.close()  # ends its thread, also when a step raised


def _every(moments: Iterable[Moment], driver: _Driver) -> Iterator[Step]:
    """Track every frame.  The next one is known, so that a GPU encodes it at the same time."""
    for moment, following in with_following(moments):
        if following is not None:
            driver.prepare(following)
        yield driver.step(moment)


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
            free = start + round((step.track_ms + step.prompt_ms + step.locate_ms) * 1e6)
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
        sensor: RecordedDepth,
    ) -> None:
        self._session = Session(tracker, settings, self._note, in_parts=False)
        self._user = user
        self._recorded_prompts = recorded_prompts
        self._clock = clock
        self._sensor = sensor
        self._queue = RequestQueue(most=math.inf)
        self._given: list[Given] = []  # on the present frame
        self._spent = 0.0  # seconds for these

    def keep(self, moment: Moment) -> None:
        """Let the recorded prompts and removals of a frame wait for their images."""
        if self._recorded_prompts:
            contents = [event.content for event in moment.events]
            self._queue.accept(filter(None, map(self._request, contents)), self._session.newest)

    def prepare(self, moment: Moment) -> None:
        """Name the moment after the next step."""
        self._session.prepare(moment.frame)

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
        tracks, started = tuple(session.view.tracks), self._clock()
        located = Located() if late else self._sensor.locate(moment, tracks)
        return Step(
            moment,
            tracks,
            dropped=late,
            track_ms=milliseconds,
            prompt_ms=self._spent * 1e3,
            delay_ms=milliseconds,
            given=tuple(self._given),
            refused=tuple(refused),
            located=located,
            locate_ms=(self._clock() - started) * 1e3,
        )

    def left(self) -> list[str]:
        """A sentence on prompts that still wait for their images, if there are any; asked after the last image."""
        names = [request.name or "one without a name" for request in self._queue if request.act == self._prompt]
        if not names:
            return []
        listed = ", ".join(dict.fromkeys(names))
        return [f"prompts that were not given, since their images never came: {len(names)} ({listed})"]

    def _request(self, content: Any) -> Request | None:
        """The request to the session for an event of a recording, if it is a prompt or a removal."""
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
