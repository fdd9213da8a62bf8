"""Limits repeated log lines of a ROS logger."""

from typing import TypedDict

from rclpy.clock import Clock, ClockType

from sam2_ros.stream.throttle import QUIET


class _Throttled(TypedDict):
    """Options of a ROS logger."""

    throttle_duration_sec: float
    throttle_time_source_type: Clock


#: Options for a line of a ROS logger: at most one in ``QUIET`` seconds.  The logger's default is the wall clock: when
#: that is set back by an hour, the logger is silent for an hour.
SELDOM: _Throttled = {
    "throttle_duration_sec": QUIET,
    "throttle_time_source_type": Clock(clock_type=ClockType.STEADY_TIME),
}
