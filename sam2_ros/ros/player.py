"""Publishes recorded messages at their recorded times, with /clock, to a running node."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rclpy
from rclpy.node import Node as RosNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock

from sam2_ros.errors import InvalidInput
from sam2_ros.interrupts import Interrupts
from sam2_ros.recordings.recording import StoredMessage
from sam2_ros.ros.fastdds_profile import make_room
from sam2_ros.ros.startup import creating, running_node
from sam2_ros.ros.topics import message_class, quality

#: /clock is published at least this often while nothing else is, seconds.
TICK = 0.02
#: Messages that a publisher keeps for a slow subscriber.
DEPTH = 50
#: All subscribers must be connected on this many checks in a row, 0.05 s apart.
SETTLED = 8
#: Seconds to wait for subscribers.
PATIENCE = 10.0
#: Seconds for the last message to arrive before its publisher is destroyed.
DRAIN = 0.5
#: A gap of this many seconds without messages is logged.
LOGGED_GAP = 5.0
#: Only a node with the recorded name subscribes to these.
PROMPT = "sam2_ros/msg/Prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Playback:
    """How a recording is played.

    rate: 2 is twice as fast as recorded.  clock: publish the recorded time on /clock.
    start: seconds of the recording that are left out at its beginning, prompts included, but not what is
    latched, such as static transforms.  loop: begin again at the end, until interrupted.
    longest_gap: wait for gaps of up to this many seconds without messages; skip longer ones.
    Raises InvalidInput.
    """

    rate: float = 1.0
    clock: bool = True
    start: float = 0.0
    loop: bool = False
    longest_gap: float = math.inf

    def __post_init__(self) -> None:
        if not (0 < self.rate < math.inf and 0 <= self.start < math.inf):
            raise InvalidInput(
                f"the rate must be above 0 and the start not negative; got {self.rate:g} and {self.start:g} s"
            )
        if not self.longest_gap > 0:
            raise InvalidInput(f"the longest gap must be above 0 (inf = wait in every gap); got {self.longest_gap:g} s")


class Player:
    """Publishes recorded messages; ``published`` counts them."""

    def __init__(self, node: RosNode, how: Playback) -> None:
        self.node = node
        self.how = how
        self.published = 0
        self._publishers: dict[str, Publisher] = {}
        self._clock = node.create_publisher(Clock, "/clock", QoSProfile(depth=1)) if how.clock else None

    def announce(self, topics: Iterable[tuple[str, str, bool]]) -> None:
        """Create the publishers, so that subscribers find them before the first message.

        topics: name, type, and whether late subscribers get the last messages, too.
        """
        for topic, kind, latched in topics:
            message_type = message_class(kind)
            if message_type is None:
                self._warn(f"{topic} is not played: its type {kind} is not installed here")
                continue
            self._publishers[topic] = self.node.create_publisher(message_type, topic, quality(DEPTH, latched=latched))

    def wait_for_subscribers(self, images: Sequence[str], prompts: Sequence[str]) -> None:
        """Wait for subscribers of ``images``; warn of topics in ``images`` and ``prompts`` without a subscriber."""
        if images and (missing := self.wait(images, PATIENCE)):
            self._warn(f"{missing}; playing anyway")
        for topic in prompts:
            if topic in self._publishers and not self._publishers[topic].get_subscription_count():
                self._warn(
                    f"nobody subscribes to {topic}, so its prompts are lost: start the node under the name and "
                    f"namespace {topic.removesuffix('/prompt')} that it was recorded with"
                )

    def wait(self, topics: Sequence[str], seconds: float) -> str:
        """Wait until one of ``topics`` has a subscriber and all known ones are connected; return what is missing."""
        deadline, ready = time.monotonic() + seconds, 0
        wanted = [self._publishers[topic] for topic in topics if topic in self._publishers]
        while time.monotonic() < deadline and ready < SETTLED:
            subscribed = not wanted or any(publisher.get_subscription_count() for publisher in wanted)
            ready = ready + 1 if subscribed and not any(map(self._is_waited_for, self._publishers)) else 0
            time.sleep(0.05)
        if ready == SETTLED:
            return ""
        if not any(publisher.get_subscription_count() for publisher in wanted):
            return f"nobody subscribes to {' or '.join(topics)}"
        waited = sorted(filter(self._is_waited_for, self._publishers))
        return f"a subscriber of {' or '.join(waited)} is not connected" if waited else ""

    def _is_waited_for(self, topic: str) -> bool:
        """Whether the ROS graph shows subscribers of the publisher that are not connected yet."""
        publisher = self._publishers[topic]
        latched = publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        asking = [
            one
            for one in self.node.get_subscriptions_info_by_topic(publisher.topic_name)
            if latched or one.qos_profile.durability != DurabilityPolicy.TRANSIENT_LOCAL
        ]
        return publisher.get_subscription_count() < len(asking)

    def play(self, messages: Iterable[StoredMessage]) -> int:
        """Publish messages at their times; returns how many were published by now."""
        started, first = time.monotonic(), 0
        newest: int | None = None
        for message in messages:
            if newest is None:
                first = message.time
            else:
                first += self._skipped(newest, message.time)
            newest = message.time
            due = started + (message.time - first) / 1e9 / self.how.rate
            while (left := due - time.monotonic()) > 0:
                self._tick(message.time - round(left * self.how.rate * 1e9))
                time.sleep(min(left, TICK))
            if message.topic in self._publishers:
                self._tick(message.time)
                self._publishers[message.topic].publish(bytes(message.raw))
                self.published += 1
        return self.published

    def _skipped(self, newest: int, now: int) -> int:
        """Nanoseconds of the recording to skip between two messages; negative where its clock goes back."""
        gap = (now - newest) / 1e9
        if gap < 0:
            self._warn(f"the clock of the recording goes back by {-gap:.1f} s here; playing on without a wait")
            return now - newest
        if gap > self.how.longest_gap:
            self._warn(f"a gap of {gap:.1f} s without messages follows and is skipped; --longest-gap inf waits for it")
            return now - newest
        if gap / self.how.rate > LOGGED_GAP:
            self._warn(f"a gap of {gap:.1f} s without messages follows; --longest-gap {LOGGED_GAP:g} skips such gaps")
        return 0

    def _warn(self, sentence: str) -> None:
        self.node.get_logger().warning(sentence)

    def _tick(self, now: int) -> None:
        if self._clock is not None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now, 10**9)
            self._clock.publish(message)


def run(
    rounds: Iterable[Iterable[StoredMessage]],
    topics: Sequence[tuple[str, str, bool]],
    how: Playback,
    wait_for: Sequence[str],
) -> int:
    """Play until the rounds end or a signal comes; returns the number of messages.

    rounds: messages to play one after the other.  topics: see ``Player.announce``.  wait_for: wait up to
    ``PATIENCE`` seconds for a subscriber of one of these topics before the first message.
    """
    make_room()
    with Interrupts() as interrupts, running_node("sam2_ros_player", interrupts) as node:
        player = Player(node, how)
        try:
            with interrupts.raised():
                with creating():
                    player.announce(topics)
                player.wait_for_subscribers(wait_for, [topic for topic, kind, _ in topics if kind == PROMPT])
                for messages in rounds:
                    player.play(messages)
                time.sleep(DRAIN)
        except KeyboardInterrupt:
            pass
        except Exception:
            if rclpy.ok():  # otherwise a signal shut ROS down during a call
                raise
    return player.published
