"""Limits repeated log lines: a few of each kind in a period, and a count of the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds in which a kind of line has its share.
QUIET = 5.0


class Throttle:
    """At most ``lines`` of each kind within ``QUIET`` seconds; any thread may ask."""

    def __init__(self, lines: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}  # when its while began, how many lines since then

    def line(self, kind: str, text: str) -> str:
        """What to log: ``text``, with the number of lines of this kind that were left out before; empty for nothing."""
        with self._lock:
            now = self._clock()
            began, count = self._kinds.get(kind, (now, 0))
            over = now - began >= QUIET
            self._kinds[kind] = (now, 1) if over else (began, count + 1)
        if not over:
            return text if count < self._lines else ""
        left_out = max(count - self._lines, 0)
        return f"{text} (and {left_out} more in the last {now - began:.0f} s)" if left_out else text

    def clear(self) -> None:
        """Begin again with every kind."""
        with self._lock:
            self._kinds.clear()
