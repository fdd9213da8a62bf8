"""What waits for the worker: the newest image, and requests in the order of their arrival.

Any thread may put, one thread takes.  Only the newest image is kept, so the worker is never
late by more than one image however slow it is; each image that a newer one replaces is
counted.  Requests (prompts, removals) are never dropped silently: beyond ``MAX_REQUESTS`` they
are refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sam2_ros.errors import Unanswered

#: Requests that wait at the same time, a bound for a flood of prompts.
MAX_REQUESTS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Something to do with the tracker, on the worker's thread.

    act: does it; what it returns or raises becomes the ``answer``.
    stamp: the image that it waits for, nanoseconds; 0 = the newest, whichever that is; None = it needs no image.
    deadline: until when it waits for that image, in seconds of ``time.monotonic``.
    name: of the object that it starts or corrects; empty = another, or several.
    revokes: says which requests that still wait for their images are refused in its favour.
    """

    act: Callable[[], Any]
    stamp: int | None = None
    deadline: float = 0.0
    name: str = ""
    revokes: Callable[[Request], bool] = lambda waiting: False
    answer: Future = field(default_factory=Future)

    def is_due(self, newest: int | None) -> bool:
        """Whether it can be done now that the image of stamp ``newest`` has been processed."""
        arrived = self.stamp is None or (newest is not None and self.stamp <= newest)
        return arrived or time.monotonic() >= self.deadline


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What the worker takes at once: at most one image message, how many were dropped before it, the requests."""

    image: Any = None
    dropped: int = 0
    requests: tuple[Request, ...] = ()


class Mailbox:
    """Newest image wins, requests queue."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._image: Any = None
        self._dropped = 0
        self._requests: list[Request] = []
        self._closed = False

    def put_image(self, message: Any) -> None:
        """Replace the image that waits; it is dropped and counted."""
        with self._changed:
            self._dropped += self._image is not None
            self._image = message
            self._changed.notify()

    def put(self, request: Request) -> None:
        """Append a request.  Raises Unanswered when too many wait or the box is closed."""
        with self._changed:
            if self._closed:
                raise Unanswered("the node is shutting down")
            if len(self._requests) >= MAX_REQUESTS:
                raise Unanswered(f"{MAX_REQUESTS} requests wait already; send it again later")
            self._requests.append(request)
            self._changed.notify()

    def take(self, timeout: float | None = None) -> Turn | None:
        """Empty the box: wait up to ``timeout`` seconds (None = for ever) for something; None once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._image is not None or self._requests, timeout)
            if self._closed:
                return None
            turn = Turn(self._image, self._dropped if self._image is not None else 0, tuple(self._requests))
            if self._image is not None:
                self._image, self._dropped = None, 0
            self._requests.clear()
            return turn

    def close(self) -> list[Request]:
        """Let ``take`` return None from now on; what was not taken is returned for a refusal."""
        with self._changed:
            self._closed = True
            left, self._requests = self._requests, []
            self._changed.notify_all()
            return left
