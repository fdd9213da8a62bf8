"""Log lines of which there may be very many."""

from sam2_ros.stream.throttle import QUIET, Throttle


def test_a_kind_has_its_lines_and_the_rest_is_counted():
    now = [0.0]
    throttle = Throttle(2, lambda: now[0])
    assert [throttle.line("prompt", "done") for _ in range(5)] == ["done", "done", "", "", ""]
    assert throttle.line("click", "done") == "done"
    now[0] = QUIET
    assert throttle.line("prompt", "done") == "done (and 3 more in the last 5 s)"
    assert throttle.line("prompt", "done") == "done"
