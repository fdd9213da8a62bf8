"""What our recorder itself writes into a bag, as JSON in std_msgs/String: about the node, and what was lost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from sam2_ros.recordings.bags.writer import BagWriter

STRING = "std_msgs/msg/String"
#: The node with its parameters and its model; and at the end how many messages were written and lost by topic.
ABOUT, SUMMARY = "/sam2_ros_recorder/about", "/sam2_ros_recorder/summary"


def note(writer: BagWriter, topic: str, content: Mapping[str, Any]) -> None:
    """Write a note.  Raises RecordingError."""
    writer.write(topic, STRING, time.time_ns(), SimpleNamespace(data=json.dumps(content, default=list)), latched=True)
