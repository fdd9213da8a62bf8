"""File names that OpenCV and FFmpeg misread, files that are written completely or not at all, and checksums."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sam2_ros.errors import RecordingError

#: Bytes read at once for a checksum.
CHUNK = 1 << 20
#: Names without a pattern (%), a protocol (:), a query (?), or bytes that a library cannot decode.
_PLAIN = re.compile(r"[A-Za-z0-9_./+ -]*")


@contextmanager
def plain_name(path: str | Path) -> Iterator[str]:
    """A name of the file ``path`` that OpenCV can open for reading or writing, whatever its own name is.

    OpenCV ends the process for a name that is not UTF-8, takes ``%04d`` for a series of pictures
    and ``12:30.mp4`` for a network protocol.  Then this is a link, which is gone after the block;
    what was opened by then stays open.  Raises RecordingError.
    """
    name = os.path.abspath(path)
    if _PLAIN.fullmatch(name):
        yield name
        return
    try:
        folder = tempfile.TemporaryDirectory(prefix="sam2_ros-")
    except OSError as error:
        raise RecordingError(
            f"cannot open {shown(path)}: its name needs a link in the folder for temporary files ({error.strerror})"
        ) from error
    with folder as place:
        suffix = Path(name).suffix
        link = Path(place, "file" + (suffix if _PLAIN.fullmatch(suffix) else ""))
        link.symlink_to(name)
        yield str(link)


def make_folder(path: Path) -> None:
    """A folder for results, with those above it; one that exists is fine.  Raises RecordingError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"cannot create the folder {shown(path)}: {error.strerror}") from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, text as UTF-8; an existing one is replaced only once the new one is complete.

    Raises RecordingError, and leaves no incomplete file.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RecordingError(f"cannot write {shown(path)}: {error.strerror}") from error


def clear_parts(folder: Path) -> None:
    """Remove incomplete files in ``folder`` and below it, which ``write_whole`` leaves if its process is killed."""
    for part in folder.rglob(f".{'?' * 32}.part"):
        part.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The SHA256 of a file's bytes, in hexadecimal."""
    return _digest(path, hashlib.sha256())


def git_blob(path: Path) -> str:
    """The id that git gives to a file's bytes, as ``git hash-object`` prints it."""
    start = f"blob {path.stat().st_size}\0".encode()
    return _digest(path, hashlib.sha1(start, usedforsecurity=False))


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def some_of(names: Sequence[object], most: int = 12) -> str:
    """The first of some names and how many more there are, for a sentence."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def shown(text: object) -> str:
    r"""``text`` for people: bytes of a file name that are not text become escapes such as \udce9."""
    return str(text).encode("utf-8", "backslashreplace").decode()
