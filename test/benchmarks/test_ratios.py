"""The statistics of the gate, with times of a machine as noisy as ours."""

import numpy as np
import pytest
from parts.ratios import ratio

ROUNDS, BOUND = 40, 1.05


def times(seed, slower, rounds=ROUNDS):
    """Times of two programs on a machine whose speed drifts; single rounds are disturbed, some of them three times."""
    rng = np.random.default_rng(seed)
    drift = np.exp(np.cumsum(rng.normal(0, 0.05, rounds)))
    both = [drift * rng.lognormal(0, 0.06, rounds) * np.where(rng.random(rounds) < 0.1, 3, 1) for _ in range(2)]
    return both[0], both[1] * slower


@pytest.mark.parametrize("slower", [1.15, 2.0])
def test_a_tree_that_is_slower_is_found(slower):
    found = [ratio(*times(seed, slower)).exceeds(BOUND) for seed in range(30)]
    assert np.mean(found) >= 0.9


def test_ten_per_cent_are_found_with_more_rounds():
    found = [ratio(*times(seed, 1.1, rounds=120)).exceeds(BOUND) for seed in range(30)]
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("slower", [0.8, 1.0, 1.03])
def test_a_tree_that_is_as_fast_is_not_accused(slower):
    assert not any(ratio(*times(seed, slower)).exceeds(BOUND) for seed in range(60))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = [found.low <= 1.1 <= found.high for found in (ratio(*times(seed, 1.1)) for seed in range(100))]
    assert 0.88 <= np.mean(held) <= 1.0


def test_a_single_wild_round_changes_nothing():
    base = np.ones(20)
    other = np.where(np.arange(20) == 3, 100.0, 1.0)
    assert not ratio(base, other).exceeds(BOUND) and ratio(base, other).median == 1.0
    assert str(ratio(base, base)) == "1.000 (1.000 to 1.000, 20 rounds)"
