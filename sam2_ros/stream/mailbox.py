"""What waits for the worker: the newest image, and requests in their order.

Any thread may put, one thread takes.  Images may also wait outside, in a ``Source``, until they are pulled.
Only the newest image is kept, so a slow worker is never more than one image late.  Images that a newer one
replaces are counted, and so are those that come while a newer one waits.  Requests (prompts, removals) are
never dropped silently: beyond ``MAX_REQUESTS`` they are refused.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sam2_ros.errors import Unanswered
from sam2_ros.stamps import replaces
from sam2_ros.stream.requests import MAX_REQUESTS, Request
from sam2_ros.types import Frame


@dataclass(frozen=True, slots=True, eq=False)
class UnreadImage:
    """An image that has come and is not read yet: one that a newer one replaces never is.

    make: reads it; called once at most, on the worker's thread.  Raises InvalidImage.
    stamp: of the image in nanoseconds, 0 = unknown.  at: when it came, in seconds of ``time.monotonic``.
    """

    make: Callable[[], Frame]
    stamp: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What the worker takes at once.

    image: at most one.  dropped: how many newer ones replaced before it; late: how many came that
    were older than one that waited.
    """

    image: UnreadImage | None = None
    dropped: int = 0
    requests: tuple[Request, ...] = ()
    late: int = 0


class Source(Protocol):
    """Where images wait until they are pulled; it knows whom to hand them to."""

    def pull(self) -> None:
        """Hand over the images that have come since the last call: ``put_image`` for each, in their order."""

    def listen(self, tell: Callable[[], object]) -> float:
        """Call ``tell``, once, when an image waits for ``pull``; seconds after which to pull and listen again."""
        ...


class NoSource:
    """Every image is put."""

    def pull(self) -> None:
        """Nothing waits."""

    def listen(self, tell: Callable[[], object]) -> float:
        """Never."""
        return math.inf


class Mailbox:
    """Newest image wins, requests queue; source: more images, which belong to this box."""

    def __init__(self, source: Source = NoSource()) -> None:
        self.source = source
        self._told = False
        self._changed = threading.Condition()
        self._image: UnreadImage | None = None
        self._dropped = 0
        self._late = 0
        self._requests: list[Request] = []
        self.closed = False

    def has_image(self) -> bool:
        """Whether an image waits."""
        if self._image is None:
            self.source.pull()
        return self._image is not None

    def put_image(self, image: UnreadImage) -> None:
        """Replace the image that waits, which is dropped and counted; a newer one than this stays."""
        with self._changed:
            if self._image is not None and not replaces(self._image.stamp, image.stamp):
                self._late += 1
                return
            if self._image is not None:
                self._dropped += 1
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
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self._wait(end):
            pass
        with self._changed:
            if self.closed:
                return None
            requests, self._requests = tuple(self._requests), []
            if self._image is None:
                return Turn(requests=requests)
            turn = Turn(self._image, self._dropped, requests, self._late)
            self._image, self._dropped, self._late = None, 0, 0
            return turn

    def _wait(self, end: float) -> bool:
        """Pull, and wait for something or until the source wants to be pulled; whether there is something to take."""
        self._told = False
        self.source.pull()
        if self._has_something() or time.monotonic() >= end:
            return True
        again = time.monotonic() + self.source.listen(self._tell)
        with self._changed:
            self._changed.wait_for(lambda: self._told or self._has_something(), _seconds_until(min(again, end)))
            return self._has_something()

    def _tell(self) -> None:
        """An image waits in the source."""
        with self._changed:
            self._told = True
            self._changed.notify()

    def close(self) -> list[Request]:
        """Let ``take`` return None from now on; what was not taken is returned for a refusal."""
        with self._changed:
            self.closed = True
            left, self._requests = self._requests, []
            self._changed.notify_all()
            return left

    def _has_something(self) -> bool:
        return self.closed or self._image is not None or bool(self._requests)


def _seconds_until(end: float) -> float | None:
    """None = for ever."""
    return None if end == math.inf else max(end - time.monotonic(), 0.0)
