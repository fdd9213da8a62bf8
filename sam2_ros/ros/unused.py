"""Settings without effect: misspelt parameters, and parameter files for another node.

ROS ignores both without a warning: a parameter that no node declares, and a section of a YAML file
whose name is not that of the node.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml  # rclpy needs it, too

_QOS = "qos_overrides"
#: A sentence lists at most this many names of sections.
MOST_LISTED = 5
_SHORT, _LONG = "-p", "--param"


def unknown_parameters(given: Iterable[str], known: Iterable[str], image_topics: Iterable[str]) -> list[str]:
    """One sentence for each given parameter that is not ``known``.

    image_topics: topics that may be subscribed to later; their quality of service may be set before.
    """
    known = list(known)
    later = {
        f"{_QOS}.{topic}.subscription.{policy}"
        for topic in image_topics
        for policy in ("history", "depth", "reliability")
    }
    return [
        f"the parameter {name!r} does not exist and sets nothing; {_advice(name, [*known, *sorted(later)])}"
        for name in sorted(given)
        if name not in known and name not in later
    ]


def _advice(name: str, known: list[str]) -> str:
    # A YAML file may nest names: image: {transport: raw}.
    near = difflib.get_close_matches(name.replace(".", "_"), known, 1) or difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else "config/track.yaml lists all that do"


def foreign_sections(arguments: Sequence[str], node: str) -> list[str]:
    """One sentence for each parameter file and each parameter in ``arguments`` that is only for other nodes.

    node: the fully qualified name, such as "/robot/sam2_ros".
    """
    sentences = []
    for option, value in itertools.pairwise(arguments):
        if option == "--params-file":
            content = _read(Path(value))
            names = list(_sections(content))
            if content is not None and not names:  # a file with only comments has no content
                sentences.append(f"nothing in {value} sets a parameter; begin it with '/**:' and 'ros__parameters:'")
            elif names and not any(map(_matcher(node), names)):
                sentences.append(
                    f"nothing in {value} is for this node: it sets parameters of {_listed(names)}, "
                    f"and this node is {node}; write '{node}:' or '/**:' there"
                )
        elif option in (_SHORT, _LONG):
            name, colon, _ = value.partition(":=")[0].partition(":")
            if colon and not _matcher(node)(name):
                sentences.append(f"{option} {value} is for the node {name!r}, and this node is {node}")
    return sentences


def _read(path: Path) -> Any:
    """The content of a parameter file that ROS has read already; None if only ROS's own parser understands it."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _sections(content: Any, prefix: str = "") -> Iterator[str]:
    """The names of nodes in a parameter file; namespaces may be nested."""
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key == "ros__parameters":
            yield prefix
        else:
            yield from _sections(value, f"{prefix}/{str(key).strip('/')}")


def _matcher(node: str) -> Callable[[str], bool]:
    """A function: does the name of a section match ``node``?  * stands for one part of a name, ** for any number."""

    def matches(section: str) -> bool:
        parts = section.strip("/").split("/")
        pattern = "".join(
            r"(/\w+)*" if part == "**" else r"/\w+" if part == "*" else f"/{re.escape(part)}" for part in parts
        )
        return re.fullmatch(pattern, node) is not None

    return matches


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:MOST_LISTED])
    return f"{shown} and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else shown
