import numpy as np
import pytest

from sam2_ros.geometry.velocity import Velocity

SECOND = 10**9


def measured(times, place, noise=0.0):
    velocity, random = Velocity(), np.random.default_rng(0)
    for time in times:
        velocity.measure(round(time * SECOND), np.array(place(time)) + random.normal(0, noise, 3))
    return velocity


def test_a_constant_velocity_is_found():
    velocity = measured(np.arange(1, 3, 0.1), lambda time: (0.2 * time, 0.0, 1 - 0.1 * time))
    assert velocity.at(3 * SECOND) == pytest.approx((0.2, 0, -0.1), abs=0.01)


def test_noise_of_millimetres_leaves_centimetres_per_second():
    velocity = measured(np.arange(1, 4, 1 / 15), lambda time: (0.1 * time, 0, 1), noise=0.003)
    assert velocity.at(4 * SECOND) == pytest.approx((0.1, 0, 0), abs=0.08)


def test_something_that_stops_is_slow_soon():
    velocity = measured(np.arange(1, 3, 0.1), lambda time: (0.5 * min(time, 2), 0, 1))
    assert abs(velocity.at(3 * SECOND)[0]) < 0.05


def test_one_measurement_gives_no_velocity():
    assert measured([], lambda time: (0, 0, 1)).at(1) is None
    assert measured([1], lambda time: (0, 0, 1)).at(SECOND) is None


def test_after_a_second_without_measurement_it_is_not_known_any_more():
    velocity = measured([1, 1.1, 1.2], lambda time: (time, 0, 1))
    assert velocity.at(2 * SECOND) is not None and velocity.at(round(2.3 * SECOND)) is None
    velocity.measure(5 * SECOND, np.array((0.0, 0, 1)))
    assert velocity.at(5 * SECOND) is None


def test_time_that_goes_back_starts_again():
    velocity = measured([10, 10.1], lambda time: (time, 0, 1))
    velocity.measure(3 * SECOND, np.zeros(3))
    assert velocity.at(3 * SECOND) is None
    velocity.measure(round(3.1 * SECOND), np.zeros(3))
    assert velocity.at(round(3.1 * SECOND)) == pytest.approx((0, 0, 0))
