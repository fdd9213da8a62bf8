"""The notes of our recorder in a bag, as JSON in std_msgs/String: about the node, and about lost messages."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.bag import Bag
from sam2_ros.recordings.recording import Recording

if TYPE_CHECKING:
    from sam2_ros.recordings.bags.writer import BagWriter  # needs rosbags, which who reads pictures does without

STRING = "std_msgs/msg/String"
#: The node with its parameters and its model; and at the end how many messages were written and lost by topic.
ABOUT, SUMMARY = "/sam2_ros_recorder/about", "/sam2_ros_recorder/summary"


def note(writer: BagWriter, topic: str, content: Mapping[str, Any], stamp: int = 0) -> None:
    """Write a note; stamp: of the recording, in nanoseconds, 0 = now.  Raises RecordingError."""
    text = SimpleNamespace(data=json.dumps(content, default=list))
    writer.write(topic, STRING, stamp or time.time_ns(), text, latched=True)


@dataclass(frozen=True, slots=True)
class About:
    """What was noted of a node: its name, its parameters, and facts of its model as far as they were known.

    The facts are name, version, sha256 and image side.
    """

    node: str
    parameters: Mapping[str, Any]
    model: Mapping[str, Any]


def about(recording: Recording) -> About | None:
    """What a bag says of the node whose prompts are in it; the last note counts.  None without any that can be read."""
    if not isinstance(recording, Bag) or recording.source is None:
        return None
    if ABOUT not in {topic.name for topic in recording.source.topics}:
        return None  # without a look at every message
    found = None
    for stored in recording.source.messages({ABOUT}, []):
        with suppress(RecordingError, AttributeError, TypeError, KeyError, ValueError):  # somebody else's, or damaged
            content = json.loads(stored.decode().data)
            noted = About(str(content["node"]), dict(content["parameters"]), dict(content["model"]))
            if recording.prompted_node in ("", noted.node):
                found = noted
    return found
