"""Images and depth wait in the middleware until the tracker's thread pulls them.

So a message that is dropped costs little, and the executor does not disturb the tracker's thread while it works: it
only tells that a message has come, and only while one is waited for.
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node as RosNode
from rclpy.subscription import Subscription

from sam2_ros.ros.pacing import Pace, handed_over, unserved, waiting_since, wake
from sam2_ros.ros.throttle import SELDOM
from sam2_ros.ros.topics import quality, subscribe

#: How often per second it is told at most that a message has come: the rate of the fastest cameras.
RATE = 60.0


class Noticed(CallbackGroup):
    """The executor tells that a subscription in this group has a message, once after each ``listen``.

    It does not take the message, and before ``listen`` it does not wait for one.
    """

    def __init__(self, node: RosNode, tell: Callable[[], object]) -> None:
        super().__init__()
        self._node = node
        self._tell = tell
        self._listens = False

    def listen(self) -> None:
        """Tell when there is a message, at once if one waits already."""
        if not self._listens:
            self._listens = True
            wake(self._node)

    def can_execute(self, entity: Any) -> bool:
        """Whether the executor may wait for messages and QoS events."""
        return self._listens and not handed_over(self)

    def beginning_execution(self, entity: Any) -> bool:
        """Tell of a message, which leaves nothing for the executor; it serves the QoS events."""
        if not isinstance(entity, Subscription):
            return True
        self._listens = False
        self._tell()
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


class Pulled:
    """The subscription to one topic, or to another one later, whose messages are pulled."""

    def __init__(self, node: RosNode, what: str, depth: int, on_message: Callable[[Any, float], None]) -> None:
        """what: one message, for the log.

        depth: messages that may come between two calls of ``pull``; of more, the oldest are gone and not counted.

        on_message: gets each message, and when it came in seconds of ``time.monotonic``, on the thread of ``pull``.
        """
        #: None before ``subscribe``.
        self.subscription: Any = None
        self._node = node
        self._what = what
        self._depth = depth
        self._on_message = on_message
        self._tell: Callable[[], object] = lambda: None
        self._noticed = Noticed(node, self._notice)
        self._pace, self._rests_until = Pace(RATE), 0.0
        self._pulling = threading.Lock()  # messages are handed over in their order
        self._pulled_at = time.monotonic()

    def subscribe(
        self,
        kind: type,
        topic: str,
        *,
        reliable: bool,
        latched: bool = False,
        on_lost: Callable[[int], None] = lambda count: None,
        **options: Any,
    ) -> None:
        """Subscribe, in place of the subscription that there was.

        latched: ask for the last message from before.  on_lost: gets the number of messages that were newly lost.
        options: of ``node.create_subscription``.
        """
        self.end()
        qos = quality(self._depth, reliable, latched)
        group = self._noticed
        self.subscription = subscribe(
            self._node, kind, topic, unserved, qos, on_lost=on_lost, callback_group=group, **options
        )

    def end(self) -> None:
        """Subscribe to nothing."""
        if self.subscription is not None:
            self._node.destroy_subscription(self.subscription)
            self.subscription = None

    def pull(self) -> None:
        """Hand over the messages that have come since the last call; any thread may call it."""
        with self._pulling:
            before, self._pulled_at = self._pulled_at, time.monotonic()
            if (subscription := self.subscription) is None:
                return
            try:
                for message, came in waiting_since(subscription):
                    waited = max(time.time_ns() - came, 0) / 1e9 if came else 0.0
                    # Not before the last call, which would have found it: the system's clock may have been set.
                    self._on_message(message, max(time.monotonic() - waited, before))
            except Exception:  # rclpy raises for a message that it cannot deserialise, and while ROS shuts down
                if self._node.context.ok():
                    text = f"{self._what} could not be received:\n{traceback.format_exc()}"
                    self._node.get_logger().error(text, **SELDOM)

    def listen(self, tell: Callable[[], object]) -> float:
        """Call ``tell``, once, when a message waits for ``pull``; seconds after which to pull and listen again.

        They are infinite, unless the topic is too fast to be told of each message: then ``tell`` is not called.
        """
        rest = self._rests_until - time.monotonic()
        if rest > 0:
            return rest
        self._tell = tell
        self._noticed.listen()
        return math.inf

    def serve(self) -> None:
        """Let the executor serve the QoS events, too, though nobody may wait for a message; called regularly."""
        self._noticed.listen()

    def _notice(self) -> None:
        self._rests_until = time.monotonic() + self._pace.spend()
        self._tell()
