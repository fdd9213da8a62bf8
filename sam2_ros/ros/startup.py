"""Starts ROS and a node; errors say in one sentence why that is not possible."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.node import Node as RosNode
from rclpy.signals import uninstall_signal_handlers
from rclpy.utilities import remove_ros_args

from sam2_ros import middleware
from sam2_ros.errors import CannotStart
from sam2_ros.interrupts import Interrupts

#: The place in the sources of ROS, which its errors name.
_PLACE = re.compile(r",? at \S+:\d+")
#: The remedy, by a word of the message of ROS.
_REMEDIES = {
    "logging": "set ROS_LOG_DIR to a folder that can be written",
    "namespace": "give one such as /arm",
    "DOMAIN": "set ROS_DOMAIN_ID to a number from 0 to 232",
}


def init(arguments: Sequence[str] = ()) -> None:
    """``rclpy.init``.  Raises CannotStart for everything that ROS raises about its arguments and environment."""
    middleware.check_domain()
    try:
        rclpy.init(args=list(arguments))
    except Exception as error:  # each layer of ROS has its own exceptions
        shutdown()
        raise _sentence(error) from error


def shutdown() -> None:
    """``rclpy.try_shutdown``, after which ROS takes no signals any more; up to Jazzy it kept its handlers."""
    rclpy.try_shutdown()
    uninstall_signal_handlers()


def without_ros_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments that are left for the program's own parser.  Raises CannotStart."""
    try:
        return remove_ros_args(list(arguments))
    except Exception as error:  # see above
        raise _sentence(error) from error


@contextmanager
def creating() -> Iterator[None]:
    """Create nodes, publishers and subscriptions in this block: an error of ROS becomes CannotStart.

    Exceptions are not changed if a signal has shut ROS down.
    """
    with warnings.catch_warnings():
        # Comes when a node that was created only in part is destroyed.
        warnings.filterwarnings("ignore", "Failed to fini", RuntimeWarning)
        try:
            yield
        except ParameterException:
            raise
        except Exception as error:
            if not rclpy.ok() or not _is_of_ros(error):
                raise
            raise _sentence(error) from error


@contextmanager
def running_node(name: str, interrupts: Interrupts | None = None) -> Iterator[RosNode]:
    """ROS with a node of a unique name, ``name`` and a random suffix: two recorders may run at the same time.

    Raises CannotStart, and KeyboardInterrupt if a signal came before the node was created.
    """
    init()
    try:
        with creating():
            node = rclpy.create_node(f"{name}_{uuid.uuid4().hex[:8]}")
        try:
            if interrupts is not None and interrupts.came:  # while ROS was being started
                raise KeyboardInterrupt
            yield node
        finally:
            node.destroy_node()
    finally:
        shutdown()


def _is_of_ros(error: Exception) -> bool:
    return any(kind.__module__.startswith(("rclpy", "_rclpy", "rosidl", "rpyutils")) for kind in type(error).__mro__)


def _sentence(error: Exception) -> CannotStart:
    said = _PLACE.sub("", " ".join(str(error).split())).rstrip(" .") or type(error).__name__
    remedy = next((f"; {remedy}" for word, remedy in _REMEDIES.items() if word in said), "")
    return CannotStart(f"ROS cannot start: {said}{remedy}")
