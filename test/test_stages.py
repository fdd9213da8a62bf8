import threading
import time

import pytest

from sam2_ros import stages
from sam2_ros.stages import PERCENTILES, WINDOW, StageTimes, collected, stage


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the test sets."""
    now = [0.0]
    monkeypatch.setattr(stages.time, "perf_counter", lambda: now[0])
    return now


def test_the_blocks_of_a_stage_are_added_up(clock):
    with collected(times := {}):
        for seconds in (1.0, 2.0):
            with stage("attend"):
                clock[0] += seconds
            clock[0] += 10.0
        with stage("decode"):
            clock[0] += 4.0
    assert times == {"attend": 3.0, "decode": 4.0}


def test_what_nobody_collects_is_not_measured(clock):
    clock.clear()  # reading the clock would fail
    with stage("encode"), collected(None), stage("attend"):
        pass


def test_a_stage_that_fails_is_measured_and_the_error_goes_on(clock):
    with pytest.raises(ZeroDivisionError), collected(times := {}), stage("convert"):
        clock[0] += 0.5
        raise ZeroDivisionError
    assert times == {"convert": 0.5}


def test_another_thread_does_not_add_to_it():
    def work():
        with stage("encode"):
            pass

    with collected(times := {}):
        other = threading.Thread(target=work)
        other.start()
        other.join()
    assert times == {}


def test_percentiles_are_those_of_a_bounded_window():
    window = StageTimes()
    assert window.percentiles() == {}
    for _ in range(WINDOW):
        window.add({"encode": 100.0})
    for number in range(WINDOW):
        window.add({"encode": number / WINDOW, "publish": 1.0})
    found = window.percentiles()
    assert len(window) == WINDOW and set(found) == {*stages.STAGES, "total"}
    assert found["encode"] == pytest.approx([percent / 100 for percent in PERCENTILES], abs=0.01)
    assert found["total"][0] == pytest.approx(found["encode"][0] + 1.0) and found["attend"] == (0.0, 0.0, 0.0)


def test_measuring_a_frame_costs_less_than_a_tenth_of_a_millisecond():
    def frame():
        with collected({}):
            for name in stages.STAGES:
                with stage(name):
                    pass

    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(50):
            frame()
        best = min(best, (time.perf_counter() - started) / 50)
    assert best < 1e-4
