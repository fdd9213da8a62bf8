"""Lines of a ROS logger of which there may be very many."""

import time

import pytest

pytest.importorskip("rclpy")

from sam2_ros.ros.throttle import SELDOM


def test_lines_of_the_logger_do_not_stop_when_the_wall_clock_is_set_back():
    assert abs(SELDOM["throttle_time_source_type"].now().nanoseconds / 1e9 - time.monotonic()) < 1
