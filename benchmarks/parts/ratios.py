"""Two programs that are timed in turn: how many times slower is the second, and how sure is that?

A busy machine makes single times useless, but it slows both programs alike within a few seconds.  So rounds are short,
each gives one ratio, and their median is what counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: How many times the rounds are drawn again.
DRAWN = 4000


@dataclass(frozen=True)
class Ratio:
    """The median of the rounds, and the interval that holds it with the given confidence."""

    median: float
    low: float
    high: float
    rounds: int

    def exceeds(self, bound: float) -> bool:
        """Whether the whole interval lies above ``bound``: noise alone does not do that."""
        return self.low > bound

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.low:.3f} to {self.high:.3f}, {self.rounds} rounds)"


def ratio(base: Sequence[float], other: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Ratio:
    """Times of ``other`` over those of ``base``, round by round, with a bootstrap interval of the median."""
    logs = np.log(np.asarray(other, np.float64) / np.asarray(base, np.float64))
    rng = np.random.default_rng(seed)
    medians = np.median(logs[rng.integers(0, len(logs), (DRAWN, len(logs)))], axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    median, low, high = (float(np.exp(value)) for value in (np.median(logs), low, high))
    return Ratio(median, low, high, len(logs))
