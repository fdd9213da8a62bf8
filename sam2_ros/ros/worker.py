"""The one thread that owns the tracker.

Callbacks hand it images and requests and return at once.  In each turn it does the requests
that are due, then the newest image, then the requests that waited for that image, and
publishes once.  A refused image or request is a sentence in the log or the answer; nothing
that arrives from outside ends the thread.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from sam2_ros.errors import Sam2RosError, Unanswered
from sam2_ros.ros.mailbox import MAX_REQUESTS, Mailbox, Request
from sam2_ros.ros.session import Session, View

#: The same complaint about images is repeated at most once in so many seconds.
QUIET = 5.0
#: The age of published masks is taken over so many images.
AGES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a turn of the worker led to, for publishing.

    seconds: from taking the image or request to having the masks.
    dropped: images that newer ones replaced since the last result.
    """

    view: View
    seconds: float
    dropped: int


@dataclass(slots=True)
class Counts:
    """What has happened since the start.

    Images: ``processed``, ``dropped`` because a newer one had come, ``refused`` as unreadable,
    and ``late``: older than an image that had come before, so left out.
    Requests: ``waiting`` now, ``merged`` with another one that waited, and ``turned_away``
    because too many waited.
    age: of the masks when they are published, in seconds since their image arrived here; the
    95th percentile of the last ``AGES`` images, 0 before the first.
    """

    processed: int = 0
    dropped: int = 0
    refused: int = 0
    late: int = 0
    waiting: int = 0
    merged: int = 0
    turned_away: int = 0
    age: float = 0.0


class Worker:
    """Runs a Session on its own thread."""

    def __init__(self, session: Session, publish: Callable[[Result], None], logger: Any) -> None:
        self.session = session
        self.counts = Counts()
        self._publish = publish
        self._logger = logger
        self._mailbox = Mailbox()
        self._waiting: list[Request] = []
        self._dropped = 0  # since the last result
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    def start(self) -> None:
        """Begin to work; once."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the turn at hand, refuse what waits, and end the thread."""
        left = self._mailbox.close()
        if self._thread.ident is not None:
            self._thread.join()
        waiting, self._waiting = self._waiting, []
        for request in (*waiting, *left):
            _refuse(request, Unanswered("the node is shutting down"))

    def put_image(self, message: Any) -> None:
        """Hand over an Image or CompressedImage; a waiting one is dropped and counted."""
        self._mailbox.put_image(message)

    def ask(self, act: Callable[[], Any], stamp: int | None = None, patience: float = 0.0, **more: Any) -> Future:
        """Have ``act`` done on the tracker's thread; the future brings its result or a Sam2RosError.

        stamp: wait for this image (nanoseconds, 0 = any, None = do not wait), at most ``patience`` seconds.
        more: ``name`` and ``revokes`` of the Request.  Raises Unanswered when too many requests wait.
        """
        request = Request(act, stamp, time.monotonic() + patience, **more)
        self._mailbox.put(request)
        return request.answer

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (turn := self._mailbox.take(self._patience())) is not None:
            started, before = time.perf_counter(), self.session.view
            self._accept(turn.requests)
            self._dropped += turn.dropped
            self.counts.dropped += turn.dropped
            # The very first image goes before the prompts that came with it: they are made on it.
            if turn.image is None or self.session.newest is not None:
                self._do_requests()
            if turn.image is not None:
                self._do_image(turn.image)
                self._do_requests()
            if self.session.view is not before:
                self._report(started)

    def _patience(self) -> float | None:
        """Seconds until the first waiting request is too late; None without one."""
        if not self._waiting:
            return None
        return max(min(request.deadline for request in self._waiting) - time.monotonic(), 0.0)

    def _accept(self, requests: tuple[Request, ...]) -> None:
        newest = self.session.newest
        for request in requests:
            self._revoke([waiting for waiting in self._waiting if not waiting.is_due(newest) and request.revokes(waiting)])
            if len(self._waiting) < MAX_REQUESTS:
                self._waiting.append(request)
            else:
                _refuse(request, Unanswered(f"{MAX_REQUESTS} requests wait for images already; send it again later"))

    def _revoke(self, revoked: list[Request]) -> None:
        self._waiting = [request for request in self._waiting if request not in revoked]
        for request in revoked:
            _refuse(request, Unanswered("its object was removed before the image of the prompt had arrived"))

    def _do_requests(self) -> None:
        """Do the requests that are due, in their order."""
        newest = self.session.newest
        due = [request for request in self._waiting if request.is_due(newest)]
        self._waiting = [request for request in self._waiting if request not in due]
        for request in due:
            if request.answer.set_running_or_notify_cancel():
                self._do(request)

    def _do(self, request: Request) -> None:
        try:
            request.answer.set_result(request.act())
        except Sam2RosError as error:
            request.answer.set_exception(error)
        except Exception as error:  # a defect must not end the thread
            self._logger.error(f"a request failed unexpectedly:\n{traceback.format_exc()}")
            request.answer.set_exception(Unanswered(f"the request failed unexpectedly: {error!r}"))

    def _do_image(self, message: Any) -> None:
        try:
            went_back = self.session.track(message)
        except Sam2RosError as error:
            self.counts.refused += 1
            self._logger.warning(f"image refused: {error}", throttle_duration_sec=QUIET)
            return
        except Exception:  # a defect must not end the thread
            self.counts.refused += 1
            self._logger.error(f"an image failed unexpectedly:\n{traceback.format_exc()}", throttle_duration_sec=QUIET)
            return
        self.counts.processed += 1
        if went_back:
            self._logger.info(f"image stamps went back by {went_back / 1e9:.3f} s (a looped bag?): older images "
                              "cannot be prompted any more, the objects live on", throttle_duration_sec=QUIET)

    def _report(self, started: float) -> None:
        view = self.session.view
        if view.header is None:
            return
        try:
            tuple(view.tracks)  # masks that nobody has looked at yet are made now, and their time counts
            self._publish(Result(view, time.perf_counter() - started, self._dropped))
            self._dropped = 0
        except Exception:  # a defect must not end the thread
            self._logger.error(f"publishing failed:\n{traceback.format_exc()}", throttle_duration_sec=QUIET)


def _refuse(request: Request, error: Sam2RosError) -> None:
    if request.answer.set_running_or_notify_cancel():
        request.answer.set_exception(error)
