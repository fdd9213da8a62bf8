"""Reads a bag of rosbag2, one file or several, as messages in the order of recording.

The content of the files counts.  metadata.yaml is only used for the list of files, and differences are reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import yaml

from sam2_ros.errors import RecordingError, first_sentence
from sam2_ros.files import shown, some_of
from sam2_ros.recordings.bags.mcap_file import McapFile
from sam2_ros.recordings.bags.message_types import BagTypes
from sam2_ros.recordings.bags.sqlite3_file import Sqlite3File
from sam2_ros.recordings.bags.storage_file import (
    CDR,
    COMPRESSED,
    Channel,
    StorageFile,
    storage_files,
    temporary_folder,
    unpack,
)
from sam2_ros.recordings.bags.topics import Topic
from sam2_ros.recordings.recording import StoredMessage


class BagReader:
    """The messages of a bag: all of them, or the readable ones with a sentence on every loss.

    latched: the topics whose last message is also sent to later subscribers (transient local).  The bag
    and its folder are never written to.  Raises RecordingError if nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept: list[Any] = []  # temporary folders, removed with this object
        self._said: list[str] = []
        promised = _Metadata.of(path, self._said) if path.is_dir() else _Metadata([path])
        self._types = BagTypes(promised.distribution)
        try:
            self._files = [self._opened(file) for file in promised.files]
        except OSError as error:
            raise RecordingError(f"cannot read the bag {shown(path)}: {error.strerror}") from error
        counts: Counter[Channel] = Counter()
        for file in self._files:
            counts.update(file.counts)
        self._compare(counts, promised.count)
        self.latched = {channel.topic for channel in counts if channel.latched}
        self.topics = _topics(counts)
        self._refuse_if_nothing(counts)

    def messages(self, wanted: set[str], lost: list[str]) -> Iterator[StoredMessage]:
        """See ``bags.Source``."""
        lost += self._said
        for file in self._files:
            try:
                for channel, time, raw in file.messages(wanted, lost):
                    types = partial(self._types.of, channel.type, channel.definition, channel.language.endswith("idl"))
                    yield StoredMessage(time, channel.topic, channel.type, raw, types, channel.latched)
            except OSError as error:  # of reading only: errors of the caller do not arrive here
                lost.append(f"{shown(self.path)} cannot be read any further: {error.strerror}")

    def _opened(self, path: Path) -> StorageFile:
        damage: list[str] = []
        place = path
        if path.suffix == COMPRESSED:
            folder = temporary_folder(path, "which has to be unpacked")
            self._kept.append(folder)
            place = Path(folder.name, path.stem)
            unpack(path, place, damage)
        file = McapFile(place) if place.suffix == ".mcap" else Sqlite3File(place)
        file.damage[:0] = damage
        return file

    def _compare(self, counts: Counter[Channel], promised: int | None) -> None:
        """Report differences from metadata.yaml, and topics that are left out because ROS 2 did not record them."""
        found = sum(counts.values())
        if promised is not None and promised != found:
            self._said.append(
                f"metadata.yaml of {shown(self.path.name)} counts {promised} messages, "
                f"but there are {found} in its files"
            )
        foreign: Counter[tuple[str, str]] = Counter()
        for channel, count in counts.items():
            if not _is_ros(channel):
                foreign[channel.topic, channel.encoding or "no encoding"] += count
        for (topic, encoding), count in sorted(foreign.items()):
            what = encoding if encoding != CDR else "no type"
            self._said.append(f"{topic} ({what}, {count} messages) was not recorded by ROS 2 and is left out")

    def _refuse_if_nothing(self, counts: Counter[Channel]) -> None:
        damage = [sentence for file in self._files for sentence in file.damage]
        if not sum(counts.values()) and (damage or self._said):
            reasons = "; ".join([*self._said, *damage])
            raise RecordingError(f"nothing of the bag {shown(self.path)} can be read: {reasons}")
        if not self.topics and counts:
            ros1 = any(channel.encoding == "ros1" for channel in counts)
            raise RecordingError(
                f"{shown(self.path)} holds nothing that ROS 2 recorded: {'; '.join(self._said)}"
                + ("; ROS 1 did: convert it with rosbags-convert" if ros1 else "")
            )


def _is_ros(channel: Channel) -> bool:
    return channel.encoding == CDR and bool(channel.type)


def _topics(counts: Counter[Channel]) -> list[Topic]:
    found: Counter[tuple[str, str]] = Counter()
    for channel, count in counts.items():
        if _is_ros(channel):
            found[channel.topic, channel.type] += count
    return [Topic(topic, kind, count) for (topic, kind), count in sorted(found.items())]


@dataclass(frozen=True, slots=True)
class _Metadata:
    """The content of metadata.yaml: storage files, number of messages, ROS distribution."""

    files: list[Path] = field(default_factory=list)
    count: int | None = None
    distribution: str | None = None

    @classmethod
    def of(cls, folder: Path, said: list[str]) -> _Metadata:
        """Read it from the folder of a bag; missing files and those it does not list become sentences in ``said``."""
        there = storage_files(folder)
        if not (folder / "metadata.yaml").is_file():
            return cls(there)
        try:
            content = yaml.safe_load((folder / "metadata.yaml").read_bytes())["rosbag2_bagfile_information"]
            names = [PurePath(str(name)).name for name in content["relative_file_paths"]]
            count, distribution = int(content["message_count"]), str(content.get("ros_distro") or "")
        except Exception as error:  # damaged YAML raises errors of many types
            said.append(
                f"metadata.yaml of {shown(folder.name)} cannot be read ({first_sentence(error)}); "
                "reading the files without it"
            )
            return cls(there)
        # Some writers list the file without its compression.
        known = {path.name.removesuffix(COMPRESSED): path for path in there}
        wanted = [name.removesuffix(COMPRESSED) for name in names]
        files = [known[name] for name in wanted if name in known]
        missing = [name for name in wanted if name not in known]
        unknown = [path.name for name, path in known.items() if name not in wanted]
        name = shown(folder.name)
        if missing:
            said.append(f"{name} lacks {len(missing)} files ({some_of(missing)}), which its metadata.yaml lists")
        if unknown:
            what, fate = f"{len(unknown)} files ({some_of(unknown)})", "read in their place" if missing else "left out"
            said.append(f"{name} has {what}, which its metadata.yaml does not list; {fate}")
        return cls(there if missing else files, count, distribution)  # the files may have been renamed
