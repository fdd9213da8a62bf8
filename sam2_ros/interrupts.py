"""The signals that end a process: Ctrl-C, a terminal that is closed, ``kill``.

On SIGINT and SIGTERM ROS shuts down, which ends every spin.  Python, too, would raise KeyboardInterrupt on SIGINT,
wherever the main thread is.  Inside a Condition (the executor's thread pool and queues have some) the lock then stays
locked, and a process that waits for its other threads never ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from sam2_ros.errors import Sam2RosError

#: SIGHUP comes when a terminal is closed; nohup has it ignored.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Takes the signals that end a process inside a ``with`` block of the main thread.

    Start ROS and shut it down inside the block: it sees SIGINT and SIGTERM first and passes them on.  Only inside
    ``raised`` does a signal do anything else.  No signal ends the process before the block is left, however often
    it comes: a bag, for example, must still be closed.  An exception of ROS after its shutdown leaves the block as a
    KeyboardInterrupt.  came: the number of the first signal, 0 before.
    """

    #: The block that is entered; None outside.
    active: Interrupts | None = None

    def __init__(self) -> None:
        self.came = 0
        self._raise = False
        self._held = False
        self._process = os.getpid()
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # no other thread may, or gets signals
            taken = [
                number for number in ENDING if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
            ]
            self._former = {number: signal.signal(number, self._take) for number in taken}
        Interrupts.active = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        Interrupts.active = None
        for number, former in self._former.items():
            signal.signal(number, former)
        if self.came and isinstance(error, Exception) and not isinstance(error, Sam2RosError):
            raise KeyboardInterrupt from error  # ROS was shut down while something was started on it

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Inside it the first signal is a KeyboardInterrupt: for long work that does not end when ROS shuts down."""
        self._raise = True
        try:
            if self.came:
                raise KeyboardInterrupt
            yield
        finally:
            self._raise = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside it a signal waits: Python prints and loses what is raised while it forks."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.came:
            self._interrupt()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker process that was forked off; nobody waits for what it closes
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.came = self.came or number
        if number == signal.SIGHUP:
            os.kill(os.getpid(), signal.SIGTERM)  # which ROS knows
        if not self._held:
            self._interrupt()

    def _interrupt(self) -> None:
        """Raise a KeyboardInterrupt inside of ``raised``, once."""
        if self._raise:
            self._raise = False
            raise KeyboardInterrupt


@contextmanager
def immediate() -> Iterator[None]:
    """Ctrl-C ends the process at once: a KeyboardInterrupt while an extension module starts may dump core."""
    main = threading.current_thread() is threading.main_thread()
    if (
        not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):  # ignored, as in the background of a script, or somebody else's
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
