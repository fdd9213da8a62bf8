"""More threads are faster on idle cores, one thread on busy ones: what is chosen follows what is measured."""

import pytest

from sam2_ros.stream.thread_choice import FIRST_PAUSE, LONGEST_PAUSE, SKIPPED, TRIAL, USUAL, ThreadChoice

IDLE = {1: 0.06, 2: 0.04, 4: 0.03, 8: 0.02}
BUSY = {1: 0.06, 2: 0.1, 4: 0.2, 8: 0.4}


class Machine:
    """Computes images in the times of a table: seconds by threads."""

    def __init__(self, seconds, most=2) -> None:
        self.seconds, self.used, self.log = seconds, [], []
        self.choice = ThreadChoice(most, self.used.append, self.log.append)

    def compute(self, images, objects=1):
        """The seconds that it took."""
        total = 0.0
        for _ in range(images):
            seconds = self.seconds[self.choice.count]
            self.choice.measured(seconds, objects)
            total += seconds
        return total


@pytest.mark.parametrize("most", [2, 8])
def test_on_idle_cores_all_threads_are_used_and_trials_become_rare(most):
    machine = Machine(IDLE, most)
    machine.compute(5000)
    assert machine.choice.count == most and machine.log == []
    trials = machine.used.count(most // 2)
    assert 3 < trials < 5000 / LONGEST_PAUSE + 7
    assert set(machine.used) == {most, most // 2}


@pytest.mark.parametrize("most", [2, 3, 8])
def test_on_busy_cores_one_thread_is_soon_used(most):
    seconds = {**BUSY, 3: 0.15}
    machine = Machine(seconds, most)
    machine.compute(150)
    assert machine.compute(100) < 1.2 * 100 * 0.06
    before = {2: 2, 3: 3, 8: 2}[most]
    assert machine.log[-1] == (
        f"CPU threads of the model: now 1 in place of {before}, with which an image takes "
        f"60 ms in place of {1e3 * seconds[before]:.0f}"
    )


def test_cores_that_become_busy_and_idle_again_are_followed():
    machine = Machine(IDLE)
    machine.compute(5000)
    machine.seconds = BUSY
    machine.compute(4 * USUAL)
    assert machine.choice.count == 1 and len(machine.log) == 1
    machine.seconds = IDLE
    machine.compute(2 * LONGEST_PAUSE)
    assert machine.choice.count == 2


def test_trials_cost_little_where_they_are_in_vain():
    machine = Machine({1: 0.04, 2: 0.4})
    machine.compute(200)
    assert machine.choice.count == 1
    assert machine.compute(5000) < 1.03 * 5000 * 0.04


def test_a_machine_that_is_slower_as_a_whole_is_tried_once_more_and_not_for_ever():
    machine = Machine(IDLE)
    machine.compute(5000)
    before = len(machine.used)
    machine.seconds = {threads: 3 * seconds for threads, seconds in IDLE.items()}
    machine.compute(4 * USUAL)
    assert before < len(machine.used) <= before + 4
    machine.compute(5000)
    assert len(machine.used) < before + 30


def test_a_trial_ends_with_the_first_image_that_is_much_too_slow():
    machine = Machine({1: 1.0, 2: 0.04})
    machine.compute(1)  # the first image has another number of objects than none
    machine.compute(SKIPPED + FIRST_PAUSE)
    assert machine.choice.count == 1
    machine.compute(SKIPPED + 1)
    assert machine.choice.count == 2


def test_images_with_different_numbers_of_objects_are_not_compared():
    machine = Machine({1: 0.03, 2: 0.04})
    for objects in range(1, 100):
        machine.compute(USUAL - 1, objects)
    assert machine.used == []
    machine.compute(USUAL + SKIPPED + 1, 100)
    assert machine.choice.count == 1
    machine.compute(TRIAL - 1, 101)
    assert machine.choice.count == 2 and machine.log == []


def test_a_single_thread_is_all_that_there_is():
    machine = Machine(IDLE, most=1)
    machine.compute(500)
    assert machine.used == []


def test_a_model_that_takes_no_time_keeps_its_threads():
    machine = Machine({1: 0.0, 2: 0.0})
    machine.compute(500)
    assert machine.choice.count == 2 and machine.log == []
