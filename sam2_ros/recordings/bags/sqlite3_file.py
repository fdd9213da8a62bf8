"""sqlite3 files of rosbag2: complete ones, those of a killed recorder, and the readable part of damaged ones."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sam2_ros.errors import RecordingError
from sam2_ros.files import shown
from sam2_ros.recordings.bags.storage_file import CDR, Channel, Stored, is_latched, message_bytes, temporary_folder

#: The size of a write-ahead log without messages.
_EMPTY_LOG = 32
#: The start of a journal that is still valid.
_JOURNAL = b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"


class Sqlite3File:
    """See ``storage_file.StorageFile``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._place = self._settled()
        with self._connection() as connection:
            self._channels = self._read_channels(connection)
            numbers = Counter(row[0] for row in self._rows(connection, "SELECT topic_id FROM messages", self.damage))
        self.counts: Counter[Channel] = Counter()
        for number, channel in self._channels.items():
            self.counts[channel] += numbers.pop(number, 0)
        if numbers:
            self.damage.append(f"{shown(path.name)}: {sum(numbers.values())} messages lie on pages that are gone")

    def _settled(self) -> Path:
        """The file, or a copy of it and of its journal: to apply a journal, SQLite writes into the folder."""
        log, journal = Path(f"{self.path}-wal"), Path(f"{self.path}-journal")
        beside = [log] if log.is_file() and log.stat().st_size > _EMPTY_LOG else []
        beside += [journal] if journal.is_file() and _starts_with(journal, _JOURNAL) else []
        if not beside:
            return self.path
        reason = f"which needs a copy because there are messages in {', '.join(shown(path.name) for path in beside)}"
        self._copy = temporary_folder(self.path, reason)
        place = Path(self._copy.name, "bag.db3")
        try:
            for path in (self.path, *beside):
                shutil.copyfile(path, f"{place}{path.name.removeprefix(self.path.name)}")
        except OSError as error:
            raise RecordingError(f"cannot read {shown(self.path)}, {reason}: {error.strerror}") from error
        return place

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file such that SQLite never writes to it or its folder."""
        kind = "immutable=1" if self._copy is None else "mode=rw"
        try:
            # The caller may close this in another thread: replays read ahead.
            connection = sqlite3.connect(
                f"file:{quote(os.fsencode(self._place.absolute()))}?{kind}", uri=True, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise RecordingError(f"cannot open {shown(self.path)}: {error}") from error
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            if self._copy is None:
                # SQLite refuses a file that is shorter than its header says, except with this setting for repairs.
                list(self._rows(connection, "PRAGMA writable_schema=ON", []))
            yield connection
        finally:
            connection.close()

    def _read_channels(self, connection: sqlite3.Connection) -> dict[int, Channel]:
        tables = {row[0] for row in self._rows(connection, "SELECT name FROM sqlite_master", self.damage)}
        if not {"topics", "messages"} <= tables:
            self.damage += (
                [] if self.damage else [f"{shown(self.path.name)} is not a bag: it lacks the tables of rosbag2"]
            )
            return {}
        definitions = {}
        if "message_definitions" in tables:  # not in bags before Iron
            columns = "topic_type, encoded_message_definition, encoding"
            rows = self._rows(connection, f"SELECT {columns} FROM message_definitions", self.damage)
            definitions = {kind: (str(text), str(language)) for kind, text, language in rows}
        found = {}
        for row in self._rows(connection, "SELECT * FROM topics", self.damage):
            if len(row) < 4 or not isinstance(row[0], int):
                self.damage.append(f"{shown(self.path.name)}: a row of the table topics is damaged and left out")
                continue
            number, topic, kind, encoding, *qualities = row  # the oldest bags have no QoS
            found[number] = Channel(
                str(topic), str(kind), *definitions.get(kind, ("", "")), str(encoding), is_latched(str(qualities))
            )
        return found

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[Stored]:
        """See ``storage_file.StorageFile``."""
        lost += self.damage
        numbers = {
            number for number, channel in self._channels.items() if channel.topic in wanted and channel.encoding == CDR
        }
        if not numbers:
            return
        query = (
            "SELECT id, topic_id, timestamp, data FROM messages "
            f"WHERE topic_id IN ({', '.join(str(int(number)) for number in numbers)}) ORDER BY "
        )
        with self._connection() as connection:
            torn: list[str] = []
            newest = -1
            at_newest: set[int] = set()
            for number, channel, time, data in self._read(connection, f"{query}timestamp, id", torn, lost):
                at_newest = {number} if time != newest else at_newest | {number}
                newest = time
                yield channel, time, data
            if not torn:
                return
            # The index by time is damaged: read the rest in the order of the file.
            for number, channel, time, data in self._read(connection, f"{query}id", lost, lost):
                if time > newest or (time == newest and number not in at_newest):
                    yield channel, time, data

    def _read(
        self, connection: sqlite3.Connection, query: str, torn: list[str], lost: list[str]
    ) -> Iterator[tuple[int, Channel, int, bytes]]:
        bad = 0
        for number, topic, time, data in self._rows(connection, query, torn):
            try:
                found = number, self._channels[topic], int(time), message_bytes(bytes(memoryview(data)))
            except Exception:  # another type in the column, or an error of a decompressor, which has many types
                bad += 1
                continue
            yield found
        if bad:
            lost.append(f"{shown(self.path.name)}: {bad} messages are damaged and left out")

    def _rows(self, connection: sqlite3.Connection, query: str, lost: list[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a query before the first page that cannot be read."""
        count = 0
        try:
            for row in connection.execute(query):
                count += 1
                yield row
        except sqlite3.Error as error:
            table = query.partition(" FROM ")[2].partition(" ")[0] or "schema"
            lost.append(f"{shown(self.path.name)}: table {table} is damaged after {count} rows ({error})")


def _starts_with(path: Path, start: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(start)) == start
