"""Start ROS and a node, or say in one sentence why that cannot be."""

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
from rclpy.utilities import remove_ros_args
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from sam2_ros import middleware
from sam2_ros.errors import CannotStart, InvalidInput, first_sentence
from sam2_ros.interrupts import Interrupts

#: Where in the sources of ROS an error was found.
_PLACE = re.compile(r",? at \S+:\d+")
#: What helps, by a word of what ROS says.
_REMEDIES = {
    "logging": "set ROS_LOG_DIR to a folder that can be written",
    "namespace": "give one such as /arm",
    "DOMAIN": "set ROS_DOMAIN_ID to a number from 0 to 232",
}


def start(arguments: Sequence[str] = ()) -> None:
    """``rclpy.init``.  Raises CannotStart, whatever ROS makes of its arguments and its environment."""
    middleware.check_domain()
    try:
        rclpy.init(args=list(arguments))
    except Exception as error:  # each layer of ROS has classes of its own
        rclpy.try_shutdown()
        raise _sentence(error) from error


def without_ros_arguments(arguments: Sequence[str]) -> list[str]:
    """What is left for the program's own parser.  Raises CannotStart."""
    try:
        return remove_ros_args(list(arguments))
    except Exception as error:  # see above
        raise _sentence(error) from error


@contextmanager
def creating() -> Iterator[None]:
    """Inside it nodes, publishers and subscriptions are created: what ROS refuses is CannotStart.

    What is raised because ROS was shut down by a signal is left as it is.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to fini", RuntimeWarning)  # the half of a node is taken down again
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
    """ROS with a node of its own name, ``name`` and a number: two recorders may run at a time.

    Raises CannotStart, and KeyboardInterrupt where a signal came before there was the node.
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
        rclpy.try_shutdown()


def full_topic(name: str, node: RosNode) -> str:
    """A topic as ``node`` would understand it: "camera/image" is "/camera/image".  Raises InvalidInput."""
    try:
        full = expand_topic_name(name, node.get_name(), node.get_namespace())
        validate_full_topic_name(full)
    except (NameValidationException, ValueError) as error:
        raise InvalidInput(f"there can be no topic of the name {name!r}: {first_sentence(error)}") from error
    return full


def full_node(name: str) -> str:
    """The full name of a node: "arm/sam2_ros" is "/arm/sam2_ros".  Raises InvalidInput."""
    namespace, _, last = f"/{name.removeprefix('/')}".rpartition("/")
    try:
        validate_namespace(namespace or "/")
        validate_node_name(last)
    except NameValidationException as error:
        raise InvalidInput(f"there can be no node of the name {name!r}: {first_sentence(error)}") from error
    return f"{namespace}/{last}"


def _is_of_ros(error: Exception) -> bool:
    return any(kind.__module__.startswith(("rclpy", "_rclpy", "rosidl", "rpyutils")) for kind in type(error).__mro__)


def _sentence(error: Exception) -> CannotStart:
    said = _PLACE.sub("", " ".join(str(error).split())).rstrip(" .") or type(error).__name__
    remedy = next((f"; {remedy}" for word, remedy in _REMEDIES.items() if word in said), "")
    return CannotStart(f"ROS cannot start: {said}{remedy}")
