"""Record what a tracking node subscribes to and publishes, as serialised bytes, and count lost messages.

Callbacks put messages into a queue of bounded size; a separate thread hands them to ``write``,
which may be as slow as a disk.  Messages that do not fit into the queue, and those that the
middleware reports as lost, are counted by topic.
"""

from __future__ import annotations

import difflib
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node as RosNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from sam2_ros.errors import RecordingError, Sam2RosError, UnknownType
from sam2_ros.ros.topics import message_class, subscribe

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
LOOK = 0.25
#: Seconds before a missing node is logged; also the time to wait for the description of the node's model.
PATIENCE = 5.0
#: Seconds until existing publishers are discovered.
DISCOVERY = 2.0
#: Topics about a node itself, not about the camera.
_CHATTER = ("/rosout", "/parameter_events")


class Offer(NamedTuple):
    """What all publishers of a topic can serve; latched: late subscribers get their last messages, too."""

    reliable: bool = True
    latched: bool = False


class Recorder:
    """Records some topics, or those of one node, from creation until ``close``.

    topics: fully qualified; of_node: fully qualified name of a node whose subscriptions and
    publications are recorded, too, except its overlay.  write: see ``Write``; when it raises a
    Sam2RosError, recording ends and ``failure`` says why.
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
        self._timer = node.create_timer(LOOK, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.look()
        self._thread.start()  # last: after an exception above no thread keeps the process alive

    @property
    def topics(self) -> list[str]:
        """What is being recorded."""
        return sorted(self._subscriptions)

    def look(self) -> None:
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
            self._say_what_is_silent()

    def _say_what_is_silent(self) -> None:
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
            if not topic.removesuffix("/compressed").endswith("/overlay") and not topic.endswith("/masks/compressed")
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
        quality = QoSProfile(
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if offer.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if offer.latched else DurabilityPolicy.VOLATILE,
        )

        def timed(message: bytes, info: dict[str, Any]) -> None:
            self._put(topic, kind, info.get("received_timestamp") or self._now(), message)

        def untimed(message: bytes) -> None:
            self._put(topic, kind, self._now(), message)

        def missed(count: int) -> None:
            with self._lock:
                self.lost[topic] += count

        self._subscriptions[topic] = subscribe(
            self._node, message_type, topic, timed if TELLS_ARRIVAL else untimed, quality, raw=True, on_lost=missed
        )

    def _offer(self, topic: str) -> Offer | None:
        """What every publisher of the topic can serve; None while there is none."""
        offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        if not offers:
            return None
        return Offer(
            reliable=all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers),
            latched=all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers),
        )

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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Messages by topic: written, and lost on the way or because the queue was full.

    not_installed: topics that could not be recorded, with their types.  failure: why the recording
    ended early, or None.
    """

    written: dict[str, int]
    lost: dict[str, int]
    not_installed: dict[str, str]
    failure: Sam2RosError | None


def run(
    node: RosNode,
    write: Write,
    topics: Sequence[str],
    of_node: str,
    about: Callable[[dict[str, Any]], None],
    seconds: float = math.inf,
) -> Outcome:
    """Record until ROS shuts down, until ``write`` fails, or for ``seconds``.

    topics and of_node: as for ``Recorder``.  about: called with the parameters of ``of_node`` when the node answers,
    on a separate thread because it may take long; not called if the node never answers.
    """
    if not rclpy.ok():  # a signal came while the bag was created; then an executor cannot be built
        return Outcome({}, {}, {}, None)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    parameters = _asking(node, of_node)
    telling: threading.Thread | None = None
    deadline = time.monotonic() + seconds
    recorder = Recorder(node, write, topics, of_node)  # last: its thread keeps the process alive until close()
    try:
        while rclpy.ok() and recorder.failure is None and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
            if parameters is not None and (found := parameters.look()) is not None:
                telling, parameters = threading.Thread(target=about, args=(found,)), None
                telling.start()
    except Exception:
        if rclpy.ok():  # otherwise ROS was shut down
            raise
    finally:
        recorder.close()
        executor.shutdown()
        if telling is not None:
            # A large model takes longer, but the bag must be closed before the process is killed.
            telling.join(PATIENCE)
    return Outcome(dict(recorder.written), dict(recorder.lost), recorder.unreadable, recorder.failure)


def _asking(node: RosNode, of_node: str) -> _Parameters | None:
    """Asks ``of_node`` for its parameters; None without a node to ask, or if this rclpy cannot ask."""
    if not of_node:
        return None
    if not ASKS_PARAMETERS:
        node.get_logger().warning(
            f"the parameters of {of_node} are not recorded: this rclpy, older than that of "
            "ROS 2 Iron, has no parameter client"
        )
        return None
    return _Parameters(node, of_node)


class _Parameters:
    """Asks a node for its parameters without waiting; call ``look`` until it returns them."""

    def __init__(self, node: RosNode, of_node: str) -> None:
        self._client = AsyncParameterClient(node, of_node)
        self._names: list[str] = []
        self._answer: Any = None

    def look(self) -> dict[str, Any] | None:
        """The parameters as plain values; None until the node has answered."""
        if self._answer is None:
            self._answer = self._client.list_parameters() if self._client.services_are_ready() else None
        elif not self._answer.done():
            return None
        elif not self._names:
            self._names = list(self._answer.result().result.names)
            self._answer = self._client.get_parameters(self._names)
        else:
            return dict(zip(self._names, map(parameter_value_to_python, self._answer.result().values)))
        return None
