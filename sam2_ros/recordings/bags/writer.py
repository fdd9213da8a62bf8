"""Writes bags, with the rosbags library."""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rosbags.interfaces import Nodetype, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from sam2_ros.errors import RecordingError, UnknownType
from sam2_ros.files import shown
from sam2_ros.installation import share
from sam2_ros.recordings.bags.mcap_file import mend_mcap
from sam2_ros.recordings.bags.message_types import idl_types, known_distribution, known_types
from sam2_ros.recordings.recording import StoredMessage

#: Recording stops when fewer bytes than this would be left on the disk.
KEPT_FREE = 64 * 2**20


class BagWriter:
    """Writes one MCAP bag that rosbag2 reads, from Humble on: a folder of the name of ``path`` with metadata.yaml.

    Leaving the ``with`` block closes the bag properly, whatever the reason.  Before the disk is
    full, ``write`` raises RecordingError while there is still room to close the bag; if the disk
    fails nevertheless, the file is cut after its last complete record and ended there.  Several
    threads may write.  kept_free: bytes that stay free on the disk.
    """

    def __init__(self, path: str | Path, kept_free: int = KEPT_FREE) -> None:
        self.path = Path(path).expanduser()
        self.kept_free = kept_free
        self.written: Counter[str] = Counter()
        self._types = known_types(known_distribution(os.environ.get("ROS_DISTRO")))
        self._connections: dict[tuple[str, str], Any] = {}
        self._differing: dict[tuple[str, int], bool] = {}  # by type and the other bag's definitions
        self._unchecked = 0
        self._lock = threading.RLock()
        if shown(self.path.name) != self.path.name:
            raise RecordingError(
                f"cannot create the bag {shown(self.path)}: its name goes into metadata.yaml, which is "
                "UTF-8; choose another one"
            )
        if self.path.exists():
            raise RecordingError(f"cannot create the bag {shown(self.path)}: it exists already, name a new one")
        try:
            self._writer: Writer | None = Writer(self.path, version=8, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
            self._check_room(0)
        except (WriterError, OSError, RecordingError) as error:
            shutil.rmtree(self.path, ignore_errors=True)  # else the next attempt would find a bag there
            if isinstance(error, RecordingError):
                raise
            reason = error.strerror if isinstance(error, OSError) else error
            raise RecordingError(f"cannot create the bag {shown(self.path)}: {reason}") from error

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
        """Write one message: an object with fields of the type (missing ones are empty), or its serialised bytes.

        time: of the recording, in nanoseconds.  latched: later subscribers get the last one, too.
        Raises RecordingError for a type that is not known here, and when the disk is full.
        """
        with self._lock:
            self._know(kind)
            if not isinstance(message, bytes):
                message = bytes(self._types.serialize_cdr(built(self._types, kind, message), kind))
            self._write(topic, kind, time, message, partial(_described, self._types, kind), latched)

    def copy(self, stored: StoredMessage) -> None:
        """Write a message of another bag unchanged, with the definition of its type if there is one.

        One of ours that was recorded with another definition gets the present one: a file holds only one definition
        of a type, and our results are written beside it.
        """
        with self._lock:
            if stored.type.startswith("sam2_ros/") and self._differs(stored):
                with suppress(RecordingError):  # a damaged message is copied as it is
                    self.write(stored.topic, stored.type, stored.time, stored.decode(), stored.latched)
                    return
            self._write(
                stored.topic, stored.type, stored.time, stored.raw, partial(self._definition, stored), stored.latched
            )

    def _differs(self, stored: StoredMessage) -> bool:
        """Whether a message was recorded with another definition of its type than the one that is known here."""
        try:
            types = stored.types()
            key = stored.type, id(types)
            if key not in self._differing:
                here, there = self._types.hash_rihs01(stored.type), types.hash_rihs01(stored.type)
                self._differing[key] = here != there
            return self._differing[key]
        except Exception:  # rosbags raises errors of many types for bad definitions
            return False

    def _definition(self, stored: StoredMessage) -> tuple[str, str]:
        """The definition of the type of a message of another bag, and its checksum.

        That of the bag itself, else that of this machine, else none, as in bags of Humble.
        """
        for types in (stored.types, partial(self._types_for, stored.type)):
            try:
                return _described(types(), stored.type)
            except Exception:  # rosbags raises errors of many types for bad definitions
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

    def _write(
        self, topic: str, kind: str, time: int, raw: bytes, definition: Callable[[], tuple[str, str]], latched: bool
    ) -> None:
        if self._writer is None:
            raise RecordingError(f"the bag {self.path} is closed already")
        self._check_room(len(raw))
        try:
            if (topic, kind) not in self._connections:
                text, checksum = definition()
                self._connections[topic, kind] = self._writer.add_connection(
                    topic, kind, msgdef=text, rihs01=checksum, offered_qos_profiles=[_quality(latched)]
                )
            self._writer.write(self._connections[topic, kind], time, raw)
        except OSError as error:
            writer, self._writer = self._writer, None
            self._mend(writer, error)
        self.written[topic] += 1

    def _check_room(self, size: int) -> None:
        """Check the free space, once for every few megabytes."""
        self._unchecked += size
        if 0 < self._unchecked < 2**22:
            return
        try:
            free = shutil.disk_usage(self.path).free
        except OSError as error:
            raise RecordingError(f"cannot write {self.path}: {error.strerror}") from error
        if free < self.kept_free + self._unchecked:
            self.close()
            count = sum(self.written.values())
            raise RecordingError(
                f"the disk of {shown(self.path)} is nearly full ({free // 2**20} MB left); "
                + (f"the bag was closed after {count} messages" if count else "make room, or name another folder")
            )
        self._unchecked = 0

    def _mend(self, writer: Writer, error: OSError) -> None:
        try:
            writer.abort()
            cut = mend_mcap(self.file)
        except OSError as worse:  # the disk itself is gone
            raise RecordingError(
                f"cannot write {self.file} ({error.strerror}), nor end it ({worse.strerror}); what is "
                "whole in it can still be read by sam2_ros"
            ) from error
        raise RecordingError(
            f"cannot write {self.file} ({error.strerror}); the file was ended after its last whole "
            f"part ({cut} bytes cut off) and can be read, the folder lacks metadata.yaml"
        ) from error

    def _types_for(self, kind: str) -> Typestore:
        self._know(kind)
        return self._types

    def _know(self, kind: str) -> None:
        """Read the definition of a type that rosbags does not know from the installed ROS packages."""
        if kind in self._types.types:
            return
        package, _, name = kind.partition("/msg/")
        file, idl = (share(package, "msg") / f"{name}.{suffix}" for suffix in ("msg", "idl"))
        if not file.is_file() and not idl.is_file():
            raise UnknownType(f"the message type {kind} is not known here; install or source the package {package}")
        found = get_types_from_msg(file.read_text(), kind) if file.is_file() else idl_types(idl.read_text())
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
    """A rosbags message of a type with the fields of ``source``; missing ones are empty."""
    values = {
        name: _value(types, description, getattr(source, name, None)) for name, description in types.fielddefs[kind][1]
    }
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
    """Reliable: a player then offers what every subscriber accepts."""
    forever = QosTime(9223372036, 854775807)
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST,
        1 if latched else 10,
        QosReliability.RELIABLE,
        durability,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
