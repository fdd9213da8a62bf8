"""Storage files of rosbag2 that a reader refuses, because a recorder was killed or a disk failed.

What is whole is read from the front; a sentence for each loss goes into ``lost``.  Nothing
here needs an index, a summary, a footer or a metadata.yaml.
"""

from __future__ import annotations

import os
import re
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END, _FOOTER = 0x03, 0x04, 0x05, 0x06, 0x0F, 0x02
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: "Transient local" in the qualities of service of a topic, as a number before Jazzy.
_LATCHED = re.compile(r"durability: (1|transient_local)\b")


@dataclass(frozen=True, slots=True)
class Channel:
    """What a storage file says of one topic; definition and encoding are empty where it does not keep them.

    latched: whether who subscribes later got its messages too.
    """

    topic: str
    type: str
    definition: str = ""
    encoding: str = ""
    latched: bool = False


Stored = tuple[Channel, int, bytes]  # channel, time of recording in nanoseconds, serialised message


def scan(path: Path, lost: list[str]) -> Iterator[Stored]:
    """Every whole message of a damaged .mcap or .db3 file, in the order of the file."""
    yield from (scan_mcap if path.suffix == ".mcap" else scan_sqlite3)(path, lost)


# -- MCAP ----------------------------------------------------------------------------------------

def scan_mcap(path: Path, lost: list[str]) -> Iterator[Stored]:
    """Every whole message of a damaged MCAP file; a damaged chunk is skipped, the next one is read."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            lost.append(f"{path.name} does not start as an MCAP file does; nothing of it can be read")
            return
        tables: tuple[dict, dict] = ({}, {})
        for kind, start, content in _records(file, path, lost):
            if kind != _CHUNK:
                yield from _content(kind, content, tables)
                continue
            for inner, piece in _chunk_records(content, lambda what: lost.append(f"{path.name}: {what}"), start):
                yield from _content(inner, piece, tables)


def mend_mcap(path: Path) -> int:
    """Make a broken-off MCAP file whole in place: cut it after its last whole record and end it properly.

    Returns the number of bytes cut off.  What follows is 50 bytes long, less than what a torn
    record leaves behind on a full disk.  The file then has no index, so that readers scan it.
    """
    with path.open("r+b") as file:
        end = len(MAGIC) if file.read(len(MAGIC)) == MAGIC else 0
        size = os.fstat(file.fileno()).st_size
        torn: list[str] = []
        for kind, start, content in _records(file, path, torn):
            if torn or kind in (_DATA_END, _FOOTER):
                break
            end = start + 9 + len(content)
        file.truncate(end)
        file.seek(end)
        file.write(struct.pack("<BQI", _DATA_END, 4, 0) + struct.pack("<BQQQI", _FOOTER, 20, 0, 0, 0) + MAGIC)
    return size - end


def _records(file: BinaryIO, path: Path, lost: list[str]) -> Iterator[tuple[int, int, bytes]]:
    """(kind, position, content) of every record up to the end of the data; a broken-off chunk ends with the file."""
    size = os.fstat(file.fileno()).st_size
    while True:
        start = file.tell()
        head = file.read(9)
        kind, length = struct.unpack("<BQ", head) if len(head) == 9 else (0, size)
        whole = start + 9 + length <= size
        if not whole:
            lost.append(f"{path.name} ends in the middle of a record, {size - start} bytes after its start at {start}")
        if whole or kind == _CHUNK:
            yield kind, start, file.read(length)
        if not whole or kind in (_DATA_END, _FOOTER):
            return


def _chunk_records(content: bytes, report: Callable[[str], None], start: int) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of every whole record of one chunk; what is not as it should be is reported."""
    try:
        _, _, size, checksum, name_length = struct.unpack_from("<QQQII", content)
        compression = content[32:32 + name_length].decode()
        data = _decompressed(content[40 + name_length:], compression)
        if checksum and len(data) == size and zlib.crc32(data) != checksum:
            raise ValueError("its checksum does not agree")
    except Exception as error:  # whatever a decompressor makes of damaged data
        report(f"the chunk of {len(content)} bytes at {start} is damaged ({error}) and left out")
        return
    if len(data) < size:
        report(f"of the chunk at {start} the first {len(data)} of {size} bytes are left")
    position = 0
    while position + 9 <= len(data):
        kind, length = struct.unpack_from("<BQ", data, position)
        position += 9 + length
        if position <= len(data):
            yield kind, data[position - length:position]


