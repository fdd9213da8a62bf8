"""What MCAP and sqlite3 files have in common, and files that are compressed as a whole."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sam2_ros.errors import RecordingError
from sam2_ros.files import shown

#: How ROS 2 serialises its messages.
CDR = "cdr"
#: Suffixes of storage files, and the one that compression of a whole file appends.
SUFFIXES, COMPRESSED = (".mcap", ".db3"), ".zstd"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: "Transient local" in the QoS of a topic; a number before Jazzy.
_LATCHED = re.compile(r"durability: (1|transient_local)\b")


@dataclass(frozen=True, slots=True)
class Channel:
    """One topic of a storage file; definition and language are empty in files without definitions.

    language: of the definition.  encoding: of the messages.  latched: whether it was transient local.
    """

    topic: str
    type: str
    definition: str = ""
    language: str = ""
    encoding: str = CDR
    latched: bool = False


Stored = tuple[Channel, int, bytes]  # channel, time of recording in nanoseconds, serialised message


class StorageFile(Protocol):
    """One file of a bag.  It is only read; its folder stays unchanged.

    counts: messages of each channel.  damage: sentences on why messages may be missing.
    """

    counts: Counter[Channel]
    damage: list[str]

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[Stored]:
        """The messages on the ``wanted`` topics in the order of their times; more sentences go into ``lost``."""


def is_storage(path: Path) -> bool:
    """Whether the name of a file is that of a storage file."""
    return path.suffix in SUFFIXES or (path.suffix == COMPRESSED and Path(path.stem).suffix in SUFFIXES)


def storage_files(folder: Path) -> list[Path]:
    """The storage files of a folder in the order of their numbers; not a compressed one beside the same unpacked."""

    def numbers(path: Path) -> list[int]:
        return [int(part) for part in re.findall(r"[0-9]+", path.name)]

    found = {path.name: path for path in folder.iterdir() if is_storage(path)}
    return sorted(
        (
            path
            for name, path in found.items()
            if name.removesuffix(COMPRESSED) == name or name.removesuffix(COMPRESSED) not in found
        ),
        key=numbers,
    )


def is_latched(qualities: str) -> bool:
    """Whether a topic is transient local, by the description of its QoS."""
    return _LATCHED.search(qualities) is not None


def message_bytes(data: bytes) -> bytes:
    """The bytes of a message, decompressed if it is compressed on its own; CDR never starts like zstd."""
    return zstd().decompress(data) if data[:4] == _ZSTD_MAGIC else data


def zstd() -> Any:
    """The module for zstd: in Python from 3.14 on, otherwise a dependency of rosbags."""
    try:
        from compression import zstd as module
    except ImportError:
        from backports import zstd as module
    return module


def temporary_folder(path: Path, reason: str) -> tempfile.TemporaryDirectory[str]:
    """A folder with room for a copy of ``path``, removed with the returned object.  Raises RecordingError."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="sam2_ros-")
        free, needed = shutil.disk_usage(folder.name).free, path.stat().st_size
    except OSError as error:
        raise RecordingError(f"cannot read {shown(path)}, {reason}: {error.strerror}") from error
    if free < needed:
        raise RecordingError(
            f"cannot read {shown(path)}, {reason}: {tempfile.gettempdir()} has {free // 2**20} MB left "
            f"of the {needed // 2**20} MB that are needed; make room, or name another folder in TMPDIR"
        )
    return folder


def unpack(path: Path, target: Path, damage: list[str]) -> None:
    """Decompress a storage file, up to its first damage.  Raises RecordingError."""
    try:
        with target.open("wb") as out, zstd().open(path, "rb") as packed:
            shutil.copyfileobj(packed, out)
    except OSError as error:
        raise RecordingError(f"cannot unpack {shown(path)} into {target.parent}: {error.strerror}") from error
    except Exception as error:  # errors of zstd have types of their own
        damage.append(f"{shown(path.name)} can only be unpacked in part ({error})")
