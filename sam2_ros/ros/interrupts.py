"""Ctrl-C that always ends a process.

ROS takes SIGINT by shutting down, which ends every spin.  Python takes it, too, with a KeyboardInterrupt
wherever the main thread happens to be; inside a Condition (the executor's thread pool and queues have some) the
lock then stays taken, and a process that waits for its other threads never ends.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Takes SIGINT inside a ``with`` block of the main thread; ROS must be started in there, since it passes the signal on.

    The signal is a KeyboardInterrupt until ``leave_to_ros``, and from then on ROS alone has it.  That goes for a
    second one, too: it would skip what other threads wait for, and the bag of a recorder must be closed.
    """

    def __init__(self) -> None:
        self._left_to_ros = False
        self._former: Any = None

    def __enter__(self) -> Interrupts:
        self._former = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._former)

    def leave_to_ros(self) -> None:
        """To be called when all that follows is ended by ROS shutting down."""
        self._left_to_ros = True

    def _take(self, number: int, frame: FrameType | None) -> None:
        if not self._left_to_ros:
            raise KeyboardInterrupt
