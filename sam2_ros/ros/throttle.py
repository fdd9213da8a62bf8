"""Lines of a ROS logger of which there may be very many."""

from rclpy.clock import Clock, ClockType

from sam2_ros.stream.throttle import QUIET

#: For a line of a ROS logger: at most one in ``QUIET`` seconds.  By its own choice the logger takes the wall clock, and
#: says nothing for an hour when that is set back by one.
SELDOM = {"throttle_duration_sec": QUIET, "throttle_time_source_type": Clock(clock_type=ClockType.STEADY_TIME)}
