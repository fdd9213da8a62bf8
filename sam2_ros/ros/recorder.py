"""Records what a tracking node subscribes to and publishes, as serialised bytes, and counts lost messages.

Callbacks put messages into a queue of bounded size; a separate thread hands them to ``write``,
which may be as slow as a disk.  Messages that do not fit into the queue, and those that the
middleware reports as lost, are counted by topic.
"""

from __future__ import annotations

import difflib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from rclpy.clock import Clock, ClockType
from rclpy.node import Node as RosNode
from rclpy.subscription import Subscription

from sam2_ros.errors import RecordingError, Sam2RosError, UnknownType
from sam2_ros.ros.topics import all_latched, all_reliable, message_class, quality, subscribe

try:
    from rclpy.parameter import parameter_value_to_python
    from rclpy.parameter_client import AsyncParameterClient

    ASKS_PARAMETERS = True
except ImportError:  # ROS 2 Humble
    ASKS_PARAMETERS = False

#: write(topic, type, time of arrival in nanoseconds, serialised message, whether late subscribers get it, too)
Write = Callable[[str, str, int, bytes, bool], None]
#: Whether rclpy tells a callback when the middleware received its message; not in ROS 2 Humble.
TELLS_ARRIVAL = hasattr(Subscription, "CallbackType")
#: At most this many bytes wait for the disk.
MOST_WAITING = 256 * 2**20
#: Messages that the middleware keeps for a callback.
DEPTH = 100
#: Seconds between checks of the ROS graph for new topics.
UPDATE = 0.25
#: Seconds before a missing node is logged.
PATIENCE = 5.0
#: Seconds until existing publishers are discovered.
DISCOVERY = 2.0
#: Topics about a node itself, not about the camera.
_CHATTER = ("/rosout", "/parameter_events")
#: Topics that follow from the others, and that a node fills only for those who look.
_DERIVED = ("/overlay", "/markers", "/points")


class Offer(NamedTuple):
    """What all publishers of a topic can serve; latched: late subscribers get their last messages, too."""

    reliable: bool = True
    latched: bool = False


