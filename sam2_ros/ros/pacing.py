"""A fast topic of another node must not slow this node down.

For each message the executor builds its wait sets again.  That takes about 2 ms of Python, during which the
tracker's thread waits for the interpreter: 300 messages a second on one topic would stop it.  So the executor
reads each topic a bounded number of times a second, and then handles all waiting messages (``Turns``).  Service
calls are treated in the same way (``Calls``).  Some topics are not read by the executor at all: their messages wait
in the middleware until they are needed (``OnDemand``, and for images and depth ``pulled.Pulled``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node as RosNode

#: Turns per second for a topic that stays fast.
RATE = 10.0
#: Turns without a rest after a quiet second.
BURST = 10.0
#: Messages that one turn handles when the queue of the middleware has no depth.
WITHOUT_DEPTH = 1000


class Pace:
    """Counts the turns of a topic or service: ``rate`` per second, and up to ``BURST`` at once after a quiet time."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._left, self._counted = BURST, time.monotonic()

    def spend(self) -> float:
        """Count one turn; the seconds to rest before the next one, 0 while the topic is slower than ``rate``."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._counted) * self._rate) - 1
        self._counted = now
        return max(1 - self._left, 0.0) / self._rate


class Never(CallbackGroup):
    """The executor never serves what is in this group, and does not wait for it.

    This includes the QoS events of a subscription: with Fast DDS they share a condition with its messages, so one
    message that nobody has taken would end every wait at once.
    """

    def can_execute(self, entity: Any) -> bool:
        """False."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """False."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


def handed_over(group: CallbackGroup) -> bool:
    """Whether the executor has handed a message of the group to its threads, and none of them has begun with it.

    Then it must not wait for the QoS events of the subscription either: they share a condition with the message, which
    nobody has taken yet.  Every wait would end at once, and in this loop the executor leaves its threads hardly any
    time of the interpreter: 0.1 s passed until one of them began.
    """
    entities = [reference() for reference in tuple(group.entities)]
    return any(getattr(entity, "_executor_event", False) for entity in entities)


class InTurn(MutuallyExclusiveCallbackGroup):
    """The group of a paced subscription."""

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for messages and QoS events."""
        return super().can_execute(entity) and not handed_over(self)


class OnDemand:
    """A subscription whose newest messages, up to the depth of its QoS, wait in the middleware until ``take``.

    It costs nothing in Python before that, however fast the topic is.
    """

    def __init__(self, node: RosNode, kind: type, topic: str, qos: Any, **options: Any) -> None:
        """options: of ``node.create_subscription``."""
        self.subscription = node.create_subscription(kind, topic, unserved, qos, callback_group=Never(), **options)

    def take(self) -> list[Any]:
        """The messages since the last call, the oldest first."""
        return waiting(self.subscription)


class Turns:
    """The callback of a paced subscription: one turn handles every waiting message, then it rests.

    Its callback group is occupied during the rest, so the executor does not wait for the topic.
    """

    def __init__(self, callback: Callable[[Any], Any]) -> None:
        self.subscription: Any = None
        self._callback = callback
        self._pace = Pace(RATE)

    def __call__(self, message: Any) -> None:
        self._callback(message)
        if self.subscription is not None:  # None: the first message came while it was being created
            for other in waiting(self.subscription):
                self._callback(other)
        time.sleep(self._pace.spend())


class Calls(CallbackGroup):
    """The group of a paced service: one turn takes every waiting call, then it rests.

    The executor only notices that there are calls, and does not wait for others before the turn has ended.
    The callback of the service is a generator.  Its first part, up to the ``yield``, is done in the order of the
    calls; the rest may wait for the tracker, on a thread of its own, and returns the response.
    """

    def __init__(self, node: RosNode, threads: ThreadPoolExecutor, failed: Callable[[], None]) -> None:
        """failed: called in an ``except`` block when a call could not be answered."""
        super().__init__()
        self._node = node
        self._threads = threads
        self._failed = failed
        self._pace = Pace(RATE)
        self._turn_lasts = False

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for calls."""
        return not self._turn_lasts

    def beginning_execution(self, entity: Any) -> bool:
        """Begin a turn; False, as it leaves nothing for the executor."""
        self._turn_lasts = True
        self._submit(self._turn, entity)
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""

    def _turn(self, service: Any) -> None:
        try:
            for request, header in waiting_calls(service):
                self._begin(service, request, header)
        except Exception:  # of a call that cannot be deserialised; the others wait for the next turn
            self._failed()
        time.sleep(self._pace.spend())
        self._turn_lasts = False
        wake(self._node)

    def _begin(self, service: Any, request: Any, header: Any) -> None:
        try:
            parts = service.callback(request, service.srv_type.Response())
        except Exception:
            self._failed()
            return
        if self._go_on(service, parts, header):
            self._submit(self._go_on, service, parts, header)

    def _go_on(self, service: Any, parts: Generator[None, None, Any], header: Any) -> bool:
        """Do one part of an answer, and send it after the last; whether there are more."""
        try:
            next(parts)
        except StopIteration as ended:
            with suppress(InvalidHandle):  # destroyed: the node is shutting down
                service.send_response(ended.value, header)
            return False
        except Exception:
            self._failed()
            return False
        return True

    def _submit(self, *work: Any) -> None:
        with suppress(RuntimeError):  # the threads have ended: the node is shutting down
            self._threads.submit(*work)


def together(
    create: Callable[..., Any],
    kind: type,
    topic: str,
    callback: Callable[[Any], Any],
    *arguments: Any,
    callback_group: CallbackGroup | None = None,
    **options: Any,
) -> Any:
    """A subscription with at most ``RATE`` turns a second; create: ``create_subscription`` of a node."""
    turns = Turns(callback)
    group = callback_group or InTurn()  # its own: other topics go on during the rest
    turns.subscription = create(kind, topic, turns, *arguments, callback_group=group, **options)
    return turns.subscription


def waiting(subscription: Any) -> list[Any]:
    """Take the messages that wait in the middleware, at most a full queue; none after the subscription is destroyed."""
    return [message for message, _ in waiting_since(subscription)]


def waiting_since(subscription: Any) -> Iterator[tuple[Any, int]]:
    """The same, each with the time when it came, in nanoseconds of the system's clock; 0 = unknown."""
    with suppress(InvalidHandle), subscription.handle:  # InvalidHandle: destroyed, because another camera is used now
        for _ in range(subscription.qos_profile.depth or WITHOUT_DEPTH):
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is None:
                return
            message, info = taken
            yield message, info.get("received_timestamp", 0)


def waiting_calls(service: Any) -> Iterator[tuple[Any, Any]]:
    """Take the calls that wait in the middleware, each with its header; at most a full queue."""
    with suppress(InvalidHandle), service.handle:  # InvalidHandle: destroyed
        for _ in range(service.qos_profile.depth or WITHOUT_DEPTH):
            request, header = service.handle.service_take_request(service.srv_type.Request)
            if header is None:
                return
            yield request, header


def wake(node: RosNode) -> None:
    """Let the executor look again at what it may wait for."""
    with suppress(InvalidHandle):  # it is shutting down
        if node.executor is not None:
            node.executor.wake()


def unserved(message: Any) -> None:
    """The callback of a subscription that the executor never serves."""
    raise AssertionError("the executor must not serve this subscription")
