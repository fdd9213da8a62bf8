"""MCAP files: complete ones, those without an index, and the readable part of damaged ones.

The file is read once, record by record, and needs no index, summary or metadata.yaml; with a summary the messages
need not be counted.  The stream reader of the mcap library is no substitute: it stops at the first
damage, drops a chunk that is cut off, and returns messages in the order of the file, not of time.
"""

from __future__ import annotations

import heapq
import itertools
import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sam2_ros.files import shown
from sam2_ros.recordings.bags.storage_file import CDR, Channel, Stored, is_latched, message_bytes, zstd

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK = 0x02, 0x03, 0x04, 0x05, 0x06
_CHUNK_INDEX, _STATISTICS, _DATA_END = 0x08, 0x0B, 0x0F
#: Where the time stands in the content of a message; that of a chunk begins with it.
_TIME_IN_MESSAGE = 6
#: Size of the kind and length before each record, and of the footer with the magic that ends a file.
_HEAD, _TAIL = 9, 37

Record = tuple[int, int, int]  # kind, where its content starts, length of its content
Report = Callable[[str], None]


@dataclass
class _Tables:
    """Schemas and channels by their numbers, which other records refer to."""

    schemas: dict[int, tuple[str, str, str]] = field(default_factory=dict)  # name, definition, language
    channels: dict[int, Channel] = field(default_factory=dict)

    def learn(self, kind: int, content: bytes) -> None:
        """Add a schema or a channel; other records are ignored.  Raises struct.error when it is too short."""
        if kind == _SCHEMA:
            name, language, definition = _strings(content[2:], 3)
            self.schemas[struct.unpack_from("<H", content)[0]] = name, definition, language
        elif kind == _CHANNEL:
            number, schema = struct.unpack_from("<HH", content)
            topic, encoding = _strings(content[4:], 2)
            latched = is_latched(content.decode("utf-8", "replace"))  # the qualities are text among its metadata
            self.channels[number] = Channel(topic, *self.schemas.get(schema, ("", "", "")), encoding, latched)


