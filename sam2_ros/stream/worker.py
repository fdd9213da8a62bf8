"""The one thread that owns a session, and the calls by which other threads use it.

Any thread may hand over an image (``put_image``), ask for something (``prompt``, ``click``, ``detections``,
``remove``, ``reset``, ``export``, ``restore``, or ``ask`` for anything else), change the settings
(``configure``) and read the newest ``view`` and the ``counts``.  None of these waits for the tracker:
a request is answered by a future.
The worker calls back on its own thread: ``publish`` with each result, and the session's ``on_applied``.

New images and requests wait in the mailbox, which is locked and emptied at the start of each turn.  From there
requests go to a ``RequestQueue``, which only this thread uses: it merges, revokes and answers them without a
lock.  Each of the two holds ``MAX_REQUESTS`` (256) requests at most.

One turn, in this order:

1. If an image waits, every object is followed onto it, and the masks are published at once (an image without
   objects is published at the end of the turn, with objects that were started on it).
2. Requests that are due are done, in their order, for ``BUDGET`` seconds (the last of them may take longer).
3. In the rest of that time, objects that were prompted on older images are brought up to date, one image per
   part.
4. Changes since then are published, unless the next image waits; then its masks will show them.

If the next image waits, the rest of the turn is short: one request (or one part of a request with several), and
``PARTS`` parts of step 3.  These are done in every turn, so nothing is delayed for ever.  Therefore masks are
published after two turns at most, whatever the number of requests: an image waits for the current turn to end and
is published in the next.  Between two parts the worker checks whether it has to end.
A refused image or request is a sentence in the log or the answer; nothing from outside can end the thread.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sam2_ros.errors import Sam2RosError, Unanswered, UnknownObject
from sam2_ros.geometry.locator import Located, Locator
from sam2_ros.stages import collected, stage
from sam2_ros.stream.mailbox import Mailbox, NoSource, Source, Turn, UnreadImage
from sam2_ros.stream.requests import Request, RequestQueue, join_equal, join_prompts
from sam2_ros.stream.session import Applied, Detection, Session, View
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.stream.throttle import Throttle
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.types import Prompt

if TYPE_CHECKING:
    from sam2_ros.tracking.exported import ObjectMemory

#: The age of published masks is taken over this many images.
AGES = 50
#: Seconds of a turn for requests while no image waits.
BUDGET = 0.03
#: Parts of bringing objects up to date that are done in any case: each image adds one.
PARTS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The outcome of a turn of the worker, for publishing.

    seconds: from taking the image or request to having the masks.
    dropped: images that newer ones replaced, or that came too late, since the last result.
    located: where the objects are in 3-D.
    """

    view: View
    seconds: float
    dropped: int
    located: Located = Located()


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """How long an image took until its masks were published, in seconds.

    age: since it arrived.  stages: by name, see ``sam2_ros.stages``.  dropped: as in Result.
    """

    view: View
    age: float
    stages: Mapping[str, float]
    dropped: int


class Log(Protocol):
    """Where sentences go: a logger of ROS or of Python."""

    def info(self, message: str, /) -> object: ...
    def warning(self, message: str, /) -> object: ...
    def error(self, message: str, /) -> object: ...


