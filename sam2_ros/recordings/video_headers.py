"""The headers of video files: whether a file is complete, and its duration.

OpenCV tells neither where a file ends too early nor which images an edit list leaves out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Parts of Matroska files.
_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@dataclass(frozen=True, slots=True)
class Container:
    """The state of a file.

    missing: number of bytes missing at the end.  broken: whether the sequence of its parts is damaged.
    seconds: its duration, 0 if unknown.
    """

    missing: int = 0
    broken: bool = False
    seconds: float = 0.0


def container_of(path: Path) -> Container:
    """The state of an MP4, QuickTime, AVI, Matroska or WebM file; other files count as complete."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            start = file.read(12)
            if start[:4] == b"RIFF":
                missing = max(8 + struct.unpack_from("<I", start, 4)[0] - size, 0)
                return Container(missing, broken=not missing and not _has_sound_chunks(file, size))
            if start[4:8] in _BOXES:
                return _mp4(file, size)
            if start[:4] == _HEADER.to_bytes(4, "big"):
                return _matroska(file, size)
    except (OSError, struct.error, IndexError):  # the file ends inside a number
        return Container(broken=True)
    return Container()


def _has_sound_chunks(file: BinaryIO, size: int) -> bool:
    """Whether the chunks of an AVI file follow each other up to its end, those inside of lists among them."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        if not (name.isascii() and name.decode().isprintable()) or place + 8 + length > size:
            return False
        place += 12 if name in (b"RIFF", b"LIST") else 8 + length + length % 2
    return True


def _mp4(file: BinaryIO, size: int) -> Container:
    end, seconds = 0, 0.0
    while end + 8 <= size:
        file.seek(end)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = struct.unpack(">Q", file.read(8))[0]
        if length < 8:  # 0: up to the end of the file
            break
        if name == b"moov":
            seconds = _seconds(file.read(min(length, 2**26)))
        end += length
    return Container(max(end - size, 0), seconds=seconds)


def _seconds(moov: bytes) -> float:
    """The duration in the header of a movie, after its edit lists."""
    place = moov.find(b"mvhd") + 4
    if place < 4:
        return 0.0
    long = moov[place] == 1
    scale, duration = struct.unpack_from(">IQ" if long else ">II", moov, place + (20 if long else 12))
    return duration / scale if scale else 0.0


def _matroska(file: BinaryIO, size: int) -> Container:
    end = 0
    for wanted in (_HEADER, _SEGMENT):
        file.seek(end)
        name, known_end = _element(file)
        if name != wanted or known_end is None:  # the length was unknown when it was written
            return Container(broken=name != wanted)
        end = known_end
    if end > size:
        return Container(end - size)
    return Container(broken=not _is_sound(file, end))


def _is_sound(file: BinaryIO, end: int) -> bool:
    """Whether the elements from here on fill their parent, which ends at ``end``; clusters are checked inside."""
    while file.tell() < end:
        name, last = _element(file)
        if last is None:  # of unknown length
            return True
        if not name or last > end or (name == _CLUSTER and not _is_sound(file, last)):
            return False
        file.seek(last)
    return True


def _element(file: BinaryIO) -> tuple[int, int | None]:
    """The name of an element, 0 for none, and where it ends, None where that is unknown.

    The file then stands at its content.
    """
    first = file.read(1)[0]
    rest = 8 - first.bit_length()
    name = int.from_bytes(bytes([first]) + file.read(rest), "big") if rest < 4 else 0
    first = file.read(1)[0]
    rest = 8 - first.bit_length()
    length = int.from_bytes(bytes([first & (0xFF >> rest + 1)]) + file.read(rest), "big")
    return name, None if length == (1 << 7 * (rest + 1)) - 1 else file.tell() + length
