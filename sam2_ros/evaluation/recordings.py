"""Every kind of recording behind one door: ``open`` it and iterate over its frames.

This is the only module that knows the rosbags library, for reading and for writing bags.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Connection, MessageDefinitionFormat, Nodetype, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from sam2_ros.errors import RecordingError, UnknownType
from sam2_ros.evaluation import rescue
from sam2_ros.evaluation.bags import Bag, Topic
from sam2_ros.evaluation.events import Event, PromptEvent, Recording, StoredMessage, Truth
from sam2_ros.evaluation.folders import VIDEO_SUFFIXES, Video, sequences_in
from sam2_ros.evaluation.labels import LabelWriter, read_labels

__all__ = ["BagWriter", "Event", "LabelWriter", "PromptEvent", "Recording", "Truth", "find", "open", "read_labels"]

STORAGE_SUFFIXES = {".mcap", ".db3"}
#: A recorder stops before it leaves less than this many bytes free on its disk.
KEPT_FREE = 64 * 2**20


# -- reading -------------------------------------------------------------------------------------

def open(path: str | Path, *, rate: float | None = None, image_topic: str = "", truth_topic: str = "",
         node: str = "", more_topics: tuple[str, ...] = ()) -> Recording:  # noqa: A001 - recordings.open reads well
    """The one recording at ``path``: a bag, a video, a folder of pictures or one sequence of a data set.

    rate: images per second of pictures that carry no times.  The topics and the node: see ``bags.Bag``.
    Raises RecordingError when there is none, or several.
    """
    found = find(path, rate=rate, image_topic=image_topic, truth_topic=truth_topic, node=node, more_topics=more_topics)
    if len(found) > 1:
        names = ", ".join(recording.name for recording in found[:12])
        raise RecordingError(f"{path} holds {len(found)} sequences ({names}); name one of them, "
                             f"for example {found[0].path}")
    return found[0]


def find(path: str | Path, *, rate: float | None = None, **topics: Any) -> list[Recording]:
    """Every recording at ``path``; a data set holds many.  Raises RecordingError when there is none."""
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    if is_bag(path):
        return [Bag(path.stem, path, source=BagSource(path), **topics)]
    if path.is_dir():
        return list(sequences_in(path, rate))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return [Video(path.stem, path, rate=rate)]
    raise RecordingError(f"{path} is of no known kind; give a bag, a video ({', '.join(sorted(VIDEO_SUFFIXES))}) "
                         "or a folder of pictures")


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a storage file of rosbag2 or the folder of a bag."""
    if path.is_file():
        return path.suffix in STORAGE_SUFFIXES
    return (path / "metadata.yaml").is_file() or bool(storage_files(path))


def storage_files(folder: Path) -> list[Path]:
    """The storage files of a bag in the order of their numbers, compressed ones left out."""
    def numbers(path: Path) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", path.stem)]

    return sorted((path for path in folder.iterdir() if path.suffix in STORAGE_SUFFIXES), key=numbers)


class BagSource:
    """The messages of a bag, by the rosbags library as long as it can, else from what is whole.

    latched: the topics whose messages also go to who subscribes later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.latched: set[str] = set()
        self._types = _Types()
        self._damage = ""
        try:
            with Reader(path) as reader:
                self._types.fallback = _distribution(reader.ros_distro)
                found = [(topic.topic, topic.msgtype, topic.msgcount) for topic in reader.connections]
                self.latched = {topic.topic for topic in reader.connections if _is_latched(topic)}
        except Exception as error:  # rosbags answers damaged files with errors of many kinds
            self._damage = _sentence(error)
            found = self._counted()
        self.topics = [Topic(*row) for row in sorted(found)]

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[StoredMessage]:
        """See ``bags.Source``."""
        newest = -1
        damage = self._damage
        if not damage:
            try:
                for message in self._read(wanted):
                    newest = message.time
                    yield message
                return
            except Exception as error:  # see above; errors of whoever takes the messages do not come here
                damage = _sentence(error)
        lost.append(f"{self.path.name} is damaged ({damage}); reading what is whole")
        for message in self._rescued(lost):
            if message.topic in wanted and message.time > newest:
                yield message

    def _read(self, wanted: set[str]) -> Iterator[StoredMessage]:
        with Reader(self.path) as reader:
            connections = [connection for connection in reader.connections if connection.topic in wanted]
            for connection, time, raw in reader.messages(connections) if connections else ():
                idl = connection.msgdef.format == MessageDefinitionFormat.IDL
                types = partial(self._types.of, connection.msgtype, connection.msgdef.data, idl)
                yield StoredMessage(time, connection.topic, connection.msgtype, raw, types, _is_latched(connection))

    def _rescued(self, lost: list[str]) -> Iterator[StoredMessage]:
        for file in [self.path] if self.path.is_file() else storage_files(self.path):
            for channel, time, raw in rescue.scan(file, lost):
                types = partial(self._types.of, channel.type, channel.definition, channel.encoding == "ros2idl")
                yield StoredMessage(time, channel.topic, channel.type, raw, types, channel.latched)

    def _counted(self) -> list[tuple[str, str, int]]:
        lost: list[str] = []
        counts: Counter[tuple[str, str]] = Counter()
        for message in self._rescued(lost):
            counts[message.topic, message.type] += 1
            self.latched |= {message.topic} if message.latched else set()
        if not counts:
            raise RecordingError(f"nothing of the bag {self.path} can be read: {'; '.join([self._damage, *lost])}")
        return [(topic, kind, count) for (topic, kind), count in counts.items()]


class _Types:
    """Message types as the bag itself defines them, so that older versions of a type are read as they were."""

    def __init__(self) -> None:
        self.fallback = Stores.LATEST
        self._stores: dict[tuple[str, str], Typestore] = {}

    def of(self, kind: str, definition: str, idl: bool) -> Typestore:
        """The types to read a message of one kind with; raises whatever rosbags makes of a bad definition."""
        key = (kind, definition)
        if key not in self._stores:
            if not definition:
                self._stores[key] = known_types(self.fallback)
            else:
                self._stores[key] = get_typestore(Stores.EMPTY)
                self._stores[key].register(_idl_types(definition) if idl else get_types_from_msg(definition, kind))
        return self._stores[key]


def known_types(distribution: Stores = Stores.LATEST) -> Typestore:
    """The types of a ROS distribution and our own, for bags that do not bring their definitions, and for writing."""
    store = get_typestore(distribution)
    types: dict = {}
    for file in _share("sam2_ros", "msg").glob("*.msg"):
        types.update(get_types_from_msg(file.read_text(), f"sam2_ros/msg/{file.stem}"))
    store.register(types)
    return store


def _share(package: str, part: str) -> Path:
    """The folder of a package's definitions: installed by colcon or pip, or beside this source."""
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    found = [Path(prefix, "share", package, part) for prefix in prefixes if prefix]
    source = Path(__file__).resolve().parents[2] / part
    return next((path for path in found if path.is_dir()), source)


