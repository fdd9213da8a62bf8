"""Converts messages that were recorded with another definition of their type than the one installed here.

Unconverted they would reach no subscriber, because a subscriber receives messages of its own definition only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.message_types import known_types
from sam2_ros.recordings.bags.writer import built
from sam2_ros.recordings.recording import StoredMessage


class Converter:
    """Builds messages from those fields that both definitions have.

    say: is called once for each topic, about fields that are unknown here, and about messages left out because
    a field of theirs is of another type here.
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self._say = say
        self._here = known_types()
        self._ways: dict[tuple[str, int], str] = {}  # by topic and the bag's types: "same", "built" or "none"

    def convert(self, messages: Iterable[StoredMessage]) -> Iterator[StoredMessage]:
        """The messages in the definitions of this machine, without those that cannot be converted."""
        for message in messages:
            way = self._way(message)
            if way == "built":
                try:
                    message = self._built(message)
                except RecordingError as error:
                    self._say(f"a message on {message.topic} is not played: {error}")
                    continue
            if way != "none":
                yield message

    def _built(self, message: StoredMessage) -> StoredMessage:
        content = built(self._here, message.type, message.decode())
        return replace(message, raw=bytes(self._here.serialize_cdr(content, message.type)))

    def _way(self, message: StoredMessage) -> str:
        kind = message.type
        if kind not in self._here.fielddefs:
            return "same"
        try:
            types = message.types()
            key = message.topic, id(types)
            if key not in self._ways:
                same = types.hash_rihs01(kind) == self._here.hash_rihs01(kind)
                self._ways[key] = "same" if same else self._judged(message, types)
            return self._ways[key]
        except Exception:  # rosbags raises errors of many types for bad definitions
            return "same"

    def _judged(self, message: StoredMessage, types: Any) -> str:
        kind, what = message.type, f"{message.topic} was recorded with another definition of {message.type}"
        changed, unknown = _differences(types, self._here, kind)
        if changed:
            self._say(
                f"{what} and is not played: {', '.join(changed)} is of another type here; record it again, or use "
                "the version that recorded it"
            )
            return "none"
        left_out = f", without {', '.join(unknown)}, which is not known here" if unknown else ""
        self._say(f"{what} and is converted{left_out}")
        return "built"


def _differences(there: Any, here: Any, kind: str) -> tuple[list[str], list[str]]:
    """The fields whose type is another one here, and those that do not exist here; inner fields with a dot."""
    theirs, ours = dict(there.fielddefs[kind][1]), dict(here.fielddefs[kind][1])
    changed = [name for name in theirs if name in ours and theirs[name] != ours[name]]
    unknown = [name for name in theirs if name not in ours]
    for name in theirs.keys() & ours.keys() - set(changed):
        inner = _inner(theirs[name])
        if inner:
            for found, of_inner in zip((changed, unknown), _differences(there, here, inner)):
                found += [f"{name}.{part}" for part in of_inner]
    return sorted(changed), sorted(unknown)


def _inner(description: tuple[Any, Any]) -> str:
    """The message type of a field, or of what is in its list; "" for numbers and text."""
    while isinstance(description[1], tuple) and isinstance(description[1][0], tuple):
        description = description[1][0]
    return description[1] if isinstance(description[1], str) else ""
