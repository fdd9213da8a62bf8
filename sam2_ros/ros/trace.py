"""Writes a line of JSON for each published image into a file, to look at the times later.

The first line names node and model; it is repeated where the node was started again.  All times are in seconds,
stamps in nanoseconds.  A separate thread writes the file, so that a slow or full
disk costs only the trace.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from sam2_ros.errors import InvalidInput

#: At this size [bytes] the file becomes FILE.1, in the place of an earlier one, and a new file begins: about an hour at
#: 30 images a second.
LIMIT = 32_000_000
#: Lines that may wait for the disk; more are left out and counted.
WAITING = 1000
#: Seconds that a slow disk has at the end.
PATIENCE = 2.0
#: With this a file of ours begins.
_BEGINNING = '{"trace": '


class Trace:
    """Appends to one file; ``write`` may be called by one thread."""

    def __init__(self, path: str, about: Mapping[str, Any], on_failure: Callable[[str], object]) -> None:
        """about: for the first line.  on_failure: called on another thread with the reason why the trace ended.

        Raises InvalidInput where ``path`` cannot be written, or is another file than a trace.
        """
        self.path = Path(path).expanduser()
        self._first = {"trace": 1, **about}
        self._on_failure = on_failure
        self._left_out = 0  # lines, since the last one
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._failed = False
        try:
            _refuse_other(self.path)
            self._file = self._begun()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"trace_file {path} cannot be written: {error}; name another file") from error
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def write(self, line: Mapping[str, Any]) -> None:
        """One more line; never waits."""
        if self._failed:
            return
        try:
            self._lines.put_nowait({**line, "left_out": self._left_out} if self._left_out else dict(line))
            self._left_out = 0
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Write what waits, and close the file."""
        if not self._failed:
            try:
                self._lines.put(None, timeout=PATIENCE)
            except queue.Full:  # the disk hangs; the thread is a daemon
                return
        self._thread.join(PATIENCE)

    def _begun(self) -> IO[str]:
        file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - it is closed by the thread
        file.write(json.dumps(self._first) + "\n")
        return file

    def _run(self) -> None:
        try:
            while (line := self._lines.get()) is not None:
                self._file.write(json.dumps(line) + "\n")
                if self._lines.empty():
                    self._file.flush()
                if self._file.tell() > LIMIT:
                    self._file.close()
                    os.replace(self.path, f"{self.path}.1")
                    self._file = self._begun()
            self._file.close()
        except OSError as error:
            self._failed = True
            self._on_failure(f"the trace {self.path} ends here: {error.strerror or error}; the node goes on without it")
            with suppress(OSError):
                self._file.close()  # tries to write the rest once more


def _refuse_other(path: Path) -> None:
    """Raise ValueError for a file with another content: a slip of the pen must not damage it."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            if file.read(len(_BEGINNING)) != _BEGINNING.encode():
                raise ValueError("it exists and is no trace")
