"""The inputs of the tracker besides images: a topic, four services, clicks and detections.

Callbacks of topics return at once; their outcome is logged later.  A service call waits for the worker on a separate
thread, without blocking anything else.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import QoSProfile
from std_srvs.srv import Trigger

from sam2_ros.errors import Sam2RosError, Unanswered
from sam2_ros.messages import prompt_from
from sam2_ros.msg import Prompt as PromptMessage
from sam2_ros.ros.bridge import Bridge
from sam2_ros.ros.outputs import header_of, tracked_object
from sam2_ros.ros.outputs_masks import mask_image
from sam2_ros.ros.pacing import Calls
from sam2_ros.ros.parameters import Parameters
from sam2_ros.ros.throttle import SELDOM
from sam2_ros.srv import List, Remove
from sam2_ros.srv import Prompt as PromptService
from sam2_ros.stream.session import Applied, Detection, View
from sam2_ros.stream.throttle import Throttle
from sam2_ros.stream.worker import Worker

#: Service calls that may wait for the tracker at the same time; more are refused.
WAITING_CALLS = 12
#: Threads for calls: for those that wait, for the turns of four services, and some for calls that do not wait.
CALL_THREADS = WAITING_CALLS + 8
#: Threads of the executor: for resting topics (see ``pacing``), and some for everything else.
THREADS = 12
#: A burst of prompts or calls waits in the middleware until their callback runs.
BURST = QoSProfile(depth=50)
#: An answer to a call, see ``pacing.Calls``.
Parts = Generator[None, None, Any]
#: A request to the worker, as the future of its answer.
Ask = Callable[[Worker], Future[Any]]
#: At most this many applied prompts of a kind are logged within ``QUIET`` seconds; more are only counted.
SENTENCES = 5


class Prompts:
    """Topic and services of one node; ``click`` and ``detections`` are for their subscribers."""

    def __init__(self, node: RosNode, parameters: Parameters, worker: Worker, bridge: Bridge) -> None:
        self._node = node
        self._parameters = parameters
        self._bridge = bridge
        self._worker: Worker | None = worker  # None while there is none, for this reason:
        self._reason = ""
        self._logger = node.get_logger()
        self._waiting = threading.BoundedSemaphore(WAITING_CALLS)
        self._told = Throttle(SENTENCES)
        self._refused = Throttle(1)
        #: Number of refused prompts, clicks and detections, and the reason of the last one; for the status.
        self.refused, self.reason = 0, ""
        self._threads = ThreadPoolExecutor(CALL_THREADS, "call")
        #: Fully qualified, for log lines.
        self.topic = node.resolve_topic_name("~/prompt")
        services = (
            (PromptService, "prompt", self._answer_prompt),
            (Remove, "remove", self._answer_remove),
            (Trigger, "reset", self._answer_reset),
            (List, "list", self._answer_list),
        )
        for kind, name, answer in services:
            group = Calls(node, self._threads, self._failed)
            node.create_service(kind, f"~/{name}", answer, qos_profile=BURST, callback_group=group)

    def begin(self, worker: Worker) -> None:
        """Pass everything on to a worker from now on, and subscribe."""
        self._worker = worker
        self._node.create_subscription(PromptMessage, "~/prompt", self._on_prompt, BURST)

    def end(self, reason: str) -> None:
        """Refuse everything from now on for a reason; the caller destroys the subscription."""
        self._worker, self._reason = None, reason

    def close(self) -> None:
        """End the threads of the calls; call it after the worker has been stopped, which ends their waiting."""
        self._threads.shutdown()

    # -- topics --------------------------------------------------------------------------------

    def click(self, x: float, y: float, stamp: int) -> None:
        """A click of an operator's tool, in pixels."""
        self._send("click", lambda worker: worker.click(x, y, stamp))

    def detections(self, found: list[Detection], stamp: int) -> None:
        """Boxes that a detector found on the image of ``stamp``."""
        self._send("detections", lambda worker: worker.detections(found, stamp))

    def _on_prompt(self, message: PromptMessage) -> None:
        try:
            prompt, stamp = prompt_from(message)
        except Sam2RosError as error:
            self._refuse("prompt", error)
            return
        self._send("prompt", lambda worker: worker.prompt(prompt, stamp, merge=True))

    def _ask(self, ask: Ask) -> Future[Any]:
        """Ask the worker.  Raises Unanswered, also where there is none."""
        worker = self._worker
        if worker is None:
            raise Unanswered(self._reason)
        return ask(worker)

    def _send(self, kind: str, ask: Ask) -> None:
        """Ask the worker without waiting; the outcome goes to the log."""
        try:
            answer = self._ask(ask)
        except Unanswered as error:
            self._refuse(kind, error)
            return
        answer.add_done_callback(partial(self._log, kind))

    def _log(self, kind: str, done: Future[Any]) -> None:
        error = done.exception()
        if error is not None:
            self._refuse(kind, error)
            return
        applied = done.result()
        for one in applied if isinstance(applied, list) else filter(None, [applied]):  # None: merged with a later one
            if sentence := self._told.line(kind, f"{kind}: {one.sentence}"):
                self._logger.info(sentence)

    def _refuse(self, kind: str, error: BaseException) -> None:
        """Log the reason, at most once in ``QUIET`` seconds for each kind: a program may send many a second."""
        self.refused, self.reason = self.refused + 1, f"{kind}: {error}"
        if sentence := self._refused.line(kind, f"{kind} refused: {error}"):
            self._logger.warning(sentence)

    # -- services ------------------------------------------------------------------------------

    def _failed(self) -> None:
        """A call raised what it should not."""
        self._logger.error(f"a call failed unexpectedly:\n{traceback.format_exc()}", **SELDOM)

    def _answer_prompt(self, request: Any, response: Any) -> Parts:
        try:
            prompt, stamp = prompt_from(request.prompt)
            applied: Applied = yield from self._wait(lambda worker: worker.prompt(prompt, stamp))
        except Sam2RosError as error:
            return _failed(response, error)
        header = header_of(applied.stamp, applied.frame_id)
        response.success, response.message = True, applied.sentence
        response.id, response.name = applied.track.id, applied.track.name
        response.mask = mask_image(applied.track.mask, header, self._bridge)
        response.object = tracked_object(applied.track, header)
        return response

    def _answer_remove(self, request: Any, response: Any) -> Parts:
        try:
            yield from self._wait(lambda worker: worker.remove(request.name))
        except Sam2RosError as error:
            return _failed(response, error)
        response.success, response.message = True, f"{request.name} is not tracked any more"
        return response

    def _answer_reset(self, request: Any, response: Any) -> Parts:
        try:
            count = yield from self._wait(lambda worker: worker.reset())
        except Sam2RosError as error:
            return _failed(response, error)
        response.success, response.message = True, f"forgot {count} object{'' if count == 1 else 's'}"
        return response

    def _answer_list(self, request: Any, response: Any) -> Parts:
        yield
        worker = self._worker
        view = View() if worker is None else worker.view
        if view.frame is not None:
            response.header = header_of(view.frame.stamp, view.frame.frame_id)
            response.objects = [tracked_object(track, response.header) for track in view.tracks]
        return response

    def _wait(self, ask: Ask) -> Parts:
        """Ask the worker, and then wait for its answer.  Raises what that raises, or Unanswered."""
        if not self._waiting.acquire(blocking=False):
            raise Unanswered(f"{WAITING_CALLS} calls wait for the tracker already; call again later")
        try:
            answer = self._ask(ask)
            yield
            return self._result(answer, self._parameters.node.answer_timeout)
        finally:
            self._waiting.release()

    def _result(self, answer: Future[Any], timeout: float) -> Any:
        try:
            return answer.result(timeout)
        except FutureTimeoutError as error:
            if answer.cancel():
                raise Unanswered(
                    f"the tracker did not start on it within {timeout:g} s; nothing was changed"
                ) from error
            return answer.result()  # it has begun: the answer is on its way


def _failed(response: Any, error: Sam2RosError) -> Any:
    response.success, response.message = False, str(error)
    return response
