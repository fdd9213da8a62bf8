"""A managed node: the states and transitions of ROS 2 around four methods, and an answer to every call.

rclpy has them, but up to Jazzy a transition that does not fit the state raises in the callback of the service, and the
caller waits for ever.  It also allows two transitions at the same time.  Both are refused here.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNodeMixin, TransitionCallbackReturn
from rclpy.node import Node as RosNode

from sam2_ros.errors import CannotStart, Sam2RosError

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
ACTIVE = "active"


class Managed(LifecycleNodeMixin, RosNode):
    """A node with the states unconfigured, inactive, active and finalized.

    ``configure``, ``activate``, ``deactivate`` and ``cleanup`` are called between two states.  A Sam2RosError leaves
    the state as it is.  After any other exception ``cleanup`` is called, and the node is unconfigured.
    """

    def __init__(self, name: str, namespace: str = "", **options: Any) -> None:
        """options: of ``rclpy.node.Node``."""
        RosNode.__init__(self, name, namespace=namespace, **options)
        #: Why the last transition failed; None after one that succeeded.
        self.fault: Exception | None = None
        self._transition = threading.Lock()
        # A reentrant group: the state can be asked for while a model is loaded.
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        self._change = self._service_change_state.callback
        self._service_change_state.callback = self._answer_change

    # -- for the node ------------------------------------------------------------------------------

    def configure(self) -> None:
        """From unconfigured to inactive."""

    def activate(self) -> None:
        """From inactive to active."""

    def deactivate(self) -> None:
        """From active to inactive."""

    def cleanup(self) -> None:
        """From inactive to unconfigured; it is also called after a transition that failed halfway."""

    def finalize(self) -> None:
        """After the last cleanup."""

    # -- for others --------------------------------------------------------------------------------

    def destroy_node(self) -> None:
        """As in rclpy, at once: it leaves the state machine, and with it the node, to the garbage collector."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    @property
    def state(self) -> str:
        """The label of the present state."""
        return str(self._state_machine.current_state[1])

    def start(self, meanwhile: AbstractContextManager[None] = nullcontext()) -> None:
        """Configure and activate.  Raises what kept it from that.

        meanwhile: entered while it is configured, which may take long.
        """
        with self._transition:
            with meanwhile:
                self._succeed(self.trigger_configure)
            self._succeed(self.trigger_activate)

    def _succeed(self, trigger: Callable[[], TransitionCallbackReturn]) -> None:
        if trigger() != SUCCESS:
            raise self.fault or CannotStart(f"the node cannot be started: it is {self.state}")

    # -- what rclpy calls --------------------------------------------------------------------------

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        """See ``configure``."""
        return self._do(self.configure)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        """See ``activate``."""
        return self._do(self.activate)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        """See ``deactivate``."""
        return self._do(self.deactivate)

    def on_cleanup(self, state: Any) -> TransitionCallbackReturn:
        """See ``cleanup``."""
        return self._do(self.cleanup)

    def on_shutdown(self, state: Any) -> TransitionCallbackReturn:
        """The last transition: what was begun is ended."""
        return self._do(self._end, was_active=state.label == ACTIVE, last=True)

    def on_error(self, state: Any) -> TransitionCallbackReturn:
        """After an unexpected exception."""
        fault = self.fault
        result = self._do(self._end, was_active=False, last=False)
        self.fault = fault
        return result

    def _end(self, was_active: bool, last: bool) -> None:
        if was_active:
            self.deactivate()
        self.cleanup()
        if last:
            self.finalize()

    def _do(self, work: Callable[..., None], **options: Any) -> TransitionCallbackReturn:
        self.fault = None
        try:
            work(**options)
        except (Sam2RosError, ParameterException) as error:
            self.fault = error
            return FAILURE
        except Exception as error:
            self.fault = error
            return TransitionCallbackReturn.ERROR
        return SUCCESS

    def _answer_change(self, request: Any, response: Any) -> Any:
        """Refuse what cannot be done now, in a sentence; else do it."""
        response.success = False
        if not self._transition.acquire(blocking=False):
            self.get_logger().warning(f"{_named(request)} is refused: the node is {self.state}, call again later")
            return response
        try:
            possible = {number: label for number, label, *_ in self._state_machine.available_transitions}
            asked = request.transition
            if asked.label not in possible.values() if asked.label else asked.id not in possible:
                names = ", ".join(sorted(set(possible.values()))) or "nothing"
                self.get_logger().warning(
                    f"{_named(request)} is refused: the node is {self.state}; possible now: {names}"
                )
                return response
            response = self._change(request, response)
            if not response.success and self.fault is not None:
                self.get_logger().error(f"{_named(request)} failed, the node is {self.state}: {_told(self.fault)}")
            return response
        finally:
            self._transition.release()


def _named(request: Any) -> str:
    return str(request.transition.label or f"transition {request.transition.id}")


def _told(error: Exception) -> str:
    expected = isinstance(error, (Sam2RosError, ParameterException))
    return str(error) if expected else "".join(traceback.format_exception(type(error), error, error.__traceback__))
