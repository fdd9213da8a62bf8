"""The requests that wait for the tracker: in order, bounded in number, repeats merged.

Two prompts for one object on one image are merged if no request that could concern the object came
between them: a later box or mask starts over as in the tracker, clicks add up.  The merged prompt
takes the place of the earlier one, so a flood of repeats is not delayed for ever.

Prompts for one object on different images are not merged.  If they come faster than the tracker can
apply them, the oldest is refused, so that they do not delay the prompts for other objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sam2_ros.errors import Unanswered
from sam2_ros.stream.counts import Counts
from sam2_ros.types import Prompt

#: Requests that wait at the same time, a bound for a flood of prompts.
MAX_REQUESTS = 256
#: Clicks that are gathered into one prompt at most.
MAX_MERGED_CLICKS = 32
#: Requests of one kind for one object that may be due at the same time.
MAX_DUE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Something to do with the tracker, on the worker's thread.

    act: does it, given ``content``; what it returns or raises becomes the ``answer``.  A generator
    is gone through part by part; the answer is what it returns, or the list of what it yields, None left out.
    stamp: the image that it waits for, nanoseconds; 0 = the newest, whichever that is; None = it needs no image.
    deadline: until when it waits for that image, in seconds of ``time.monotonic``.
    name: of the object that it starts or corrects; empty = another, or several.
    revokes: says which requests that still wait for their images it cancels; revoked: those that were.
    join: makes one content of an earlier one's and its own, where that is the same; else None.
    """

    act: Callable[..., Any]
    stamp: int | None = None
    deadline: float = 0.0
    name: str = ""
    revokes: Callable[[Request], bool] = lambda waiting: False
    revoked: list[Request] = field(default_factory=list)
    content: tuple[Any, ...] = ()
    join: Callable[[Any, Any], tuple[Any, ...] | None] | None = None
    answer: Future[Any] = field(default_factory=Future)

    def is_due(self, newest: int | None) -> bool:
        """Whether it can be done now that the image of stamp ``newest`` has been processed."""
        arrived = self.stamp is None or (newest is not None and self.stamp <= newest)
        return arrived or time.monotonic() >= self.deadline

    def parts(self) -> Generator[None, None, Any]:
        """Do it, a part at a time; what is returned after the last one is the answer."""
        done = self.act(*self.content)
        if not isinstance(done, Generator):
            return done
        outcomes: list[Any] = []
        while True:
            try:
                outcome = next(done)
            except StopIteration as ended:
                return outcomes if ended.value is None else ended.value
            if outcome is not None:
                outcomes.append(outcome)
            yield

    def refuse(self, error: Exception) -> None:
        """Answer with an error, unless somebody has cancelled it."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class RequestQueue:
    """Requests for one session.

    most: how many may wait at the same time.  counts: of those that wait, are merged or are turned away.
    """

    def __init__(self, most: float = MAX_REQUESTS, counts: Counts | None = None) -> None:
        self.counts = counts or Counts()
        self._most = most
        self._requests: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def accept(self, requests: Iterable[Request], newest: int | None) -> None:
        """Take requests in, given the newest stamp: revoke what they revoke, merge them, or refuse them."""
        for request in requests:
            self._revoke(request, newest)
            if self._merge(request):
                self.counts.merged += 1
            elif len(self._requests) < self._most:
                self._requests.append(request)
            else:
                self._turn_away(request, f"{self._most} requests wait for images already; send it again later")
        self._give_way(newest)
        self.counts.waiting = len(self._requests)

    def next_due(self, newest: int | None) -> Request | None:
        """Take out the first request that can be done, given the newest stamp; None without one."""
        due = next((request for request in self._requests if request.is_due(newest)), None)
        if due is not None:
            self._requests.remove(due)
            self.counts.waiting = len(self._requests)
        return due

    def patience(self, newest: int | None) -> float | None:
        """Seconds until a request can be done or is too late; None without one."""
        if not self._requests:
            return None
        if any(request.is_due(newest) for request in self._requests):
            return 0.0
        return max(min(request.deadline for request in self._requests) - time.monotonic(), 0.0)

    def clear(self) -> list[Request]:
        """Take all of them out."""
        left, self._requests = self._requests, []
        return left

    def _revoke(self, by: Request, newest: int | None) -> None:
        """Refuse those that wait for their images and that a request revokes."""
        by.revoked.extend(one for one in self._requests if not one.is_due(newest) and by.revokes(one))
        self._requests = [one for one in self._requests if one not in by.revoked]
        for one in by.revoked:
            one.refuse(Unanswered("its object was removed before the image of the prompt had arrived"))

    def _turn_away(self, request: Request, why: str) -> None:
        self.counts.turned_away += 1
        request.refuse(Unanswered(why))

    def _give_way(self, newest: int | None) -> None:
        """Turn the oldest away where too many of one kind are due for one object; calls of services stay."""
        kinds: dict[tuple[Callable[..., object], str], list[Request]] = {}
        for request in self._requests:
            if request.join is not None and request.is_due(newest):
                kinds.setdefault((request.act, request.name), []).append(request)
        for same in kinds.values():
            for request in same[:-MAX_DUE]:
                self._requests.remove(request)
                self._turn_away(request, f"{MAX_DUE} newer requests of this kind wait for the tracker; send fewer")

    def _merge(self, request: Request) -> bool:
        """Make one of a request and one that waits, if they are the same."""
        if request.join is None:
            return False
        for place in reversed(range(len(self._requests))):
            waiting = self._requests[place]
            if waiting.name == request.name or not waiting.name:
                return self._joined(place, request)
        return False

    def _joined(self, place: int, request: Request) -> bool:
        waiting = self._requests[place]
        same = waiting.join == request.join and (waiting.name, waiting.stamp) == (request.name, request.stamp)
        content = request.join(waiting.content, request.content) if same and request.join else None
        if content is None or not waiting.answer.set_running_or_notify_cancel():
            return False
        waiting.answer.set_result(None)  # the later one answers for both
        self._requests[place] = replace(request, content=content, deadline=waiting.deadline)
        return True


def join_equal(earlier: tuple[Any, ...], later: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The content of requests that are merged only when they are equal."""
    return later if earlier == later else None


def join_prompts(earlier: tuple[Prompt, int], later: tuple[Prompt, int]) -> tuple[Prompt, int] | None:
    """One prompt for two on the same object and image, each with its stamp; None when there are too many clicks."""
    (before, _), (after, stamp) = earlier, later
    if after.replace:
        return later
    if after.box is not None or after.mask is not None:
        return replace(after, replace=before.replace), stamp
    clicks = np.concatenate([np.column_stack([one.points, one.labels]) for one in (before, after)])
    _, first = np.unique(clicks, axis=0, return_index=True)
    clicks = clicks[np.sort(first)]
    if len(clicks) > MAX_MERGED_CLICKS:
        return None
    return replace(before, points=clicks[:, :2], labels=clicks[:, 2].astype(np.int8)), stamp
