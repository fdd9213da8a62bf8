"""Times of frames, whole and by stage, and the rows of the table that is made of them."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

#: The stages of a frame, and the methods of our model that they are; decode_mask is not used here.
STAGES = {"encode": "encode_image", "attend": "attend", "decode": "decode", "remember": "encode_memory"}


class Stopwatch:
    """Seconds of each frame, whole and by stage."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.frames: list[dict[str, float]] = []
        self._spent: defaultdict[str, float] = defaultdict(float)

    def watch(self, owner: Any, methods: Mapping[str, str]) -> None:
        """Add the time of the ``methods`` of an object, by stage, to that stage."""
        for stage, name in methods.items():
            setattr(owner, name, self._timed(stage, getattr(owner, name)))

    def frame(self, step: Callable[[int], object], number: int) -> None:
        """Take the step of frame ``number``, and keep its times."""
        self._spent.clear()
        self._timed("frame", step)(number)
        self.frames.append(dict(self._spent))

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = self._now()
            result = function(*args, **options)
            self._spent[stage] += self._now() - start
            return result

        return timed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


@dataclass
class Row:
    """Times of one contender in milliseconds: median and deciles of whole frames, medians of the stages.

    faster: by the name of another contender, the median over the frames of that one's time over this one's.
    """

    size: str
    side: int
    contender: str
    objects: int
    median: float
    p10: float
    p90: float
    stages: dict[str, float]
    faster: dict[str, float] = field(default_factory=dict)


def rows_of(
    size: str, side: int, objects: int, timed: Mapping[str, Sequence[Mapping[str, float]]], references: Sequence[str]
) -> list[Row]:
    """A row for each contender from the seconds of its timed frames; all were timed on the same frames, in turn.

    references: the contenders that the others are compared with.
    """
    rows = []
    for name, frames in timed.items():
        row = _row(Row(size, side, name, objects, 0.0, 0.0, 0.0, {}), frames)
        for other in references:
            if other != name:
                pairs = zip(timed[other], frames)
                row.faster[other] = statistics.median(theirs["frame"] / own["frame"] for theirs, own in pairs)
        rows.append(row)
    return rows


def _row(row: Row, frames: Sequence[Mapping[str, float]]) -> Row:
    """The row with the times of these frames."""
    spent = {stage: [1000 * frame.get(stage, 0.0) for frame in frames] for stage in ("frame", *STAGES)}
    whole = spent.pop("frame")
    spent["rest"] = [frame - sum(stages) for frame, *stages in zip(whole, *spent.values())]
    deciles = statistics.quantiles(whole, n=10, method="inclusive") if len(whole) > 1 else whole
    row.median, row.p10, row.p90 = statistics.median(whole), deciles[0], deciles[-1]
    row.stages = {stage: statistics.median(times) for stage, times in spent.items()}
    return row


def header(references: Sequence[str]) -> str:
    """The first two lines of the table, in Markdown."""
    against = [f"times as fast as {name}" for name in references]
    return table_lines(["model", "objects", "", "ms per frame (p10 to p90)", *STAGES, "rest", *against], first=True)


def line(row: Row, references: Sequence[str]) -> str:
    """A row of the table."""
    spread = f"{row.median:.0f} ({row.p10:.0f} to {row.p90:.0f})"
    stages = [f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}" for ms in row.stages.values()]
    against = [f"{row.faster[name]:.2f}" if name in row.faster else "" for name in references]
    return table_lines([f"{row.size} {row.side}", str(row.objects), row.contender, spread, *stages, *against])


def table_lines(cells: Sequence[str], *, first: bool = False) -> str:
    """Cells as a line of Markdown, the first one with the line below it."""
    below = f"\n|{' --- |' * len(cells)}" if first else ""
    return f"| {' | '.join(cells)} |{below}"
