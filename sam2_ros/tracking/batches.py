"""How many objects are followed at once: what a GPU does best, and fewer for a while after memory ran out."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sam2_ros.errors import first_sentence
from sam2_ros.model.device_memory import fits, release
from sam2_ros.model.full_memory import encode, follow
from sam2_ros.model.interface import Model

logger = logging.getLogger(__name__)

#: Numbers of objects at once that are timed at the start.
TRIED = (1, 2, 4, 8, 16)
#: How often each of them is timed.
ROUNDS = 3
#: A number is only timed if that ends within these seconds from the start.
BUDGET = 2.0
#: Of several numbers that need almost the same time for each object, the largest is best: each batch is waited for.
ALMOST = 1.05
#: After this many images without a lack of memory, twice as many objects are followed at once.
PATIENCE = 100
#: If memory runs out again, the next try comes after twice as many images, up to this many.
LONGEST_PATIENCE = 10_000

T = TypeVar("T")


class Batches:
    """Divides objects into batches, each of which is followed at once; at first all objects are one batch."""

    def __init__(self) -> None:
        self._best = sys.maxsize
        self._most = sys.maxsize
        self._patience = PATIENCE
        self._images = 0  # since the batches became smaller or larger
        self._grew = False  # whether the last change made them larger

    def measure(self, model: Model, wait: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> None:
        """Time some numbers of objects at once; from now on no batch is larger than the best one.

        wait: returns when the device has computed what it was asked for.
        """
        try:
            found = seconds_for_each(model, wait, clock)
        except RuntimeError as error:  # of CUDA; the tracker works without
            logger.warning(
                "cannot measure how many objects are best followed at once (%s); all are", first_sentence(error)
            )
            return
        if found:
            best = max(objects for objects, seconds in found.items() if seconds <= ALMOST * min(found.values()))
            self._best, self._most = best, min(best, self._most)
            logger.info("up to %d objects are followed at once: %.2f ms for each", best, 1e3 * found[best])

    def of(self, targets: Sequence[T]) -> list[Sequence[T]]:
        """The objects in batches."""
        step = min(self._most, max(len(targets), 1))
        return [targets[first : first + step] for first in range(0, len(targets), step)]

    def shrink(self, count: int) -> None:
        """There was no memory for ``count`` objects at once, at least 2: halve the batches."""
        self._most, self._images = count // 2, 0
        if self._grew:
            self._patience = min(2 * self._patience, LONGEST_PATIENCE)
        self._grew = False
        logger.warning(
            "no memory for %d objects at once; for now they are followed in batches of %d, which is slower",
            count,
            self._most,
        )

    def next_image(self) -> None:
        """A new image comes; after enough of them the batches grow again."""
        if self._most >= self._best:
            return
        self._images += 1
        if self._images > self._patience:
            self._most, self._images, self._grew = min(2 * self._most, self._best), 0, True


def seconds_for_each(
    model: Model, wait: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """Seconds for each object by the number of objects at once, as far as memory and ``BUDGET`` reach."""
    end = clock() + BUDGET
    features = encode(model)
    found: dict[int, float] = {}

    def rounds(objects: int, spent: list[float]) -> None:
        for _ in range(ROUNDS):
            started = clock()
            follow(model, features, objects)
            wait()
            spent.append(clock() - started)

    for objects in TRIED:
        spent: list[float] = []
        if not fits(partial(rounds, objects, spent)):
            break
        found[objects] = min(spent) / objects  # the first round also chooses kernels
        if clock() + 2 * sum(spent) > end:  # twice as many objects take at most twice as long
            break
    release()
    return found