class Worker:
    """Runs a Session on its own thread; counts: its own and the session's."""

    def __init__(
        self,
        session: Session,
        publish: Callable[[Result], None],
        logger: Log,
        locator: Locator | None = None,
        on_measured: Callable[[Measured], object] = lambda measured: None,
        publish_masks: Callable[[View], object] = lambda view: None,
    ) -> None:
        """locator: finds the objects in 3-D where there is depth.  on_measured: called for each published image.

        publish_masks: called before anything is measured in 3-D, and ``publish`` after it.
        """
        self._locator = locator
        self._publish_masks = publish_masks
        self._on_measured = on_measured
        self.counts = session.counts
        self._session = session
        self._publish = publish
        self._logger = logger
        self._throttle = Throttle(1)
        self._mailbox = Mailbox()
        self._queue = RequestQueue(counts=self.counts)
        self._running: tuple[Future[Any], Generator[None, None, Any]] | None = None  # a request and its parts
        self._dropped = 0  # since the last result
        self._published_view = session.view
        self._masks_view = session.view  # whose masks were published
        self._arrived: float | None = None  # when the image came that was followed and is not published yet
        self._times: dict[str, float] = {}  # of its stages
        self._ages: deque[float] = deque(maxlen=AGES)
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    # -- any thread may call these -----------------------------------------------------------------

    def start(self, source: Source = NoSource()) -> None:
        """Begin to work; once.  source: where images wait that it hands to ``put_image`` when they are pulled."""
        self._mailbox.source = source
        self._thread.start()

    def stop(self, reason: str = "the tracker is shutting down") -> None:
        """Finish the part at hand, refuse what waits with the reason, and end the thread."""
        left = self._mailbox.close()
        if self._thread.ident is not None:
            self._thread.join()
        error = Unanswered(reason)
        for request in (*self._queue.clear(), *left):
            request.refuse(error)
        if self._running is not None:
            self._running[0].set_exception(error)

    @property
    def view(self) -> View:
        """The newest image and its objects; stays as it is when a newer one comes."""
        return self._session.view

    def configure(self, settings: SessionSettings, tracker: TrackerSettings) -> None:
        """Work with other settings from the next image or prompt on."""
        self._session.configure(settings, tracker)

    def publish_again(self, stamp: int) -> None:
        """Publish the image of ``stamp`` once more if it still is the newest: its depth has come."""

        def renew() -> None:
            if self._session.view.frame is not None and self._session.view.frame.stamp == stamp:
                self._published_view = View()

        with suppress(Unanswered):  # more important things wait
            self.ask(renew)

    def put_image(self, image: UnreadImage) -> None:
        """Hand over an image; a waiting one is dropped and counted, unless it is the newer one."""
        self._mailbox.put_image(image)

    def prompt(self, prompt: Prompt, stamp: int, *, merge: bool = False) -> Future[Applied | None]:
        """Have a prompt applied to the image of ``stamp`` (nanoseconds, 0 = newest); the future brings its Applied.

        An image that has not come is waited for as long as the setting prompt_timeout says.
        merge: prompts for one object and image that wait are made one; then the answer to the earlier one is None.
        """
        join = self._join if merge and prompt.name else None  # without a name each is an object of its own
        return self._ask_on(stamp, self._session.prompt, (prompt, stamp), name=prompt.name, join=join)

    def click(self, x: float, y: float, stamp: int) -> Future[list[Applied] | None]:
        """Have a click at a pixel made, see ``Session.click``; the future brings a list with its Applied.

        Equal clicks that wait are made one; then the answer to the earlier one is None.
        """
        # Its stamp is only a hint at an image, so it waits for any.
        return self._ask_on(0, self._session.click, (x, y, stamp), join=join_equal)

    def detections(self, found: list[Detection], stamp: int) -> Future[list[Applied] | None]:
        """Have objects started from detections on the image of ``stamp``; the future brings a list of Applied.

        Equal requests that wait are made one; then the answer to the earlier one is None.
        """
        return self._ask_on(stamp, self._session.detections, (found, stamp), join=join_equal)

    def remove(self, name: str) -> Future[None]:
        """Stop following ``name``; prompts for it that wait for their images are refused.

        The future brings None, or UnknownObject when there is neither.
        """
        revoked: list[Request] = []

        def forget() -> None:
            try:
                self._session.forget(name)
            except UnknownObject:
                if not revoked:  # else it was to be started, and now will not be
                    raise

        return self.ask(forget, revokes=lambda waiting: bool(name) and waiting.name == name, revoked=revoked)

    def reset(self) -> Future[int]:
        """Forget everything, also what waits for its image; the future brings how many objects there were."""
        return self.ask(self._session.reset, revokes=lambda waiting: True)

    def export(self, name: str) -> Future[ObjectMemory]:
        """Have the memory of an object copied; the future brings its ObjectMemory, or UnknownObject."""
        return self.ask(self._session.export, content=(name,))

    def restore(self, memory: ObjectMemory, name: str = "") -> Future[int]:
        """Have an exported object followed from the next image on; the future brings its id."""
        return self.ask(self._session.restore, content=(memory, name))

    def ask(self, act: Callable[..., Any], stamp: int | None = None, patience: float = 0.0, **more: Any) -> Future[Any]:
        """Have ``act`` done on this thread; the future brings its result or a Sam2RosError.

        stamp: wait for this image (nanoseconds, 0 = any, None = do not wait), at most ``patience`` seconds.
        more: other fields of the Request.  One that was merged with a later one has the result None.
        Raises Unanswered when too many requests wait.
        """
        request = Request(act, stamp, time.monotonic() + patience, **more)
        try:
            self._mailbox.put(request)
        except Unanswered:
            if not self._mailbox.closed:
                self.counts.turned_away += 1
            raise
        return request.answer

    def _ask_on(self, stamp: int, act: Callable[..., Any], content: tuple[Any, ...], **more: Any) -> Future[Any]:
        """The same for a request about an image, which is waited for."""
        return self.ask(act, stamp, self._session.settings.prompt_timeout, content=content, **more)

    # -- the thread ----------------------------------------------------------------------------

    def _join(self, earlier: tuple[Prompt, int], later: tuple[Prompt, int]) -> tuple[Prompt, int] | None:
        """One prompt for two, unless the later one will be refused: that must not cost the earlier one."""
        frame = self._session.view.frame
        try:
            if frame is not None:
                later[0].checked_on(frame.size, known=True)
        except Sam2RosError:
            return None
        return join_prompts(earlier, later)

    def _run(self) -> None:
        while (turn := self._mailbox.take(self._patience())) is not None:
            self._do(turn)

    def _do(self, turn: Turn) -> None:
        """One turn, as it is described above."""
        started = time.perf_counter()
        self._queue.accept(turn.requests, self._session.newest)
        self.counts.dropped += turn.dropped
        self.counts.late += turn.late
        self._dropped += turn.dropped + turn.late
        if turn.image is not None and self._do_image(turn.image):
            self._arrived = turn.image.at
            if self._session.view.tracks:
                self._report(started)
        deadline = time.perf_counter() + BUDGET
        self._do_requests(deadline)
        self._catch_up(deadline)
        if self._arrived is not None or not self._mailbox.has_image():
            self._report(started)

    def _patience(self) -> float | None:
        """Seconds until there is something to do though nothing arrives; None without it."""
        if self._running is not None or self._session.is_behind:
            return 0.0
        return self._queue.patience(self._session.newest)

    def _complain(self, kind: str, text: str) -> None:
        """Write what failed unexpectedly to the log, unless one of its kind was written a moment ago."""
        if line := self._throttle.line(kind, f"{text}:\n{traceback.format_exc()}"):
            self._logger.error(line)  # each severity has a line of its own: a logger of ROS wants that

    def _parts(self, least: int, deadline: float) -> Iterator[None]:
        """As many steps as this turn may do: the ``least``, then more while no image waits, up to the deadline."""
        for done in itertools.count():
            has_time = time.perf_counter() < deadline and not self._mailbox.has_image()
            if self._mailbox.closed or (done >= least and not has_time):
                return
            yield

    def _do_requests(self, deadline: float) -> None:
        """Do the requests that are due, in their order, as far as there is time."""
        for _ in self._parts(1, deadline):
            if self._running is None and not self._begin():
                return
            self._do_part()

    def _begin(self) -> bool:
        """Take the next request that is due; whether there is one."""
        while (request := self._queue.next_due(self._session.newest)) is not None:
            if request.answer.set_running_or_notify_cancel():
                self._running = (request.answer, request.parts())
                return True
        return False

    def _do_part(self) -> None:
        """Do one part of the request that is running, and answer it after the last."""
        assert self._running is not None
        answer, parts = self._running
        try:
            next(parts)
            return
        except StopIteration as ended:
            answer.set_result(ended.value)
        except Sam2RosError as error:
            answer.set_exception(error)
        except Exception as error:  # a defect must not end the thread
            self._complain("request", "a request failed unexpectedly")
            answer.set_exception(Unanswered(f"the request failed unexpectedly: {error!r}"))
        self._running = None

    def _do_image(self, image: UnreadImage) -> bool:
        """Follow every object onto an image; whether it was one to be followed."""
        before = self._session.view
        self._times = {"queue": time.monotonic() - image.at}
        if self._locator is not None:
            self._locator.expect(image.stamp)
        try:
            with collected(self._times):
                with stage("convert"):
                    frame = image.make()
                went_back = self._session.track(frame)
        except Sam2RosError as error:
            self.counts.refused += 1
            if line := self._throttle.line("refused", f"image refused: {error}"):
                self._logger.warning(line)
            return False
        except Exception:  # a defect must not end the thread
            self.counts.refused += 1
            self._complain("image", "an image failed unexpectedly")
            return False
        if self._session.view is before:  # it came too late
            self._dropped += 1
            return False
        self.counts.processed += 1
        if went_back:
            if self._locator is not None:
                self._locator.restart()
            text = (
                f"image stamps went back by {went_back / 1e9:.3f} s (a looped bag?): earlier images "
                "cannot be prompted any more; the objects stay"
            )
            if line := self._throttle.line("restart", text):
                self._logger.info(line)
        return True

    def _catch_up(self, deadline: float) -> None:
        """Bring objects that were prompted on older images up to date, as far as there is time."""
        if not self._session.is_behind:
            return
        try:
            for _ in self._parts(PARTS, deadline):
                if not self._session.is_behind:
                    break
                self._session.catch_up()
        except Sam2RosError as error:
            if line := self._throttle.line("catch up", f"following a late prompt failed: {error}"):
                self._logger.warning(line)
        except Exception:  # a defect must not end the thread
            self._complain("catch up", "following a late prompt failed")
        self._session.update_view()

    def _report(self, started: float) -> None:
        """Publish what there is, if it is new."""
        view, arrived = self._session.view, self._arrived
        if view is self._published_view or view.frame is None:
            return
        self._published_view, self._arrived = view, None
        try:
            with collected(None if arrived is None else self._times):
                self._publish_view(view, started)
        except Exception:  # a defect must not end the thread
            self._complain("publish", "publishing failed")
            return
        dropped, self._dropped = self._dropped, 0
        if arrived is not None:
            self._ages.append(time.monotonic() - arrived)
            self.counts.age = float(np.percentile(self._ages, 95))
            self._on_measured(Measured(view, self._ages[-1], self._times, dropped))

    def _publish_view(self, view: View, started: float) -> None:
        assert view.frame is not None
        with stage("masks"):
            tracks = tuple(view.tracks)  # makes the masks now, so that their time counts
        seconds, located = time.perf_counter() - started, Located()
        if view is not self._masks_view:  # otherwise only its depth is new
            self._masks_view = view
            with stage("publish"):
                self._publish_masks(view)
        if self._locator is not None:
            with stage("locate"):
                located = self._locator.locate(view.frame.stamp, tracks, view.frame.size)
        with stage("publish"):
            self._publish(Result(view, seconds, self._dropped, located))
