"""Message classes, QoS and subscriptions, with the rclpy of any distribution."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.node import Node as RosNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.type_support import check_for_type_support

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # ROS 2 Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError


def message_class(kind: str) -> type | None:
    """The class of a message type such as "sensor_msgs/msg/Image"; None when it is not installed here."""
    package, _, name = kind.partition("/msg/")
    try:
        found: type = getattr(importlib.import_module(f"{package}.msg"), name)
        check_for_type_support(found)
    except Exception:  # of a package that is half installed: rosidl has its own errors for what is missing
        return None
    return found


def quality(depth: int, reliable: bool = True, latched: bool = False) -> QoSProfile:
    """latched: late subscribers get the last messages, too."""
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def all_reliable(publishers: Iterable[Any]) -> bool:
    """Whether each of them can serve a reliable subscription; a best-effort one receives from every publisher."""
    return all(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE for info in publishers)


def all_latched(publishers: Iterable[Any]) -> bool:
    """Whether each of them keeps its last messages for late subscribers: one that asks gets nothing from the others."""
    return all(info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for info in publishers)


def subscribe(node: RosNode, *arguments: Any, on_lost: Callable[[int], None], **options: Any) -> Any:
    """``node.create_subscription``; on_lost gets the number of messages that the middleware has newly lost."""

    def count(event: Any) -> None:
        on_lost(event.total_count_change)

    try:
        events = SubscriptionEventCallbacks(message_lost=count)
        return node.create_subscription(*arguments, event_callbacks=events, **options)
    except UnsupportedEventTypeError:  # this middleware does not count lost messages
        return node.create_subscription(*arguments, **options)
