"""How this process uses processor and memory while torch works on a CPU; set before torch is imported."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

#: Rounds (some ten microseconds) that a thread of torch spins for its next piece of work before it
#: sleeps.  Waking a sleeper costs more than most pieces take: never to spin makes three objects half
#: as slow again.  To spin for long, the default, takes the cores from a camera driver that wants
#: them, and a frame takes five to ten times as long.
SPIN_ROUNDS = 10_000
#: glibc's numbers of these settings (malloc.h), and the most that it accepts for the second.
TRIM_THRESHOLD, MAPPING_THRESHOLD, ARENAS = -1, -3, -8
KEPT_BYTES, UNMAPPED_BYTES = 1 << 30, 32 << 20
#: Heaps of the process.  glibc gives almost every thread one of its own; each would keep what it once needed.
HEAPS = 2

T = TypeVar("T")


def prepare() -> None:
    """Let waiting threads of torch sleep soon, and keep memory that is freed: every frame needs it again.

    What the user has set in the environment (OMP_WAIT_POLICY, GOMP_SPINCOUNT, MALLOC_...) holds.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_ROUNDS))
    if not any(name.startswith("MALLOC_") for name in os.environ):
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Memory that goes back to the kernel comes back page by page, which costs up to a quarter of a frame."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library than glibc may have none
    if set_option is not None:
        set_option(MAPPING_THRESHOLD, UNMAPPED_BYTES)
        set_option(TRIM_THRESHOLD, KEPT_BYTES)
        set_option(ARENAS, HEAPS)


def on_passing_thread(work: Callable[[], T]) -> T:
    """What ``work`` returns, computed on a thread that then ends; for what torch does once, such as to load a model.

    A thread on which torch computes gets threads of OpenMP as its helpers, and keeps them while it lives.  As soon as
    all of them together are more than the cores, OpenMP lets each sleep after every piece of work, and an image takes
    twice as long: so a main thread that has loaded the model would slow down the thread that tracks.
    """
    with ThreadPoolExecutor(1, "passing") as pool:  # an interrupt waits for its end
        return pool.submit(work).result()
