"""The roads into the tracker: a topic, four services, clicks and detections.

Topics return at once and log what became of them.  A service waits for the worker on a thread
of the executor's own, so it holds nothing up: see ``THREADS``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger

from sam2_ros.errors import Sam2RosError, Unanswered, UnknownObject
from sam2_ros.messages import prompt_from
from sam2_ros.msg import Prompt as PromptMessage
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.replies import mask_image, tracked_object
from sam2_ros.srv import List, Remove
from sam2_ros.srv import Prompt as PromptService
from sam2_ros.stream.mailbox import Request
from sam2_ros.stream.requests import join_equal, join_prompts
from sam2_ros.stream.session import Applied, Detection
from sam2_ros.stream.throttle import Throttle
from sam2_ros.stream.worker import Worker

#: Service calls that may wait for the tracker at the same time; more are refused.
WAITING_CALLS = 12
#: Threads of the executor: those that wait, those that rest (see ``pacing``), and some for everything else.
THREADS = WAITING_CALLS + 12
#: Prompts and calls that arrive in a burst are kept in the middleware until their callback gets to them.
BURST = QoSProfile(depth=50)
#: Applied prompts of a kind that are logged one by one within ``QUIET`` seconds; more are counted.
SENTENCES = 5


class Prompts:
    """Topic and services of one node; ``click`` and ``detections`` are for their subscribers."""

    def __init__(self, node: RosNode, parameters: Parameters, worker: Worker) -> None:
        self._parameters = parameters
        self._worker = worker
        self._logger = node.get_logger()
        self._waiting = threading.BoundedSemaphore(WAITING_CALLS)
        self._told = Throttle(SENTENCES)
        self._refused = Throttle(1)
        #: Prompts, clicks and detections that were refused, and why the last one was; for the status.
        self.refused, self.reason = 0, ""
        group = ReentrantCallbackGroup()
        subscription = node.create_subscription(PromptMessage, "~/prompt", self._on_prompt, BURST)
        #: Fully qualified, for sentences.
        self.topic = subscription.topic_name
        services = (
            (PromptService, "prompt", self._answer_prompt),
            (Remove, "remove", self._answer_remove),
            (Trigger, "reset", self._answer_reset),
            (List, "list", self._answer_list),
        )
        for kind, name, answer in services:
            node.create_service(kind, f"~/{name}", answer, qos_profile=BURST, callback_group=group)

    # -- topics --------------------------------------------------------------------------------

    def click(self, x: float, y: float, stamp: int) -> None:
        """A click of an operator's tool, in pixels."""
        # Its own stamp is only a hint, so it waits for any image.
        self._send("click", self._worker.session.click_in_parts, 0, content=(x, y, stamp), join=join_equal)

    def detections(self, found: list[Detection], stamp: int) -> None:
        """Boxes that a detector found on the image of ``stamp``."""
        self._send("detections", self._worker.session.each_detection, stamp, content=(found, stamp), join=join_equal)

    def _on_prompt(self, message: PromptMessage) -> None:
        try:
            prompt, stamp = prompt_from(message)
        except Sam2RosError as error:
            self._refuse("prompt", error)
            return
        join = self._join if prompt.name else None  # without a name each is an object of its own
        self._send("prompt", self._worker.session.prompt, stamp, name=prompt.name, content=(prompt, stamp), join=join)

    def _join(self, earlier: tuple, later: tuple) -> tuple | None:
        """One prompt for two, unless the later one will be refused: that must not cost the earlier one."""
        frame = self._worker.session.view.frame
        try:
            if frame is not None:
                later[0].checked_on(frame.size, known=True)
        except Sam2RosError:
            return None
        return join_prompts(earlier, later)

    def _send(self, kind: str, act: Callable[..., Any], stamp: int, **more: Any) -> None:
        """Have it done without waiting, with ``more`` for the request; the outcome goes to the log."""
        try:
            answer = self._worker.ask(act, stamp, self._parameters.node.prompt_timeout, **more)
        except Unanswered as error:
            self._refuse(kind, error)
            return
        answer.add_done_callback(lambda done: self._log(kind, done))

    def _log(self, kind: str, done: Future) -> None:
        error = done.exception()
        if error is not None:
            self._refuse(kind, error)
            return
        applied = done.result()
        for one in applied if isinstance(applied, list) else filter(None, [applied]):  # None: merged with a later one
            if sentence := self._told.line(kind, f"{kind}: {one.sentence}"):
                self._logger.info(sentence)

    def _refuse(self, kind: str, error: BaseException) -> None:
        """Say why, at most every ``QUIET`` seconds of each kind: a program may repeat itself many times a second."""
        self.refused, self.reason = self.refused + 1, f"{kind}: {error}"
        if sentence := self._refused.line(kind, f"{kind} refused: {error}"):
            self._logger.warning(sentence)

    # -- services ------------------------------------------------------------------------------

    def _answer_prompt(self, request: Any, response: Any) -> Any:
        def act() -> Applied:
            return self._worker.session.prompt(prompt, stamp)

        try:
            prompt, stamp = prompt_from(request.prompt)
            applied: Applied = self._wait(act, stamp, name=prompt.name)
        except Sam2RosError as error:
            return _failed(response, error)
        response.success, response.message = True, applied.sentence
        response.id, response.name = applied.track.id, applied.track.name
        response.mask = mask_image(applied.track, applied.header)
        response.object = tracked_object(applied.track, applied.header)
        return response

    def _answer_remove(self, request: Any, response: Any) -> Any:
        revoked: list[Request] = []

        def revokes(waiting: Request) -> bool:
            named = waiting.name == request.name != ""
            revoked.extend([waiting] * named)
            return named

        def act() -> None:
            try:
                self._worker.session.forget(request.name)
            except UnknownObject:
                if not revoked:  # else it was to be, and now will not
                    raise

        try:
            self._wait(act, revokes=revokes)
        except Sam2RosError as error:
            return _failed(response, error)
        response.success, response.message = True, f"{request.name} is not tracked any more"
        return response

    def _answer_reset(self, request: Any, response: Any) -> Any:
        try:
            count = self._wait(self._worker.session.reset, revokes=lambda waiting: True)
        except Sam2RosError as error:
            return _failed(response, error)
        response.success, response.message = True, f"forgot {count} object{'s' * (count != 1)}"
        return response

    def _answer_list(self, request: Any, response: Any) -> Any:
        view = self._worker.session.view
        if view.header is not None:
            response.header = view.header
            response.objects = [tracked_object(track, view.header) for track in view.tracks]
        return response

    def _wait(self, act: Callable[[], Any], stamp: int | None = None, **more: Any) -> Any:
        """Have it done and wait for it; ``more`` is for the worker.  Raises what it raises, or Unanswered."""
        if not self._waiting.acquire(blocking=False):
            raise Unanswered(f"{WAITING_CALLS} calls wait for the tracker already; call again later")
        try:
            settings = self._parameters.node
            answer = self._worker.ask(act, stamp, settings.prompt_timeout, **more)
            return self._result(answer, settings.answer_timeout)
        finally:
            self._waiting.release()

    def _result(self, answer: Future, timeout: float) -> Any:
        try:
            return answer.result(timeout)
        except FutureTimeoutError as error:
            if answer.cancel():
                raise Unanswered(f"the tracker did not get to it within {timeout:g} s; nothing was changed") from error
            return answer.result()  # it has begun: the answer is on its way


def _failed(response: Any, error: Sam2RosError) -> Any:
    response.success, response.message = False, str(error)
    return response
