"""Checks of the launch files before any process is started.  Each function raises InvalidInput."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable
from pathlib import Path

import yaml  # rclpy needs it, too
from rclpy.expand_topic_name import expand_topic_name
from rclpy.validate_full_topic_name import validate_full_topic_name
from rclpy.validate_namespace import validate_namespace
from rclpy.validate_node_name import validate_node_name

from sam2_ros.errors import InvalidInput, first_sentence
from sam2_ros.ros.names import refused


def check_node(name: str, namespace: str) -> None:
    """The name of the node and its namespace, which may be relative or empty, are valid."""
    with refused(f"name:={name} is not valid"):
        validate_node_name(name)
    with refused(f"namespace:={namespace} is not valid"):
        validate_namespace("/" + namespace.removeprefix("/").removesuffix("/"))


def check_topic(argument: str, topic: str) -> None:
    """The name of the topic, which may be relative, is valid."""
    with refused(f"{argument}:={topic} is not a valid topic name"):
        validate_full_topic_name(expand_topic_name(topic, "node", "/"))


def check_parameters(path: Path) -> None:
    """The file is YAML with sections for nodes; the node checks their content."""
    try:
        content = yaml.compose(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidInput(f"params_file:={path} cannot be read as YAML: {first_sentence(error)}") from error
    if content is not None and not isinstance(content, yaml.MappingNode):  # a file with only comments is valid
        raise InvalidInput(
            f"params_file:={path} sets no parameters; begin it as config/track.yaml begins, "
            "with '/**:' and 'ros__parameters:'"
        )


def check_new_bag(path: Path) -> None:
    """Nothing of this name exists, and it can be created."""
    if os.path.lexists(path):  # checked first, so that no trial goes unrecorded
        raise InvalidInput(f"{path} exists already; give record:= the name of a new bag")
    place = next(folder for folder in path.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise InvalidInput(f"record:={path} cannot be created: {place} is not a writable folder")


def check_number(argument: str, text: str, what: str, above: bool = False) -> None:
    """A finite number, at least 0, or above 0 if ``above``; what: name of that number in the error."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf or (above and number == 0):
        raise InvalidInput(f"{argument}:={text} is not a {what}")


def whole_number(argument: str, text: str, what: str) -> int:
    """The number that ``text`` is, at least 0; what: name of that number in the error."""
    if not text.isdecimal():
        raise InvalidInput(f"{argument}:={text} is not a {what}; give a whole number")
    return int(text)


def true_or_false(argument: str, text: str) -> bool:
    """What ``text`` says, in any case."""
    if text.lower() not in ("true", "false"):
        raise InvalidInput(f"{argument}:={text} is not true or false")
    return text.lower() == "true"


def misspelt(given: Iterable[str], known: Iterable[str]) -> list[str]:
    """A sentence for each argument that is not declared but looks like one of ``known``."""
    known = list(known)
    # launch_ros has its own, which start with ros_.
    unknown = sorted(name for name in set(given) - set(known) if not name.startswith("ros_"))
    near = {name: difflib.get_close_matches(name, known, 1, 0.8) for name in unknown}
    return [
        f"the argument {name}:= does not exist and sets nothing; did you mean {found[0]}:=?"
        for name, found in near.items()
        if found
    ]
