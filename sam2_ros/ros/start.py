"""Start ROS and a node, or say in one sentence why that is not possible."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node as RosNode
from rclpy.signals import uninstall_signal_handlers
from rclpy.utilities import remove_ros_args
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from sam2_ros import middleware
from sam2_ros.errors import CannotStart, InvalidInput, first_sentence
from sam2_ros.interrupts import Interrupts

#: The place in the sources of ROS, which its errors name.
_PLACE = re.compile(r",? at \S+:\d+")
#: The remedy, by a word of the message of ROS.
_REMEDIES = {
    "logging": "set ROS_LOG_DIR to a folder that can be written",
    "namespace": "give one such as /arm",
    "DOMAIN": "set ROS_DOMAIN_ID to a number from 0 to 232",
}


def start(arguments: Sequence[str] = ()) -> None:
    """``rclpy.init``.  Raises CannotStart for everything that ROS raises about its arguments and environment."""
    middleware.check_domain()
    try:
        rclpy.init(args=list(arguments))
    except Exception as error:  # each layer of ROS has its own exceptions
        stop()
        raise _sentence(error) from error


def stop() -> None:
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
    start()
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
        stop()


def full_topic(name: str, node: RosNode) -> str:
    """The full name of a topic for ``node``: "camera/image" is "/camera/image".  Raises InvalidInput."""
    try:
        full = expand_topic_name(name, node.get_name(), node.get_namespace())
        validate_full_topic_name(full)
    except (NameValidationException, ValueError) as error:
        raise InvalidInput(f"{name!r} is not a valid name of a topic: {first_sentence(error)}") from error
    return full


def full_node(name: str) -> str:
    """The full name of a node: "arm/sam2_ros" is "/arm/sam2_ros".  Raises InvalidInput."""
    namespace, _, last = f"/{name.removeprefix('/')}".rpartition("/")
    try:
        validate_namespace(namespace or "/")
        validate_node_name(last)
    except NameValidationException as error:
        raise InvalidInput(f"{name!r} is not a valid name of a node: {first_sentence(error)}") from error
    return f"{namespace}/{last}"


def _is_of_ros(error: Exception) -> bool:
    return any(kind.__module__.startswith(("rclpy", "_rclpy", "rosidl", "rpyutils")) for kind in type(error).__mro__)


def _sentence(error: Exception) -> CannotStart:
    said = _PLACE.sub("", " ".join(str(error).split())).rstrip(" .") or type(error).__name__
    remedy = next((f"; {remedy}" for word, remedy in _REMEDIES.items() if word in said), "")
    return CannotStart(f"ROS cannot start: {said}{remedy}")
