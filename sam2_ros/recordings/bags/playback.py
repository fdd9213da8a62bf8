"""Selects the messages of a bag that are played to a running node, and their topics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.changed_types import Converter
from sam2_ros.recordings.bags.notes import ABOUT, SUMMARY
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.topics import APPLIED, PROMPT
from sam2_ros.recordings.recording import StoredMessage

CLOCK = "/clock"
#: The node's name, and its results, which a running node publishes itself.
_NODE = "/sam2_ros"
_RESULTS = ("/masks", "/masks/compressed", "/objects", "/overlay", "/overlay/compressed", "/markers", "/points")
#: Types that become prompts; so do the clicks of image viewers, which are known by their topic's name.
_ASKED = ("geometry_msgs/msg/PointStamped", "vision_msgs/msg/Detection2DArray")


def targets_of(source: BagReader, topics: Sequence[str]) -> dict[str, str]:
    """Under which topic each topic of a bag is played."""
    names = {topic.name: topic for topic in source.topics if topic.count}
    if topics:
        return {name: name for name in topics if name in names}
    applied = {name.removesuffix(APPLIED) for name in names if name.endswith(APPLIED)}
    nodes = {name.removesuffix("/prompt") for name in applied}
    results = {node + part for node in nodes | {_NODE} for part in _RESULTS} | {ABOUT, SUMMARY, *applied}
    if applied:  # what clicks and detections led to is among the prompts that were applied
        results |= {name for name, topic in names.items() if topic.type in _ASKED or name.endswith("_mouse_left")}
    return {
        name: name.removesuffix(APPLIED) if topic.type == PROMPT else name
        for name, topic in names.items()
        if name not in results
    }


def rounds_of(
    source: BagReader, targets: Mapping[str, str], start: int, loop: bool, tell: Callable[[str], object]
) -> Iterator[Iterator[StoredMessage]]:
    """The messages from ``start`` (nanoseconds) on under their new topics, once or for ever.

    tell: called once with a sentence about what was lost.  Raises RecordingError when there is nothing to play.
    """
    told: set[str] = set()
    converter = Converter(tell)
    while True:
        lost: list[str] = []
        messages = converter.convert(_messages_from(source, set(targets), start, lost))
        yield (replace(message, topic=targets[message.topic]) for message in messages)
        for sentence in set(lost) - told:
            tell(sentence)
        told |= set(lost)
        if not loop:
            return


def _messages_from(source: BagReader, topics: set[str], start: int, lost: list[str]) -> Iterator[StoredMessage]:
    """The messages from ``start`` on; what was latched before comes first, with the time of the first of them."""
    messages = source.messages(topics, lost)
    first = next(messages, None)
    if first is None:
        raise RecordingError(f"nothing of {source.path} can be played: {'; '.join(lost) or 'no topic is left'}")
    last = first
    latched: list[StoredMessage] = []
    for message in itertools.chain([first], messages):
        if message.time - first.time >= start:
            in_force = [replace(one, time=message.time) for one in latched]
            return itertools.chain(in_force, [message], messages)
        if message.latched:
            latched.append(message)
        last = message
    raise RecordingError(
        f"{source.path} ends {(last.time - first.time) / 1e9:.3f} s after its first message; "
        f"start before that, not at {start / 1e9:g} s"
    )