class Recorder:
    """Records some topics, or those of one node, from creation until ``close``.

    topics: fully qualified; of_node: fully qualified name of a node whose subscriptions and
    publications are recorded, too, except what follows from the others: overlay, markers and points.
    write: see ``Write``; when it raises a Sam2RosError, recording ends and ``failure`` says why.
    """

    def __init__(self, node: RosNode, write: Write, topics: Iterable[str] = (), of_node: str = "") -> None:
        self.failure: Sam2RosError | None = None
        self.written: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.unreadable: dict[str, str] = {}
        self._node = node
        self._write = write
        self._wanted = set(topics)
        self._of_node = of_node
        self._subscriptions: dict[str, Any] = {}
        self._chosen: dict[str, Offer] = {}
        self._latched: dict[str, bool] = {}  # by topic; a bag stores one value, that of the first message
        self._queue: queue.Queue[tuple[str, str, int, bytes, bool] | None] = queue.Queue()  # None ends it
        self._waiting_bytes = 0
        self._missed_since: float | None = time.monotonic()  # None after the node was found, or logged as missing
        self._silent_since: float | None = time.monotonic()  # None after unpublished topics were logged
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="recorder")
        # Real time: with use_sim_time and no /clock the topics still exist.
        self._timer = node.create_timer(UPDATE, self.update, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.update()
        self._thread.start()  # last: after an exception above no thread keeps the process alive

    @property
    def topics(self) -> list[str]:
        """The recorded topics."""
        return sorted(self._subscriptions)

    def update(self) -> None:
        """Subscribe to wanted topics as they appear; resubscribe when a publisher's QoS changes.

        A topic without a publisher is subscribed to, too: a program that publishes only once does not wait for a
        recorder.  Latched messages may then be written twice, which does no harm.
        """
        wanted = self._wanted | self._topics_of_node()
        for topic, types in self._node.get_topic_names_and_types():
            if topic in wanted and topic not in self.unreadable:
                offer, chosen = self._offer(topic), self._chosen.get(topic)
                if chosen is None or offer not in (None, chosen):
                    self._subscribe(topic, types[0], offer or Offer())
        if self._silent_since is not None and time.monotonic() - self._silent_since > DISCOVERY:
            self._silent_since = None
            self._warn_of_silent_topics()

    def _warn_of_silent_topics(self) -> None:
        """Warn of requested topics that nobody publishes, and name topics that may have been meant."""
        there = [topic for topic, _ in self._node.get_topic_names_and_types() if self._offer(topic) is not None]
        for topic in sorted(self._wanted - set(there)):
            meant = difflib.get_close_matches(topic, there, 3)
            self._node.get_logger().warning(
                f"nobody publishes {topic} yet; it is recorded as soon as somebody does"
                + (f" (there is {', '.join(meant)})" if meant else "")
            )

    def close(self) -> None:
        """End the subscriptions, and write the waiting messages."""
        self._timer.cancel()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._queue.put(None)
        self._thread.join()

    def _topics_of_node(self) -> set[str]:
        if not self._of_node:
            return set()
        namespace, _, name = self._of_node.rpartition("/")
        try:
            subscribed = self._node.get_subscriber_names_and_types_by_node(name, namespace or "/")
            published = self._node.get_publisher_names_and_types_by_node(name, namespace or "/")
        except RuntimeError:  # rclpy raises this for a node that does not exist yet
            if self._missed_since is not None and time.monotonic() - self._missed_since > PATIENCE:
                self._node.get_logger().warning(
                    f"there is no node {self._of_node} yet; name the one to record with --node"
                )
                self._missed_since = None
            return set()
        self._missed_since = None
        topics = {topic for topic, _ in subscribed + published if not topic.endswith(_CHATTER)}
        return {
            topic
            for topic in topics
            if not topic.removesuffix("/compressed").endswith(_DERIVED) and not topic.endswith("/masks/compressed")
        }

    def _subscribe(self, topic: str, kind: str, offer: Offer) -> None:
        message_type = message_class(kind)
        if message_type is None:
            self.unreadable[topic] = kind
            self._node.get_logger().warning(f"{topic} is not recorded: its type {kind} is not installed here")
            return

        if topic in self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop(topic))
            if topic in self._latched:
                self._node.get_logger().warning(
                    f"{topic} is now published with another quality of service; messages may be missing at this moment"
                )
        self._chosen[topic] = offer

        def timed(message: bytes, info: dict[str, Any]) -> None:
            self._put(topic, kind, info.get("received_timestamp") or self._now(), message)

        def untimed(message: bytes) -> None:
            self._put(topic, kind, self._now(), message)

        def missed(count: int) -> None:
            with self._lock:
                self.lost[topic] += count

        self._subscriptions[topic] = subscribe(
            self._node,
            message_type,
            topic,
            timed if TELLS_ARRIVAL else untimed,
            quality(DEPTH, offer.reliable, offer.latched),
            raw=True,
            on_lost=missed,
        )

    def _offer(self, topic: str) -> Offer | None:
        """The QoS that fits every publisher of the topic; None while there is none."""
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return None
        return Offer(all_reliable(publishers), all_latched(publishers))

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _put(self, topic: str, kind: str, time: int, message: bytes) -> None:
        if topic not in self._latched:  # a subscription that is older than the publisher does not know
            self._latched[topic] = (self._offer(topic) or self._chosen[topic]).latched
        with self._lock:
            if self.failure is not None or self._waiting_bytes + len(message) > MOST_WAITING:
                self.lost[topic] += 1
                return
            self._waiting_bytes += len(message)
        self._queue.put((topic, kind, time, message, self._latched[topic]))

    def _drain(self) -> None:
        while (item := self._queue.get()) is not None:
            topic, kind, _, message, _ = item
            with self._lock:
                self._waiting_bytes -= len(message)
            if self.failure is not None or topic in self.unreadable:
                self.lost[topic] += 1
                continue
            try:
                self._write(*item)
                self.written[topic] += 1
            except UnknownType as error:  # of this topic only
                self.lost[topic] += 1
                self.unreadable[topic] = kind
                self._node.get_logger().warning(f"{topic} is not recorded: {error}")
            except Sam2RosError as error:
                self.lost[topic] += 1
                self.failure = error
            except Exception as error:  # a defect ends the recording, too, and is reported
                self.lost[topic] += 1
                self.failure = RecordingError(f"recording {topic} failed unexpectedly: {error!r}")


def parameter_client(node: RosNode, of_node: str) -> AsyncParameterClient | None:
    """A client for the parameters of ``of_node``; None without a node to ask, or if this rclpy has none."""
    if not of_node:
        return None
    if not ASKS_PARAMETERS:
        node.get_logger().warning(
            f"the parameters of {of_node} are not recorded: this rclpy, older than that of "
            "ROS 2 Iron, has no parameter client"
        )
        return None
    return AsyncParameterClient(node, of_node)


def ask_for_parameters(client: AsyncParameterClient, tell: Callable[[dict[str, Any]], None]) -> None:
    """Ask for every parameter without waiting; ``tell`` is called with plain values when the node has answered."""

    def listed(answer: Any) -> None:
        names = list(answer.result().result.names)
        client.get_parameters(names, lambda answer: tell(plain(names, answer.result().values)))

    def plain(names: list[str], values: Sequence[Any]) -> dict[str, Any]:
        return dict(zip(names, map(parameter_value_to_python, values)))

    client.list_parameters(callback=listed)