class McapFile:
    """See ``storage_file.StorageFile``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []
        self.counts: Counter[Channel] = Counter()
        self._tables = _Tables()
        with path.open("rb") as file:
            units = list(self._walk(file))
            counted = self._read_summary(file, units)
            self._units = sorted(_starts(file, units))
            if not counted:
                self._tables = _Tables()
                for unit in units:
                    for channel, _, _ in self._unit(file, unit, lambda _: None):
                        self.counts[channel] += 1
                self.counts.update(dict.fromkeys(self._tables.channels.values(), 0))

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[Stored]:
        """See ``storage_file.StorageFile``."""
        said: list[str] = []
        number = 0
        for stored in self._in_time(wanted, said.append):
            number += 1
            yield stored
        expected = sum(
            count for channel, count in self.counts.items() if channel.topic in wanted and channel.encoding == CDR
        )
        if number < expected and not said:
            said.append(f"{expected - number} of {expected} messages are missing, although its summary counts them")
        lost += [*self.damage, *(f"{shown(self.path.name)}: {what}" for what in said)]

    def _in_time(self, wanted: set[str], report: Report) -> Iterator[Stored]:
        waiting: list[tuple[int, int, Channel, bytes]] = []
        order = itertools.count()
        with self.path.open("rb") as file:
            for start, unit in self._units:
                while waiting and waiting[0][0] <= start:
                    yield _popped(waiting)
                for channel, time, data in self._unit(file, unit, report):
                    if channel.topic in wanted and channel.encoding == CDR:
                        heapq.heappush(waiting, (time, next(order), channel, data))
        while waiting:
            yield _popped(waiting)

    def _walk(self, file: BinaryIO) -> Iterator[Record]:
        """Chunks, and messages, schemas and channels outside of chunks, in the order of the file."""
        if file.read(len(MAGIC)) != MAGIC:
            self.damage.append(f"{shown(self.path.name)} does not start as an MCAP file does; nothing of it is read")
            return
        torn: list[str] = []
        for kind, start, length in _records(file, torn):
            if kind in (_CHUNK, _MESSAGE, _SCHEMA, _CHANNEL):
                yield kind, start, length
        if torn:
            self.damage.append(f"{shown(self.path.name)} is damaged ({torn[0]}); reading the intact part")

    def _read_summary(self, file: BinaryIO, units: list[Record]) -> bool:
        """Read counts from the summary, and chunks behind a damage; True if the counts can be used."""
        tables, counts, walked = _Tables(), {}, set(units)
        for kind, content in _summary(file):
            try:
                tables.learn(kind, content)
                if kind == _CHUNK_INDEX:
                    _, _, start, length = struct.unpack_from("<QQQQ", content)
                    unit = _CHUNK, start + _HEAD, length - _HEAD
                    if unit not in walked:
                        units.append(unit)
                elif kind == _STATISTICS:
                    counts = dict(struct.iter_unpack("<HQ", content[46:]))
            except struct.error:
                return False
        if self.damage or not counts or counts.keys() - tables.channels.keys():
            return False
        self._tables = tables
        for number, channel in tables.channels.items():
            self.counts[channel] += counts.get(number, 0)
        return True

    def _unit(self, file: BinaryIO, unit: Record, report: Report) -> Iterator[Stored]:
        """The messages of a chunk, or a message outside of chunks."""
        kind, start, length = unit
        file.seek(start)
        content = file.read(length)
        if kind != _CHUNK:
            yield from self._content(kind, content, report)
            return
        for inner, piece in _chunk_records(content, report, start - _HEAD):
            yield from self._content(inner, piece, report)

    def _content(self, kind: int, content: bytes, report: Report) -> Iterator[Stored]:
        """Remember a schema or a channel, yield a message."""
        try:
            self._tables.learn(kind, content)
            if kind != _MESSAGE:
                return
            number, _, time, _ = struct.unpack_from("<HIQQ", content)
            channel = self._tables.channels.get(number)
            if channel is None:
                report(f"a message of a channel {number} that the file does not describe is left out")
                return
            data = content[22:] if channel.encoding != CDR else message_bytes(content[22:])
        except Exception as error:  # too short, or an error of a decompressor, which has many types
            report(f"a record of {len(content)} bytes is damaged ({error}) and left out")
            return
        yield channel, time, data


def mend_mcap(path: Path) -> int:
    """Repair an MCAP file that is cut off: remove what follows its last complete record, and end it properly.

    Returns the number of bytes cut off.  What follows is 50 bytes long, less than what a torn
    record leaves behind on a full disk.  The file then has no index, so that readers scan it.
    """
    with path.open("r+b") as file:
        end = len(MAGIC) if file.read(len(MAGIC)) == MAGIC else 0
        size = os.fstat(file.fileno()).st_size
        torn: list[str] = []
        for kind, start, length in _records(file, torn):
            if torn or kind in (_DATA_END, _FOOTER):
                break
            end = start + length
        file.truncate(end)
        file.seek(end)
        file.write(struct.pack("<BQI", _DATA_END, 4, 0) + struct.pack("<BQQQI", _FOOTER, 20, 0, 0, 0) + MAGIC)
    return size - end


def _records(file: BinaryIO, torn: list[str]) -> Iterator[Record]:
    """Every record from here to the end of the data; a chunk that is cut off ends with the file."""
    size, position = os.fstat(file.fileno()).st_size, file.tell()
    while True:
        file.seek(position)
        head = file.read(_HEAD)
        kind, length = struct.unpack("<BQ", head) if len(head) == _HEAD else (0, size)
        start = position + _HEAD
        whole = start + length <= size
        if not whole:
            torn.append(f"it ends in the middle of a record, {size - position} bytes after its start at {position}")
        elif kind == 0:  # no record has this kind; it is space that was never written
            torn.append(f"there is no record at {position}, {size - position} bytes before its end")
            return
        if whole or kind == _CHUNK:
            yield kind, start, min(length, size - start)
        if not whole or kind in (_DATA_END, _FOOTER):
            return
        position = start + length


def _starts(file: BinaryIO, units: list[Record]) -> Iterator[tuple[int, Record]]:
    """Each unit with the time of its first message; schemas and channels come first."""
    for unit in units:
        kind, start, _ = unit
        if kind not in (_MESSAGE, _CHUNK):
            yield -1, unit
            continue
        file.seek(start + (_TIME_IN_MESSAGE if kind == _MESSAGE else 0))
        yield int.from_bytes(file.read(8), "little"), unit


def _summary(file: BinaryIO) -> list[tuple[int, bytes]]:
    """The records of the summary; empty if the file has none or is cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _TAIL, 0))
    tail = file.read()
    if len(tail) < _TAIL or tail[-len(MAGIC) :] != MAGIC or tail[:_HEAD] != struct.pack("<BQ", _FOOTER, 20):
        return []
    start = struct.unpack_from("<Q", tail, _HEAD)[0]
    if not 0 < start < size:
        return []
    file.seek(start)
    return list(_split(file.read(size - _TAIL - start)))


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of every complete record."""
    position = 0
    while position + _HEAD <= len(data):
        kind, length = struct.unpack_from("<BQ", data, position)
        position += _HEAD + length
        if position <= len(data):
            yield kind, data[position - length : position]


def _chunk_records(content: bytes, report: Report, start: int) -> Iterator[tuple[int, bytes]]:
    """(kind, content) of every complete record of one chunk; faults are reported."""
    try:
        _, _, size, checksum, name_length = struct.unpack_from("<QQQII", content)
        compression = content[32 : 32 + name_length].decode()
        data = _decompressed(content[40 + name_length :], compression)
        if checksum and len(data) == size and zlib.crc32(data) != checksum:
            raise ValueError("its checksum does not agree")
    except Exception as error:  # decompressors raise errors of many types
        report(f"the chunk of {len(content)} bytes at {start} is damaged ({error}) and left out")
        return
    if len(data) < size:
        report(f"of the chunk at {start} the first {len(data)} of {size} bytes are left")
    yield from _split(data)


def _decompressed(data: bytes, compression: str) -> bytes:
    """The decompressed data, or its first part where ``data`` is cut off."""
    if not compression:
        return data
    if compression == "zstd":
        decompressor = zstd().ZstdDecompressor()
    elif compression == "lz4":
        import lz4.frame

        decompressor = lz4.frame.LZ4FrameDecompressor()
    else:
        raise ValueError(f"unknown compression {compression!r}")
    return bytes(decompressor.decompress(data))


def _strings(content: bytes, count: int) -> list[str]:
    """The first ``count`` texts, each of which has its length in bytes before it."""
    found, position = [], 0
    for _ in range(count):
        length = struct.unpack_from("<I", content, position)[0]
        found.append(content[position + 4 : position + 4 + length].decode("utf-8", "replace"))
        position += 4 + length
    return found


def _popped(waiting: list[tuple[int, int, Channel, bytes]]) -> Stored:
    time, _, channel, data = heapq.heappop(waiting)
    return channel, time, data
