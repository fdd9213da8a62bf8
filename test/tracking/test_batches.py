"""How many objects are followed at once: measured at the start, fewer after memory ran out, and more again."""

import logging

import pytest
import torch
from fakes import ColourModel
from tracking.test_out_of_memory import SmallDevice

from sam2_ros.tracking.batches import LONGEST_PATIENCE, PATIENCE, TRIED, Batches, seconds_for_each
from sam2_ros.tracking.tracker import Tracker


class Clock:
    """Time that passes only when something is waited for: as long as the objects of that time take together."""

    def __init__(self, model, seconds_each):
        self.model, self.seconds_each, self.now = model, seconds_each, 0.0

    def __call__(self):
        return self.now

    def wait(self):
        objects = next(count for method, count in reversed(self.model.calls) if method == "decode")
        self.now += objects * self.seconds_each[objects]


def sizes(batches, count):
    return [len(batch) for batch in batches.of(range(count))]


def measured(seconds_each, model=None):
    model = model or ColourModel()
    clock, batches = Clock(model, seconds_each), Batches()
    batches.measure(model, clock.wait, clock)
    return batches


def test_all_are_followed_at_once_until_something_else_is_known():
    assert sizes(Batches(), 40) == [40] and sizes(Batches(), 0) == []


def test_the_number_with_the_least_time_for_each_object_is_taken(caplog):
    with caplog.at_level(logging.INFO):
        batches = measured({1: 0.004, 2: 0.003, 4: 0.002, 8: 0.003, 16: 0.004})
    assert sizes(batches, 9) == [4, 4, 1] and sizes(batches, 3) == [3]
    assert [record.getMessage() for record in caplog.records] == [
        "up to 4 objects are followed at once: 2.00 ms for each"
    ]


def test_of_almost_equal_ones_the_largest_is_taken():
    assert sizes(measured(dict.fromkeys(TRIED, 0.002) | {2: 0.00195}), 20) == [16, 4]


def test_each_number_is_timed_three_times_and_the_first_round_may_be_slow():
    model = ColourModel()
    clock = Clock(model, dict.fromkeys(TRIED, 0.001))

    def wait():
        clock.wait()
        if len(model.calls) < 6:  # of the image, and of one round
            clock.now += 0.05

    found = seconds_for_each(model, wait, clock)
    assert found == pytest.approx(dict.fromkeys(TRIED, 0.001))
    assert [count for method, count in model.calls if method == "attend"] == [n for n in TRIED for _ in range(3)]


def test_a_slow_device_is_measured_for_two_seconds_at_most():
    model = ColourModel()
    clock = Clock(model, dict.fromkeys(TRIED, 0.1))
    assert list(seconds_for_each(model, clock.wait, clock)) == [1, 2] and clock.now < 2


def test_where_memory_runs_out_the_numbers_before_count():
    model = SmallDevice()
    model.room["attend"] = 5
    assert sizes(measured({1: 0.004, 2: 0.003, 4: 0.002}, model), 20) == [4] * 5


@pytest.mark.parametrize("method", ["attend", "encode_image"])
def test_without_memory_for_any_number_nothing_is_known(method):
    model = SmallDevice()
    model.room[method] = 0
    assert sizes(measured({}, model), 20) == [20]


def test_another_error_is_a_sentence_and_costs_nothing(caplog):
    model = ColourModel()
    model.attend = lambda *args: torch.zeros(2) @ torch.zeros(3)
    assert sizes(measured({}, model), 20) == [20]
    assert "cannot measure how many objects are best followed at once (" in caplog.text


def test_on_a_processor_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(Batches, "measure", lambda *given: pytest.fail("measured"))
    Tracker(ColourModel()).warm_up()


def test_after_a_lack_there_are_more_again_up_to_the_best_number():
    batches = measured({1: 0.004, 2: 0.003, 4: 0.002, 8: 0.003, 16: 0.004})
    batches.shrink(4)
    batches.shrink(2)
    seen = []
    for _ in range(4 * PATIENCE):
        batches.next_image()
        seen.append(sizes(batches, 9)[0])
    assert seen[:PATIENCE] == [1] * PATIENCE
    assert seen[PATIENCE] == 2 and seen[2 * PATIENCE] == 2 and seen[2 * PATIENCE + 1] == 4 and seen[-1] == 4


def test_a_try_that_failed_is_repeated_later_each_time():
    batches, waited = Batches(), []
    for _ in range(12):
        batches.shrink(2)
        images = 0
        while sizes(batches, 2) == [1, 1] and images <= LONGEST_PATIENCE:
            batches.next_image()
            images += 1
        waited.append(images - 1)
    assert waited[:4] == [PATIENCE, 2 * PATIENCE, 4 * PATIENCE, 8 * PATIENCE] and waited[-1] == LONGEST_PATIENCE
