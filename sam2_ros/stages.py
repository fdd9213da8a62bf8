"""Measures the time of each stage of an image, for the diagnostics and the trace.

The worker collects the times of its thread with ``collected``; code that it calls marks a stage with ``stage``.
Outside of ``collected`` a stage costs nothing, so a prompt or a replay is not measured:

    with collected(times := {}), stage("encode"):
        ...
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

#: In their order.  queue: an image waits for the tracker.  convert: the message becomes pixels.  encode, attend,
#: decode, remember: the model and the memory.  masks: at the size of the image.  locate: in 3-D.  publish: messages.
STAGES = ("queue", "convert", "encode", "attend", "decode", "remember", "masks", "locate", "publish")
#: Those that the model computes.
MODEL_STAGES = ("encode", "attend", "decode", "remember")
#: The percentiles that are reported.
PERCENTILES = (50, 95, 99)
#: They are taken over this many images.
WINDOW = 300

_times: ContextVar[dict[str, float] | None] = ContextVar("times", default=None)


@contextmanager
def collected(times: dict[str, float] | None) -> Iterator[None]:
    """Add the seconds of each stage in this block, on this thread, to ``times``; None: collect nothing."""
    token = _times.set(times)
    try:
        yield
    finally:
        _times.reset(token)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """This block is the stage ``name`` of the image that is being worked on; a stage may have several blocks."""
    times = _times.get()
    if times is None:
        yield
        return
    started = time.perf_counter()
    try:
        yield
    finally:
        times[name] = times.get(name, 0.0) + time.perf_counter() - started


class StageTimes:
    """The times of the last ``WINDOW`` images; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._window: deque[Mapping[str, float]] = deque(maxlen=WINDOW)

    def __len__(self) -> int:
        return len(self._window)

    def add(self, times: Mapping[str, float]) -> None:
        """The seconds of each stage of one more image, which must not change any more."""
        with self._lock:
            self._window.append(times)

    def percentiles(self) -> dict[str, tuple[float, ...]]:
        """Seconds at ``PERCENTILES`` of each stage, and of their sum as "total"; empty before the first image."""
        with self._lock:
            window = list(self._window)
        if not window:
            return {}
        rows = {name: [times.get(name, 0.0) for times in window] for name in STAGES}
        rows["total"] = [sum(times.values()) for times in window]
        return {name: tuple(np.percentile(row, PERCENTILES).tolist()) for name, row in rows.items()}
