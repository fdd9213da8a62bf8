"""The velocity of a point: a Kalman filter for nearly constant velocity, the same for each coordinate."""

from __future__ import annotations

import numpy as np

#: Standard deviations: of a measured coordinate in metres, and of the acceleration in metres per second squared.
MEASURED, ACCELERATED = 0.005, 2.0
#: Of the velocity before it is known, metres per second.
AT_FIRST = 1.0
#: After this many seconds without a measurement nothing is known any more.
FORGOTTEN = 1.0


class Velocity:
    """Follows one point."""

    def __init__(self) -> None:
        self._time = 0  # of the last measurement, nanoseconds; 0 = none
        self._place = np.zeros(3)
        self._speed = np.zeros(3)
        self._doubt = np.zeros((2, 2))  # covariance of place and speed
        self._measured = 0

    def measure(self, time: int, position: np.ndarray) -> None:
        """Take in a position (3,), metres, measured at ``time`` in nanoseconds."""
        seconds = (time - self._time) / 1e9
        if not self._measured or not 0 < seconds <= FORGOTTEN:
            self._time, self._measured = time, 1
            self._place, self._speed = np.array(position, float), np.zeros(3)
            self._doubt = np.diag((MEASURED**2, AT_FIRST**2))
            return
        move = np.array(((1.0, seconds), (0.0, 1.0)))
        push = np.array((seconds**2 / 2, seconds)) * ACCELERATED
        doubt = move @ self._doubt @ move.T + np.outer(push, push)
        gain = doubt[:, 0] / (doubt[0, 0] + MEASURED**2)
        expected = self._place + seconds * self._speed
        self._place = expected + gain[0] * (position - expected)
        self._speed = self._speed + gain[1] * (position - expected)
        self._doubt = doubt - np.outer(gain, doubt[0])
        self._time, self._measured = time, self._measured + 1

    def at(self, time: int) -> np.ndarray | None:
        """The velocity (3,), metres per second; None where it is not known: after one measurement, or long ones ago."""
        if self._measured < 2 or not 0 <= time - self._time <= FORGOTTEN * 1e9:
            return None
        return self._speed
