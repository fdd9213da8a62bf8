"""The counts of a session and its worker since the start."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """Written where it happens, on the worker's thread but for ``turned_away``; any thread may read it.

    Images: ``processed``, ``dropped`` because a newer one had come, ``refused`` as unreadable,
    ``late``: older than an image that had come before, so left out, and ``repeated``: with the stamp of the
    one before.  restarts: times that the camera's time started again.
    Requests: ``waiting`` now, ``merged`` with another one that waited, and ``turned_away``
    because too many waited.  left_out: detections that could not be used, by reason; replaced as a whole.
    age: of the masks when they are published, in seconds since their image arrived here; the
    95th percentile of the last images, 0 before the first.
    """

    processed: int = 0
    dropped: int = 0
    refused: int = 0
    late: int = 0
    repeated: int = 0
    restarts: int = 0
    waiting: int = 0
    merged: int = 0
    turned_away: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    age: float = 0.0
