"""The verified files of the published checkpoints.

They are downloaded once into ``$SAM2_ROS_CACHE`` (default ``~/.cache/sam2_ros``), and looked for there first.
A file that was copied here by hand is stored there as well.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import logging
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tqdm import tqdm

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.model.names import PUBLISHED, SHIPPED, Published, known_names, without_side

logger = logging.getLogger(__name__)

#: Seconds that a silent server is waited for.
TIMEOUT = 30.0
#: Bytes read at once from the network.
CHUNK = 1 << 20
#: Errors of the disk, not of the network: it is full, or may not be written.
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}
#: What helps where a folder cannot be written.
ELSEWHERE = "free some space there, or name another folder: SAM2_ROS_CACHE=FOLDER"


def cache_folder() -> Path:
    """Where published checkpoints are kept: $SAM2_ROS_CACHE, or ~/.cache/sam2_ros."""
    return Path(os.environ.get("SAM2_ROS_CACHE") or "~/.cache/sam2_ros").expanduser()


def bring(name: str, folder: Path | None = None, source: Path | None = None) -> str:
    """Have the published weights of a known name in ``folder`` (None = the cache), and say where they are.

    source: a file that was copied here by hand, or its folder; None = the network.
    Raises CheckpointError, and InvalidInput for a name that is not known.
    """
    known, _ = without_side(name)
    if known in SHIPPED:
        return f"{name}: ships with this package"
    if known not in PUBLISHED:
        raise InvalidInput(f"{name} is not the name of published weights; known are {', '.join(known_names())}")
    published = PUBLISHED[known]
    path = published_file(published, folder=folder) if source is None else _placed(published, source, folder)
    kind, checksum = published.checksum
    return f"{name}: {path} ({path.stat().st_size / 1e6:.1f} MB, {kind} {checksum} as published)"


def overview(folder: Path | None = None) -> list[str]:
    """A line for each published file: the names that stand for it, and where it is; folder: None = the cache."""
    names: dict[Published, list[str]] = {}
    for name, published in sorted(PUBLISHED.items(), key=lambda one: len(one[0])):
        names.setdefault(published, []).append(name)
    return [f"{', '.join(known):36} {_state(published, folder)}" for published, known in names.items()]


def _state(published: Published, folder: Path | None) -> str:
    path = (folder or cache_folder()) / published.file_name
    if not path.is_file():
        return "not here"
    return str(path) if published.is_in(path) else f"{path}, which is not what was published"


def published_file(published: Published, download: bool = True, folder: Path | None = None) -> Path:
    """The verified file of a published checkpoint, fetched if need be and allowed; folder: None = the cache."""
    path = (folder or cache_folder()) / published.file_name
    kind, checksum = published.checksum
    if not path.is_file():
        if not download:
            raise CheckpointError(
                f"{published.file_name} ({kind} {checksum}) is not in {path.parent}; "
                "it is downloaded when a model is first loaded by this name, or by: sam2_ros download"
            )
        _download(published, path)
    elif not published.is_in(path):
        raise CheckpointError(
            f"{path} is not what was published (its {kind} differs): {_what_is_in(path)}; delete it and try again"
        )
    return path


def _placed(published: Published, source: Path, folder: Path | None) -> Path:
    """A file that was copied here by hand, verified and copied to where ``published_file`` looks for it."""
    path = (folder or cache_folder()) / published.file_name
    file = source / published.file_name if source.is_dir() else source
    if not file.is_file():
        raise CheckpointError(f"there is no file {file}; name the file that was copied here, or its folder")
    copy = path.with_name(path.name + ".copy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            try:
                shutil.copyfile(file, copy)
                _refuse_another(published, copy, file)
                os.replace(copy, path)
            finally:
                copy.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot copy {file} to {path} ({error.strerror}); {ELSEWHERE}") from error
    return path


def _refuse_another(published: Published, copy: Path, file: Path) -> None:
    """CheckpointError unless the copy of such a file is what was published."""
    if not published.is_in(copy):
        kind, checksum = published.checksum
        raise CheckpointError(
            f"{file} is not {published.file_name} as it was published (its {kind} is not {checksum}): "
            f"{_what_is_in(file)}; copy {published.url} here"
        )


def _what_is_in(path: Path) -> str:
    """Half a sentence on what a file holds that is not what it should be."""
    from sam2_ros.model.weights_file import what_is_in  # brings torch, which a download does without

    return what_is_in(path)


def _download(published: Published, path: Path) -> None:
    """Bring a published checkpoint to ``path`` and verify it, continuing where a former try stopped."""
    part = path.with_name(path.name + ".part")
    by_hand = f"download {published.url} by hand and put it at {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with alone(path):
            if path.is_file():  # another process fetched and verified it meanwhile
                return
            _fetch(published.url, part)
            if not published.is_in(part):
                found = _what_is_in(part)
                part.unlink()
                kind, _ = published.checksum
                raise CheckpointError(
                    f"what {published.url} sent is not what was published (its {kind} differs): {found}; "
                    f"try again, or {by_hand}"
                )
            os.replace(part, path)
    except urllib.error.HTTPError as error:
        raise CheckpointError(f"{published.url} answered {error.code} {error.reason}; {by_hand}") from error
    except (OSError, http.client.HTTPException) as error:  # URLError and time-outs among them
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            raise CheckpointError(f"cannot write {part} ({error.strerror}); {ELSEWHERE}") from error
        reason = getattr(error, "reason", error)
        raise CheckpointError(f"cannot download {published.url} ({reason}); try again, or {by_hand}") from error


@contextmanager
def alone(path: Path, doing: str = "downloads") -> Iterator[None]:
    """Keep other processes from bringing ``path`` meanwhile; waits for one that does.

    doing: what such a process does with the path, for the log.
    """
    lock = path.with_name(path.name + ".lock")
    while True:
        with open(lock, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.warning("another process %s %s; waiting for it", doing, path)
                fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, lock):
                yield
                lock.unlink(missing_ok=True)  # still locked: a process that waits for it then locks a new file
                return


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _fetch(url: str, part: Path) -> None:
    """Bring a file to ``part``, asking only for the bytes that are not there yet; OSError when it stays incomplete."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing is left to send: the checksum tells whether that is the whole file
    with response:
        if response.status != 206:  # the server sends everything again
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        if total is not None and total - have > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, f"it needs {total / 1e6:.1f} MB, and the disk has no room for that")
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(desc=part.stem, total=total, initial=have, unit="B", unit_scale=True, disable=None) as progress,
        ):
            while chunk := response.read(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
            if total is not None and file.tell() < total:
                raise OSError(f"the connection broke after {file.tell()} of {total} bytes")
