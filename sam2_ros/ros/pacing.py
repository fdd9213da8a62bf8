"""How the rate of somebody else's topic is kept out of the node.

Each time the executor turns to a message it builds its wait set again, about 2 ms of Python, and the
tracker's thread waits for the interpreter meanwhile: 300 messages a second on one topic would stop it.
So the executor turns to each topic only a few times a second and then handles all that waits there
(``Paced``), or it never does and the messages wait until they are needed (``OnDemand``).
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from threading import Lock
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.node import Node as RosNode
from rclpy.subscription import Subscription

#: Turns per second that one topic gets for as long as it is fast.
RATE = 10.0
#: Turns that it gets at once after a quiet second.
BURST = 10.0


class Paced(MutuallyExclusiveCallbackGroup):
    """A callback group whose subscriptions get ``RATE`` turns per second each; a topic that is slower never waits.

    Nothing wakes the executor when a topic may have its next turn: an image or the node's timer does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._tokens: weakref.WeakKeyDictionary[Any, _Tokens] = weakref.WeakKeyDictionary()
        self._guard = Lock()

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may turn to it now; it does not even wait for it otherwise."""
        return super().can_execute(entity) and (not isinstance(entity, Subscription) or self._of(entity).left() >= 1)

    def beginning_execution(self, entity: Any) -> bool:
        """As in the base class; a turn of a subscription is counted."""
        begins = super().beginning_execution(entity)
        if begins and isinstance(entity, Subscription):
            self._of(entity).spend()
        return begins

    def _of(self, subscription: Any) -> _Tokens:
        with self._guard:
            return self._tokens.setdefault(subscription, _Tokens())


class _Tokens:
    """Turns that a topic may take: ``RATE`` more each second, never more than ``BURST``."""

    def __init__(self) -> None:
        self._count, self._counted = BURST, time.monotonic()

    def left(self) -> float:
        return min(BURST, self._count + (time.monotonic() - self._counted) * RATE)

    def spend(self) -> None:
        self._count, self._counted = self.left() - 1, time.monotonic()


class _Never(ReentrantCallbackGroup):
    """The executor never turns to a subscription of this group, but still does to its QoS events."""

    def can_execute(self, entity: Any) -> bool:
        return not isinstance(entity, Subscription)


class OnDemand:
    """A subscription whose newest messages, up to the depth of its QoS, wait in the middleware until ``take``.

    It costs nothing in Python before that, however fast the topic is.
    """

    def __init__(self, node: RosNode, kind: type, topic: str, qos: Any, **options: Any) -> None:
        """options: of ``node.create_subscription``."""
        self.subscription = node.create_subscription(kind, topic, _ignore, qos, callback_group=_Never(), **options)

    def take(self) -> list[Any]:
        """What has arrived since the last call, the oldest first."""
        return waiting(self.subscription)


def waiting(subscription: Any) -> list[Any]:
    """Take the messages that wait in the middleware, at most as many as the depth of its queue."""
    taken: list[Any] = []
    with subscription.handle:
        while len(taken) < subscription.qos_profile.depth:
            message = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if message is None:
                break
            taken.append(message[0])
    return taken


def together(create: Callable[..., Any], group: Paced, kind: type, topic: str, callback: Callable[[Any], Any],
             *arguments: Any, **options: Any) -> Any:
    """A subscription in the paced ``group`` that handles in one turn every message that waits.

    create: ``create_subscription`` of a node.
    """
    def handle(message: Any) -> None:
        for each in (message, *waiting(subscription)):
            callback(each)

    subscription = create(kind, topic, handle, *arguments, callback_group=group, **options)
    return subscription


def _ignore(message: Any) -> None:
    raise AssertionError("the executor must not turn to this subscription")