def _idl_types(definition: str) -> dict:
    types: dict = {}
    for part in re.split(r"^=+\nIDL: .*\n", definition, flags=re.MULTILINE):
        types.update(get_types_from_idl(part) if part.strip() else {})
    return types


def _is_latched(connection: Connection) -> bool:
    return any(quality.durability == QosDurability.TRANSIENT_LOCAL for quality in connection.ext.offered_qos_profiles)


def _distribution(name: str | None) -> Stores:
    return Stores.__members__.get(f"ROS2_{(name or '').upper()}", Stores.LATEST)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": .")


# -- writing -------------------------------------------------------------------------------------

class BagWriter:
    """Writes one MCAP bag that rosbag2 reads, from Humble on: a folder of the name of ``path`` with metadata.yaml.

    Leaving the ``with`` block closes the bag properly, whatever the reason.  Before the disk is
    full ``write`` raises RecordingError, while there is still room to close the bag; should the
    disk fail all the same, the file is cut after its last whole part and ended there.  Several
    threads may write.  kept_free: bytes that others may still use then.
    """

    def __init__(self, path: str | Path, kept_free: int = KEPT_FREE) -> None:
        self.path = Path(path).expanduser()
        self.kept_free = kept_free
        self.written: Counter[str] = Counter()
        self._types = known_types(_distribution(os.environ.get("ROS_DISTRO")))
        self._connections: dict[tuple[str, str], Any] = {}
        self._unchecked = 0
        self._lock = threading.RLock()
        try:
            self._writer: Writer | None = Writer(self.path, version=8, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise RecordingError(f"cannot create the bag {self.path}: {error}") from error
        self._check_room(0)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def file(self) -> Path:
        """The storage file."""
        return self.path / f"{self.path.name}.mcap"

    def message(self, kind: str, **values: Any) -> Any:
        """A message of a type such as "sensor_msgs/msg/Image", empty but for ``values``."""
        return built(self._types, kind, SimpleNamespace(**values))

    def write(self, topic: str, kind: str, time: int, message: Any, latched: bool = False) -> None:
        """Write one message: an object with fields of the type (those that lack are empty), or its serialised bytes.

        time: of the recording, in nanoseconds.  latched: who subscribes later gets the last one.
        Raises RecordingError for a type that is not known here, and when the disk is full.
        """
        with self._lock:
            self._know(kind)
            if not isinstance(message, bytes):
                message = bytes(self._types.serialize_cdr(built(self._types, kind, message), kind))
            self._write(topic, kind, time, message, partial(_described, self._types, kind), latched)

    def copy(self, stored: StoredMessage) -> None:
        """Write a message of another bag as it lies there, with the definition of its type where there is one."""
        with self._lock:
            self._write(stored.topic, stored.type, stored.time, stored.raw, partial(self._definition, stored),
                        stored.latched)

    def _definition(self, stored: StoredMessage) -> tuple[str, str]:
        """Of the type of a message of another bag: the bag's own, else that of here, else none, as bags of Humble are."""
        for types in (stored.types, partial(self._types_for, stored.type)):
            try:
                return _described(types(), stored.type)
            except Exception:  # rosbags answers bad definitions with errors of many kinds
                continue
        return "", f"RIHS01_{'0' * 64}"

    def close(self) -> None:
        """End the bag properly.  Closing twice is allowed."""
        with self._lock:
            writer, self._writer = self._writer, None
            if writer is None:
                return
            try:
                writer.close()
            except OSError as error:
                self._mend(writer, error)

    def _write(self, topic: str, kind: str, time: int, raw: bytes, definition: Callable[[], tuple[str, str]],
               latched: bool) -> None:
        if self._writer is None:
            raise RecordingError(f"the bag {self.path} is closed already")
        self._check_room(len(raw))
        try:
            if (topic, kind) not in self._connections:
                text, checksum = definition()
                self._connections[topic, kind] = self._writer.add_connection(
                    topic, kind, msgdef=text, rihs01=checksum, offered_qos_profiles=[_quality(latched)])
            self._writer.write(self._connections[topic, kind], time, raw)
        except OSError as error:
            writer, self._writer = self._writer, None
            self._mend(writer, error)
        self.written[topic] += 1

    def _check_room(self, size: int) -> None:
        """Look at the free space for every few megabytes that are written."""
        self._unchecked += size
        if 0 < self._unchecked < 2**22:
            return
        try:
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise RecordingError(f"cannot write {self.path}: {error.strerror}") from error
        if free < self.kept_free + self._unchecked:
            self.close()
            raise RecordingError(f"the disk of {self.path} is nearly full ({free // 2**20} MB left); the bag was "
                                 f"closed after {sum(self.written.values())} messages and can be read")
        self._unchecked = 0

    def _mend(self, writer: Writer, error: OSError) -> None:
        try:
            writer.abort()
            cut = rescue.mend_mcap(self.file)
        except OSError as worse:  # the medium itself is gone
            raise RecordingError(f"cannot write {self.file} ({error.strerror}), nor end it ({worse.strerror}); what is "
                                 "whole in it can still be read by sam2_ros") from error
        raise RecordingError(f"cannot write {self.file} ({error.strerror}); the file was ended after its last whole "
                             f"part ({cut} bytes cut off) and can be read, the folder lacks metadata.yaml") from error

    def _types_for(self, kind: str) -> Typestore:
        self._know(kind)
        return self._types

    def _know(self, kind: str) -> None:
        """Learn a type that rosbags does not bring along from the installed ROS packages."""
        if kind in self._types.types:
            return
        package, _, name = kind.partition("/msg/")
        file, idl = (_share(package, "msg") / f"{name}.{suffix}" for suffix in ("msg", "idl"))
        if not file.is_file() and not idl.is_file():
            raise UnknownType(f"the message type {kind} is not known here; install or source the package {package}")
        found = get_types_from_msg(file.read_text(), kind) if file.is_file() else _idl_types(idl.read_text())
        for part in _parts(found[kind]):
            self._know(part)
        self._types.register(found)


def _described(types: Typestore, kind: str) -> tuple[str, str]:
    """The definition of a type and its checksum, as bags keep them."""
    return types.generate_msgdef(kind, ros_version=2)[0], types.hash_rihs01(kind)


def _parts(definition: Any) -> Iterator[str]:
    """The message types inside a definition as rosbags keeps it."""
    for _, description in definition[1]:
        inner = description[1][0] if description[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE) else description
        if inner[0] == Nodetype.NAME:
            yield inner[1]


def built(types: Typestore, kind: str, source: Any) -> Any:
    """A rosbags message of a type with the fields of ``source``, and empty ones where it has none."""
    values = {name: _value(types, description, getattr(source, name, None))
              for name, description in types.fielddefs[kind][1]}
    return types.types[kind](**values)


def _value(types: Typestore, description: Any, value: Any) -> Any:
    """One field by its description in a rosbags definition; None becomes empty, numbers become arrays."""
    node, detail = description
    if node == Nodetype.NAME:
        return built(types, detail, value)
    if node == Nodetype.BASE:
        plain = {"string": str, "wstring": str, "bool": bool}.get(detail[0], float if "float" in detail[0] else int)
        return plain() if value is None else plain(value)
    inner, length = detail
    if inner[0] == Nodetype.BASE and inner[1][0] not in ("string", "wstring"):
        kind = {"byte": "uint8", "octet": "uint8", "char": "uint8"}.get(inner[1][0], inner[1][0])
        if value is None:
            value = np.zeros(length if node == Nodetype.ARRAY else 0)
        return np.frombuffer(value, kind) if isinstance(value, (bytes, bytearray)) else np.asarray(value, kind)
    if value is None:
        value = [None] * (length if node == Nodetype.ARRAY else 0)
    return [_value(types, inner, item) for item in value]


def _quality(latched: bool) -> Qos:
    """Reliable, so that players offer what every subscriber accepts."""
    forever = QosTime(9223372036, 854775807)
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(QosHistory.KEEP_LAST, 1 if latched else 10, QosReliability.RELIABLE, durability, forever, forever,
               QosLiveliness.AUTOMATIC, forever, False)
