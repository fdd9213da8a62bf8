"""How many CPU threads compute the model, chosen while it runs.

On idle cores more threads are faster.  If other programs use the same cores, the threads of one operation wait for the
one that was interrupted, and so do all operations: on two busy cores two threads took up to five times as long as one.
So sometimes a few images are computed with twice or half as many threads, and the faster number is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from statistics import median

#: Images from which the usual time is known, and those of a trial.
USUAL, TRIAL = 9, 5
#: Images between two trials: at first, and at most, after trials that brought nothing.
FIRST_PAUSE, LONGEST_PAUSE = 9, 1024
#: A trial succeeds below this share of the usual time, and ends at once with an image above the second one.
FASTER, HOPELESS = 0.9, 2.0
#: When images take this many times as long as after the last trial, something has changed: there is a new one at once.
SLOWER = 1.5
#: Images after a change that are not measured: threads start, and buffers are made.
SKIPPED = 1


class ThreadChoice:
    """Tries numbers of threads; ``measured`` is called for each image, on the thread that computes.

    count: threads in use.  most: those to begin with.
    """

    def __init__(self, most: int, use: Callable[[int], object], log: Callable[[str], object]) -> None:
        """most: threads to begin with, never exceeded.  use: sets their number."""
        self.count = self.most = most
        self._use = use
        self._log = log
        self._objects = 0
        self._times: deque[float] = deque(maxlen=USUAL)
        self._usual: float | None = None  # seconds, during a trial
        self._settled = inf  # seconds after the last trial; infinite before one with so many objects
        self._chosen = most
        self._halves = True  # the next trial
        self._pause = self._images = FIRST_PAUSE
        self._skips = SKIPPED

    def measured(self, seconds: float, objects: int) -> None:
        """An image took the model ``seconds``, with so many objects; images are compared if they have equally many."""
        if objects != self._objects:
            self._objects, self._settled = objects, inf
            self._set(self._chosen)
        elif self._skips:
            self._skips -= 1
        elif self._usual is None:
            self._note_usual(seconds)
        else:
            self._note_trial(seconds, self._usual)

    def _note_usual(self, seconds: float) -> None:
        self._times.append(seconds)
        self._images -= 1
        if len(self._times) < USUAL:
            return
        if median(self._times) > SLOWER * self._settled:
            self._images, self._pause = 0, FIRST_PAUSE
        if self._images <= 0:
            self._begin_trial()

    def _begin_trial(self) -> None:
        other = max(self._chosen // 2, 1) if self._halves else min(2 * self._chosen, self.most)
        self._halves = not self._halves
        if other != self._chosen:
            usual = median(self._times)
            self._set(other)
            self._usual = usual

    def _note_trial(self, seconds: float, usual: float) -> None:
        self._times.append(seconds)
        hopeless = seconds > HOPELESS * usual
        if len(self._times) < TRIAL and not hopeless:
            return
        found = median(self._times)
        if hopeless or found >= FASTER * usual:
            self._pause, self._settled = min(2 * self._pause, LONGEST_PAUSE), usual
        else:
            self._log(
                f"CPU threads of the model: now {self.count} in place of {self._chosen}, with which an image takes "
                f"{1e3 * found:.0f} ms in place of {1e3 * usual:.0f}"
            )
            self._chosen, self._pause, self._settled = self.count, FIRST_PAUSE, found
            self._halves = not self._halves  # perhaps even more is gained in this direction
        self._set(self._chosen)
        self._images = self._pause

    def _set(self, count: int) -> None:
        """Measure from the start, with ``count`` threads."""
        self._times.clear()
        self._usual = None
        if count != self.count:
            self._use(count)
            self.count, self._skips = count, SKIPPED
