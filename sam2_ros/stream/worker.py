"""The one thread that owns the tracker.

Callbacks hand it images and requests and return at once.  What one turn does, in this order:

1. it follows every object onto the newest image, if one waits, and publishes the masks at once
   (an image without objects is published at the end of the turn, with what was started on it);
2. requests that are due, in their order, for ``SHARE`` seconds (the last of them may take longer);
3. with what is left of the time it brings objects that were prompted on older images up to date,
   an image a part;
4. it publishes what has changed since, unless the next image waits, whose masks will show it.

As soon as the next image waits, the rest of the turn is short: one request (or one part of one that
has several), and ``PARTS`` parts of 3.  They are done in every turn, so nothing is put off for ever.
So however many requests come, masks are published after two turns at most: an image waits for the
rest of one, and is followed in the next.  Between two parts the worker looks whether it has to end.
A refused image or request is a sentence in the log or the answer;
nothing that arrives from outside ends the thread.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam2_ros.errors import Sam2RosError, Unanswered
from sam2_ros.messages import nanoseconds
from sam2_ros.stream.mailbox import Mailbox, Request, Turn
from sam2_ros.stream.requests import Waiting
from sam2_ros.stream.session import Session, View
from sam2_ros.stream.throttle import Throttle

#: The age of published masks is taken over this many images.
AGES = 50
#: Seconds of a turn for requests while no image waits.
#: Parts of bringing objects up to date that are done in any case: each image adds one.
SHARE, PARTS = 0.03, 2


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a turn of the worker led to, for publishing.

    seconds: from taking the image or request to having the masks.
    dropped: images that newer ones replaced, or that came too late, since the last result.
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


class _Share:
    """The time of one turn for requests and the like: the ``seconds`` and the number of ``parts`` that were done.

    presses: says whether an image waits, for which the turn is to end soon.
    """

    def __init__(self, presses: Callable[[], bool]) -> None:
        self.seconds = 0.0
        self.parts = 0
        self._presses = presses

    def has_room(self, least: int = 1) -> bool:
        """Whether one more part may be done: always for the ``least``, then while there is time."""
        return self.parts < least or (self.seconds < SHARE and not self._presses())

    def do(self, part: Callable[[], Any]) -> Any:
        """Do one part and count it."""
        started = time.perf_counter()
        try:
            return part()
        finally:
            self.seconds += time.perf_counter() - started
            self.parts += 1


class Worker:
    """Runs a Session on its own thread."""

    def __init__(self, session: Session, publish: Callable[[Result], None], logger: Any) -> None:
        self.session = session
        self.counts = Counts()
        self._publish = publish
        self._logger = logger
        self._throttle = Throttle(1)
        self._mailbox = Mailbox()
        self._waiting = Waiting()
        self._begun: tuple[Request, Generator, list] | None = None  # a request in parts, and what they gave so far
        self._dropped = 0  # since the last result
        self._published_view = session.view
        self._arrived: float | None = None  # when the image came that was followed and is not published yet
        self._ages: deque[float] = deque(maxlen=AGES)
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    def start(self) -> None:
        """Begin to work; once."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the part at hand, refuse what waits, and end the thread."""
        left = self._mailbox.close()
        if self._thread.ident is not None:
            self._thread.join()
        error = Unanswered("the node is shutting down")
        for request in (*self._waiting.clear(), *left):
            request.refuse(error)
        if self._begun is not None:
            self._begun[0].answer.set_exception(error)

    def put_image(self, message: Any) -> None:
        """Hand over an Image or CompressedImage; a waiting one is dropped and counted, unless it is the newer one."""
        header = getattr(message, "header", None)
        self._mailbox.put_image(message, nanoseconds(header.stamp) if header is not None else 0)

    def ask(self, act: Callable[..., Any], stamp: int | None = None, patience: float = 0.0, **more: Any) -> Future:
        """Have ``act`` done on the tracker's thread; the future brings its result or a Sam2RosError.

        stamp: wait for this image (nanoseconds, 0 = any, None = do not wait), at most ``patience`` seconds.
        more: other fields of the Request.  One that was merged with a later one has the result None.
        Raises Unanswered when too many requests wait.
        """
        request = Request(act, stamp, time.monotonic() + patience, **more)
        try:
            self._mailbox.put(request)
        except Unanswered:
            self.counts.turned_away += not self._mailbox.closed
            raise
        return request.answer

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (turn := self._mailbox.take(self._patience())) is not None:
            self._do(turn)

    def _do(self, turn: Turn) -> None:
        """One turn, as it is described above."""
        started, share = time.perf_counter(), _Share(self._mailbox.has_image)
        self._take_in(turn)
        if turn.image is not None and self._do_image(turn.image):
            self._arrived = turn.arrived
            if self.session.view.tracks:
                self._report(started)
        self._do_requests(share)
        self._catch_up(share)
        if self._arrived is not None or not self._mailbox.has_image():
            self._report(started)
        self.counts.waiting = len(self._waiting) + len(self._mailbox) + (self._begun is not None)

    def _patience(self) -> float | None:
        """Seconds until there is something to do though nothing arrives; None without it."""
        if self._begun is not None or self.session.is_behind:
            return 0.0
        return self._waiting.patience(self.session.newest)

    def _log(self, say: Callable[[str], Any], kind: str, text: str) -> None:
        """Write a line to the log, unless one of its kind was written a moment ago."""
        if line := self._throttle.line(kind, text):
            say(line)

    def _take_in(self, turn: Turn) -> None:
        """Requests to those that wait, and the images that were left out to the counts."""
        turned_away = self._waiting.turned_away
        self._waiting.accept(turn.requests, self.session.newest)
        self.counts.turned_away += self._waiting.turned_away - turned_away
        self.counts.merged = self._waiting.merged
        self.counts.dropped += turn.dropped
        self.counts.late += turn.late
        self._dropped += turn.dropped + turn.late

    def _do_requests(self, share: _Share) -> None:
        """Do the requests that are due, in their order, as far as there is time."""
        while share.has_room() and not self._mailbox.closed and (self._begun is not None or self._begin()):
            share.do(self._go_on)

    def _begin(self) -> bool:
        """Take the next request that is due; whether there is one."""
        while (request := self._waiting.next_due(self.session.newest)) is not None:
            if request.answer.set_running_or_notify_cancel():
                self._begun = (request, self._parts(request), [])
                return True
        return False

    @staticmethod
    def _parts(request: Request) -> Generator[Any, None, Any]:
        """The parts of a request; what it returns is its answer, None for the list of what its parts gave."""
        answer = request.begin()
        if isinstance(answer, Generator):
            yield from answer
            return None
        return (answer,)

    def _go_on(self) -> None:
        """Do one part of the request that has begun, and answer it after the last."""
        request, parts, gave = self._begun
        try:
            gave.append(next(parts))  # None: a part without an outcome of its own
        except StopIteration as ended:
            self._begun = None
            request.answer.set_result(
                [one for one in gave if one is not None] if ended.value is None else ended.value[0]
            )
        except Sam2RosError as error:
            self._begun = None
            request.answer.set_exception(error)
        except Exception as error:  # a defect must not end the thread
            self._begun = None
            self._log(self._logger.error, "request", f"a request failed unexpectedly:\n{traceback.format_exc()}")
            request.answer.set_exception(Unanswered(f"the request failed unexpectedly: {error!r}"))

    def _do_image(self, message: Any) -> bool:
        """Follow every object onto an image; whether it was one to be followed."""
        late = self.session.late
        try:
            went_back = self.session.track(message)
        except Sam2RosError as error:
            self.counts.refused += 1
            self._log(self._logger.warning, "refused", f"image refused: {error}")
            return False
        except Exception:  # a defect must not end the thread
            self.counts.refused += 1
            self._log(self._logger.error, "image", f"an image failed unexpectedly:\n{traceback.format_exc()}")
            return False
        if self.session.late > late:
            self.counts.late += 1
            self._dropped += 1
            return False
        self.counts.processed += 1
        if went_back:
            self._log(
                self._logger.info,
                "restart",
                f"image stamps went back by {went_back / 1e9:.3f} s (a looped bag?): images of before "
                "cannot be prompted any more, the objects live on",
            )
        return True

    def _catch_up(self, share: _Share) -> None:
        """Bring objects that were prompted on older images up to date, as far as there is time."""
        first = share.parts
        try:
            while self.session.is_behind and not self._mailbox.closed and share.has_room(first + PARTS):
                share.do(self.session.catch_up)
        except Exception:  # a defect must not end the thread
            self._log(self._logger.error, "catch up", f"following a late prompt failed:\n{traceback.format_exc()}")
        if share.parts > first:
            self.session.look()

    def _report(self, started: float) -> None:
        """Publish what there is, if it is new."""
        view, arrived = self.session.view, self._arrived
        if view is self._published_view or view.header is None:
            return
        self._published_view, self._arrived = view, None
        try:
            tuple(view.tracks)  # masks that nobody has looked at yet are made now, and their time counts
            self._publish(Result(view, time.perf_counter() - started, self._dropped))
        except Exception:  # a defect must not end the thread
            self._log(self._logger.error, "publish", f"publishing failed:\n{traceback.format_exc()}")
            return
        self._dropped = 0
        if arrived is not None:
            self._ages.append(time.monotonic() - arrived)
            self.counts.age = float(np.percentile(self._ages, 95))
