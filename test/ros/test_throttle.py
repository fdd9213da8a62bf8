"""Log lines of which there may be very many."""

import time

import pytest

pytest.importorskip("rclpy")

from sam2_ros.ros.throttle import QUIET, SELDOM, Throttle  # noqa: E402


def test_a_kind_has_its_lines_and_the_rest_is_counted():
    now = [0.0]
    throttle = Throttle(2, lambda: now[0])
    assert [throttle.line("prompt", "done") for _ in range(5)] == ["done", "done", "", "", ""]
    assert throttle.line("click", "done") == "done"
    now[0] = QUIET
    assert throttle.line("prompt", "done") == "done (and 3 more in the last 5 s)"
    assert throttle.line("prompt", "done") == "done"


def test_lines_of_the_logger_do_not_stop_when_the_wall_clock_is_set_back():
    assert abs(SELDOM["throttle_time_source_type"].now().nanoseconds / 1e9 - time.monotonic()) < 1
