"""Record what a tracking node subscribes to and publishes, as serialised bytes, and count whatever is lost.

Callbacks put messages into a queue of bounded size; a thread of its own hands them to
``write``, which may be as slow as a disk.  What the queue cannot take, and what the middleware
says that it has lost, is counted by topic.
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
except ImportError:  # ROS 2 Humble
    AsyncParameterClient = None

#: write(topic, type, time of arrival in nanoseconds, serialised message, whether it is for late subscribers too)
Write = Callable[[str, str, int, bytes, bool], None]
#: Whether a callback may ask when the middleware received its message; not in ROS 2 Humble.
TELLS_ARRIVAL = hasattr(Subscription, "CallbackType")
#: Bytes that wait for the disk at most.
MOST_WAITING = 256 * 2**20
#: Messages that the middleware keeps for a callback.
DEPTH = 100
#: Seconds between looks at the graph for topics that are new.
LOOK = 0.25
#: Seconds after which a node that is not there is worth a word; and for the model of one that is there.
PATIENCE = 5.0
#: Seconds that publishers which are there already take to be seen.
DISCOVERY = 2.0
#: What a node says about itself rather than about the camera.
_CHATTER = ("/rosout", "/parameter_events")
#: Ends the queue.
_END = None


class Offer(NamedTuple):
    """What all publishers of a topic can serve; latched: who subscribes later gets their last messages too."""

    reliable: bool = True
    latched: bool = False


class Recorder:
    """Records some topics, or those of one node, from creation until ``close``.

    topics: fully qualified; of_node: fully qualified name of a node whose subscriptions and
    publications are recorded too, its overlay excepted.  write: see ``Write``; when it raises a
    Sam2RosError recording ends and ``failure`` says why.
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
        self._latched: dict[str, bool] = {}  # by topic; a bag keeps one answer, that of the first message
        self._queue: queue.Queue = queue.Queue()
        self._waiting_bytes = 0
        self._missed_since: float | None = time.monotonic()  # None once the node was there, or said not to be
        self._silent_since: float | None = time.monotonic()  # None once it was said what nobody publishes
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drain, name="recorder")
        # Real time: with use_sim_time and no /clock the topics are there all the same.
        self._timer = node.create_timer(LOOK, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.look()
        self._thread.start()  # last: an exception above leaves no thread that would keep the process alive

    @property
    def topics(self) -> list[str]:
        """What is being recorded."""
        return sorted(self._subscriptions)

    def look(self) -> None:
        """Subscribe to wanted topics that have appeared, and again where what is offered has changed.

        A topic that nobody publishes yet is subscribed to as well: who publishes once waits for no recorder.
        What is latched may then be written twice, which changes nothing.
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
        """Name the topics that were asked for and that nobody publishes, with those that may have been meant."""
        there = [topic for topic, _ in self._node.get_topic_names_and_types() if self._offer(topic) is not None]
        for topic in sorted(self._wanted - set(there)):
            meant = difflib.get_close_matches(topic, there, 3)
            self._node.get_logger().warning(
                f"nobody publishes {topic} yet; it is recorded as soon as somebody does"
                + (f" (there is {', '.join(meant)})" if meant else "")
            )

    def close(self) -> None:
        """Stop listening, and write what still waits."""
        self._timer.cancel()
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._queue.put(_END)
        self._thread.join()

    def _topics_of_node(self) -> set[str]:
        if not self._of_node:
            return set()
        namespace, _, name = self._of_node.rpartition("/")
        try:
            subscribed = self._node.get_subscriber_names_and_types_by_node(name, namespace or "/")
            published = self._node.get_publisher_names_and_types_by_node(name, namespace or "/")
        except RuntimeError:  # rclpy's word for a node that is not there yet
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
                    f"{topic} is published in another quality of service than before; "
                    "messages may be missing at the moment of this line"
                )
        self._chosen[topic] = offer
        quality = QoSProfile(
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if offer.reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if offer.latched else DurabilityPolicy.VOLATILE,
        )

        def timed(message: bytes, info: dict) -> None:
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
        return (
            Offer(
                all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers),
                all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers),
            )
            if offers
            else None
        )

    def _now(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _put(self, topic: str, kind: str, time: int, message: bytes) -> None:
        if topic not in self._latched:  # a subscription from before the publisher does not know
            self._latched[topic] = (self._offer(topic) or self._chosen[topic]).latched
        with self._lock:
            if self.failure is not None or self._waiting_bytes + len(message) > MOST_WAITING:
                self.lost[topic] += 1
                return
            self._waiting_bytes += len(message)
        self._queue.put((topic, kind, time, message, self._latched[topic]))

    def _drain(self) -> None:
        while (item := self._queue.get()) is not _END:
            topic, _, _, message, _ = item
            with self._lock:
                self._waiting_bytes -= len(message)
            if self.failure is not None or topic in self.unreadable:
                self.lost[topic] += 1
                continue
            try:
                self._write(*item)
                self.written[topic] += 1
            except UnknownType as error:  # concerns this topic only
                self.lost[topic] += 1
                self.unreadable[topic] = item[1]
                self._node.get_logger().warning(f"{topic} is not recorded: {error}")
            except Sam2RosError as error:
                self.lost[topic] += 1
                self.failure = error
            except Exception as error:  # a defect ends recording too, and is said
                self.lost[topic] += 1
                self.failure = RecordingError(f"recording {topic} failed unexpectedly: {error!r}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Messages by topic: written, and lost on the way or for want of room.

    not_installed: topics that could not be recorded, with their types.  failure: why recording
    ended before it was asked to, or None.
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

    topics and of_node: as for ``Recorder``.  about: is told the parameters of ``of_node`` once that answers, on a
    thread of its own because it may take long; it is not called if the node never does.
    """
    if not rclpy.ok():  # a signal came while the bag was made; an executor cannot even be built then
        return Outcome({}, {}, {}, None)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    parameters = _asking(node, of_node)
    telling: threading.Thread | None = None
    deadline = time.monotonic() + seconds
    recorder = Recorder(node, write, topics, of_node)  # last: its thread keeps the process alive until it is closed
    try:
        while rclpy.ok() and recorder.failure is None and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
            if parameters is not None and (found := parameters.look()) is not None:
                telling, parameters = threading.Thread(target=about, args=(found,)), None
                telling.start()
    except Exception:
        if rclpy.ok():  # else ROS was shut down, during a callback or between two
            raise
    finally:
        recorder.close()
        executor.shutdown()
        if telling is not None:
            telling.join(PATIENCE)  # a large model takes longer, and the bag must be closed before somebody kills us
    return Outcome(dict(recorder.written), dict(recorder.lost), recorder.unreadable, recorder.failure)


def _asking(node: RosNode, of_node: str) -> _Parameters | None:
    """Asks ``of_node`` for its parameters, if there is such a node and a way to ask."""
    if not of_node:
        return None
    if AsyncParameterClient is None:
        node.get_logger().warning(
            f"the parameters of {of_node} are not recorded: this rclpy, older than that of "
            "ROS 2 Iron, has no parameter client"
        )
        return None
    return _Parameters(node, of_node)


class _Parameters:
    """Asks a node for its parameters without waiting; look until ``look`` gives them."""

    def __init__(self, node: RosNode, of_node: str) -> None:
        self._client = AsyncParameterClient(node, of_node)
        self._names: list[str] = []
        self._answer: Any = None

    def look(self) -> dict[str, Any] | None:
        """The parameters as plain values once they have come."""
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
