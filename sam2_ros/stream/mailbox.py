"""What has come for the worker since it last looked: the newest image, and requests in their order.

Any thread may put, one thread takes.  Only the newest image is kept, so the worker is never
late by more than one image however slow it is; each image that a newer one replaces is
counted, and so is each that comes while a newer one waits.  Requests (prompts, removals) are
never dropped silently: beyond ``MAX_REQUESTS`` they are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sam2_ros.errors import Unanswered
from sam2_ros.stamps import replaces
from sam2_ros.types import Frame

#: Requests that wait at the same time, a bound for a flood of prompts.
MAX_REQUESTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Arrived:
    """An image that has come and is not read yet: one that a newer one replaces never is.

    make: reads it; called once at most, on the worker's thread.  Raises InvalidImage.
    stamp: of the image in nanoseconds, 0 = unknown.  at: when it came, in seconds of ``time.monotonic``.
    """

    make: Callable[[], Frame]
    stamp: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Something to do with the tracker, on the worker's thread.

    act: does it, given ``content``; what it returns or raises becomes the ``answer``.  A generator
    is gone through step by step, and the answer is the list of what it yields.
    stamp: the image that it waits for, nanoseconds; 0 = the newest, whichever that is; None = it needs no image.
    deadline: until when it waits for that image, in seconds of ``time.monotonic``.
    name: of the object that it starts or corrects; empty = another, or several.
    revokes: says which requests that still wait for their images are refused in its favour; revoked: those that were.
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

    def begin(self) -> Any:
        """Do it, or its first part: a generator has done nothing yet."""
        return self.act(*self.content)

    def refuse(self, error: Exception) -> None:
        """Answer with an error, unless somebody has cancelled it."""
        if self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What the worker takes at once.

    image: at most one.  dropped: how many newer ones replaced before it; late: how many came that
    were older than one that waited.
    """

    image: Arrived | None = None
    dropped: int = 0
    requests: tuple[Request, ...] = ()
    late: int = 0


class Mailbox:
    """Newest image wins, requests queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._image: Arrived | None = None
        self._dropped = 0
        self._late = 0
        self._requests: list[Request] = []
        self.closed = False

    def __len__(self) -> int:
        """How many requests are in the box."""
        return len(self._requests)

    def has_image(self) -> bool:
        """Whether an image waits."""
        return self._image is not None

    def put_image(self, image: Arrived) -> None:
        """Replace the image that waits, which is dropped and counted; a newer one than this stays."""
        with self._changed:
            if self._image is not None and not replaces(self._image.stamp, image.stamp):
                self._late += 1
                return
            self._dropped += self._image is not None
            self._image = image
            self._changed.notify()

    def put(self, request: Request) -> None:
        """Append a request.  Raises Unanswered when too many wait or the box is closed."""
        with self._changed:
            if self.closed:
                raise Unanswered("the tracker is shutting down")
            if len(self._requests) >= MAX_REQUESTS:
                raise Unanswered(f"{MAX_REQUESTS} requests wait already; send it again later")
            self._requests.append(request)
            self._changed.notify()

    def take(self, timeout: float | None = None) -> Turn | None:
        """Empty the box: wait up to ``timeout`` seconds (None = for ever) for something; None once it is closed."""
        with self._changed:
            self._changed.wait_for(self._has_something, timeout)
            if self.closed:
                return None
            requests, self._requests = tuple(self._requests), []
            if self._image is None:
                return Turn(requests=requests)
            turn = Turn(self._image, self._dropped, requests, self._late)
            self._image, self._dropped, self._late = None, 0, 0
            return turn

    def close(self) -> list[Request]:
        """Let ``take`` return None from now on; what was not taken is returned for a refusal."""
        with self._changed:
            self.closed = True
            left, self._requests = self._requests, []
            self._changed.notify_all()
            return left

    def _has_something(self) -> bool:
        return self.closed or self._image is not None or bool(self._requests)