def _content(kind: int, content: bytes, tables: tuple[dict, dict]) -> Iterator[Stored]:
    """Remember a schema or a channel, yield a message."""
    schemas, channels = tables
    if kind == _SCHEMA:
        name, encoding, definition = _strings(content[2:], 3)
        schemas[struct.unpack_from("<H", content)[0]] = name, definition, encoding
    elif kind == _CHANNEL:
        number, schema = struct.unpack_from("<HH", content)
        topic, _ = _strings(content[4:], 2)
        latched = _is_latched(content.decode("utf-8", "replace"))  # the qualities are text among its metadata
        channels[number] = Channel(topic, *schemas.get(schema, ("", "", "")), latched)
    elif kind == _MESSAGE and len(content) >= 22:
        number, _, time, _ = struct.unpack_from("<HIQQ", content)
        if number in channels:
            yield channels[number], time, _message(content[22:])


def _is_latched(qualities: str) -> bool:
    return _LATCHED.search(qualities) is not None


def _strings(content: bytes, count: int) -> list[str]:
    found, position = [], 0
    for _ in range(count):
        length = struct.unpack_from("<I", content, position)[0]
        found.append(content[position + 4:position + 4 + length].decode("utf-8", "replace"))
        position += 4 + length
    return found


def _decompressed(data: bytes, compression: str) -> bytes:
    """As much as ``data``, which may be broken off, gives."""
    if compression == "zstd":
        return _zstd(data)
    if compression == "lz4":
        import lz4.frame
        return lz4.frame.LZ4FrameDecompressor().decompress(data)
    if compression:
        raise ValueError(f"unknown compression {compression!r}")
    return data


def _zstd(data: bytes) -> bytes:
    try:
        from compression import zstd  # Python 3.14
    except ImportError:
        from backports import zstd  # comes with rosbags
    return zstd.ZstdDecompressor().decompress(data)


def _message(data: bytes) -> bytes:
    """A message that was compressed on its own, which only the lost metadata.yaml says; CDR never starts so."""
    return _zstd(data) if data[:4] == _ZSTD_MAGIC else data


# -- sqlite3 -------------------------------------------------------------------------------------

def scan_sqlite3(path: Path, lost: list[str]) -> Iterator[Stored]:
    """Every message of a damaged sqlite3 file that lies before its first unreadable page."""
    def rows(query: str) -> Iterator[tuple]:
        count = 0
        try:
            for row in connection.execute(query):
                count += 1
                yield row
        except sqlite3.Error as error:
            table = query.partition(" FROM ")[2].split()[0]
            lost.append(f"{path.name}: table {table} is damaged after {count} rows ({error})")

    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        # SQLite refuses a file that is shorter than its header says, except to those who repair it.
        list(rows("PRAGMA writable_schema=ON"))
        tables = {name for name, in rows("SELECT name FROM sqlite_master")}
        definitions = {}
        if "message_definitions" in tables:  # bags before Iron do not keep them
            columns = "topic_type, encoded_message_definition, encoding"
            definitions = {kind: rest for kind, *rest in rows(f"SELECT {columns} FROM message_definitions")}
        topics = rows("SELECT * FROM topics") if "topics" in tables else ()  # the first bags know no qualities
        channels = {number: Channel(topic, kind, *definitions.get(kind, ("", "")), _is_latched(str(qualities)))
                    for number, topic, kind, _, *qualities in topics}
        messages = rows("SELECT topic_id, timestamp, data FROM messages ORDER BY id") if channels else ()
        unknown = 0
        for number, time, data in messages:
            unknown += number not in channels
            if number in channels:
                yield channels[number], time, _message(data)
        if unknown:
            lost.append(f"{path.name}: {unknown} messages lie on pages that are gone")
    finally:
        connection.close()
