"""Opens a recording of any kind."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from sam2_ros.errors import MissingDependency, RecordingError
from sam2_ros.files import shown, some_of
from sam2_ros.ranges import AUTO, limits_of
from sam2_ros.recordings.bags.bag import Bag
from sam2_ros.recordings.bags.storage_file import COMPRESSED, is_storage, storage_files
from sam2_ros.recordings.folders import sequences_in
from sam2_ros.recordings.recording import DEFAULT_RATE, Recording
from sam2_ros.recordings.videos import VIDEO_SUFFIXES, Video


def open(path: str | Path, **options: Any) -> Recording:
    """The one recording at ``path``, with the options of ``find``.  RecordingError if there are none or several."""
    found = find(path, **options)
    if len(found) > 1:
        names = [recording.name for recording in found]
        raise RecordingError(
            f"{shown(path)} holds {len(found)} sequences ({some_of(names)}); name one of them, "
            f"for example {shown(found[0].path)}"
        )
    return found[0]


def find(path: str | Path, *, rate: float | None = None, image_range: str = AUTO, **topics: Any) -> list[Recording]:
    """Every recording at ``path``: a bag, a video, a folder of pictures, or the sequences of a data set.

    rate: images per second of pictures without times.  image_range: how 16 bits become 8, see
    ``ranges.Range``.  topics: image_topic, truth_topic, node and more_topics of ``bags.Bag``.
    Raises RecordingError if there is none, and InvalidInput for an unknown image_range.
    """
    limits_of(image_range)
    found = _found(Path(path), rate, topics)
    for recording in found:
        recording.image_range = image_range
    return found


def _found(path: Path, rate: float | None, topics: dict[str, Any]) -> list[Recording]:
    try:
        kind = path.stat().st_mode
    except FileNotFoundError as error:
        raise RecordingError(f"{shown(path)} does not exist") from error
    except OSError as error:  # a name that is too long, a link to itself, a folder without permission
        raise RecordingError(f"cannot open {shown(path)}: {error.strerror}") from error
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
        raise RecordingError(
            f"{shown(path)} is neither a file nor a folder; a pipe or a device cannot be read as a recording"
        )
    if is_bag(path):
        return [_bag(path, topics)]
    if path.suffix == ".bag":
        raise RecordingError(
            f"{shown(path)} is a bag of ROS 1; convert it first: rosbags-convert --src FILE --dst FOLDER"
        )
    if path.is_dir():
        return list(sequences_in(path, rate or DEFAULT_RATE))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return [Video(path.stem, path, rate=rate or 0.0)]
    raise RecordingError(
        f"{shown(path)} is of no known kind; give a bag, a video ({', '.join(sorted(VIDEO_SUFFIXES))}) "
        "or a folder of pictures"
    )


def _bag(path: Path, topics: dict[str, Any]) -> Bag:
    try:
        from sam2_ros.recordings.bags.reader import BagReader
    except ImportError as error:  # only bags need it
        raise MissingDependency("reading bags needs the library rosbags: pip install rosbags") from error
    name = path.name if path.is_dir() else Path(path.name.removesuffix(COMPRESSED)).stem
    return Bag(name, path, source=BagReader(path), **topics)


def name_of(path: Path) -> str:
    """The name of a recording that cannot be opened: of a file without its suffix."""
    return path.stem if path.is_file() else path.name


def is_bag(path: Path) -> bool:
    """Whether ``path`` is a storage file of rosbag2 or the folder of a bag."""
    if path.is_file():
        return is_storage(path)
    return (path / "metadata.yaml").is_file() or bool(storage_files(path))
