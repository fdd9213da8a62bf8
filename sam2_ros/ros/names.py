"""Full names of nodes and topics; InvalidInput for names that ROS would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import NameValidationException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.node import Node as RosNode
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from sam2_ros.errors import InvalidInput, first_sentence


def full_topic(name: str, node: RosNode) -> str:
    """The full name of a topic for ``node``: "camera/image" is "/camera/image".  Raises InvalidInput."""
    with refused(f"{name!r} is not a valid name of a topic"):
        full = expand_topic_name(name, node.get_name(), node.get_namespace())
        validate_full_topic_name(full)
    return full


def full_node(name: str) -> str:
    """The full name of a node: "arm/sam2_ros" is "/arm/sam2_ros".  Raises InvalidInput."""
    namespace, _, last = f"/{name.removeprefix('/')}".rpartition("/")
    with refused(f"{name!r} is not a valid name of a node"):
        validate_namespace(namespace or "/")
        validate_node_name(last)
    return f"{namespace}/{last}"


@contextmanager
def refused(sentence: str) -> Iterator[None]:
    """An error of ROS about a name becomes InvalidInput with this sentence and the reason."""
    try:
        yield
    except (NameValidationException, ValueError) as error:
        raise InvalidInput(f"{sentence}: {first_sentence(error)}") from error
