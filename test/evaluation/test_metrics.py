import math

import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation import metrics
from sam2_ros.evaluation.metrics import DAVIS, EVERY_FRAME, SA_V, YOUTUBE_VOS, ObjectScores, Rules, Statistics

# -- an independent implementation, pixel by pixel -------------------------------------------------


def slow_j(prediction, truth):
    both = either = 0
    for p, t in zip(prediction.ravel().tolist(), truth.ravel().tolist()):
        both += p and t
        either += p or t
    return both / either if either else 1.0


def slow_boundary(mask):
    """Set of (y, x) that differ from the right, lower or lower-right pixel; the image's rim has fewer of them."""
    height, width = mask.shape
    points = set()
    for y in range(height):
        for x in range(width):
            neighbours = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (1, 1)) if y + dy < height and x + dx < width]
            if any(mask[place] != mask[y, x] for place in neighbours):
                points.add((y, x))
    return points


def slow_f(prediction, truth):
    radius = math.ceil(0.008 * math.sqrt(truth.shape[0] ** 2 + truth.shape[1] ** 2))
    found, wanted = slow_boundary(prediction), slow_boundary(truth)

    def near(point, others):
        return any((point[0] - y) ** 2 + (point[1] - x) ** 2 <= radius**2 for y, x in others)

    if not found and not wanted:
        return 1.0
    if not found or not wanted:
        return 0.0
    precision = sum(near(point, wanted) for point in found) / len(found)
    recall = sum(near(point, found) for point in wanted) / len(wanted)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_mask(random, size):
    mask = np.zeros(size, bool)
    for _ in range(random.integers(1, 4)):
        y, x = random.integers(0, size[0]), random.integers(0, size[1])
        rows, columns = np.ogrid[: size[0], : size[1]]
        a, b = random.integers(2, size[0] // 2), random.integers(2, size[1] // 2)
        mask |= ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
    return mask


@pytest.mark.parametrize("seed", range(12))
def test_j_and_f_equal_the_slow_implementation(seed):
    random = np.random.default_rng(seed)
    size = (int(random.integers(20, 60)), int(random.integers(20, 150)))
    truth = random_mask(random, size)
    prediction = np.roll(truth, random.integers(-3, 4, 2), (0, 1)) if seed % 2 else random_mask(random, size)
    assert metrics.region_similarity(prediction, truth) == pytest.approx(slow_j(prediction, truth), abs=1e-12)
    assert metrics.boundary_accuracy(prediction, truth) == pytest.approx(slow_f(prediction, truth), abs=1e-12)


def test_the_tolerance_grows_with_the_diagonal():
    truth = np.zeros((480, 854), bool)
    truth[100:300, 100:300] = True
    radius = 8  # ceil(0.008 * 979.7)
    assert metrics.boundary_accuracy(np.roll(truth, radius, 1), truth) == 1.0
    assert metrics.boundary_accuracy(np.roll(truth, radius + 1, 1), truth) < 1.0


def test_hand_counted_squares():
    truth, prediction = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    truth[2:6, 2:6] = True  # 16 pixels
    prediction[2:6, 4:8] = True  # 16 pixels, 8 of them shared
    assert metrics.region_similarity(prediction, truth) == 8 / 24
    assert metrics.boundary(truth).sum() == 16  # 5 x 5 outline towards the origin, less its 3 x 3 inside
    # Radius 1; the outlines share two columns of rows 1 and 5, plus the pixels beside them.
    assert metrics.boundary_accuracy(prediction, truth) == pytest.approx(slow_f(prediction, truth))


@pytest.mark.parametrize(("prediction", "truth", "j", "f"), [(0, 0, 1, 1), (1, 0, 0, 1), (0, 1, 0, 1), (1, 1, 1, 1)])
def test_uniform_masks_have_no_boundary(prediction, truth, j, f):
    masks = [np.full((12, 9), bool(value)) for value in (prediction, truth)]
    assert metrics.region_similarity(*masks) == j
    assert metrics.boundary_accuracy(*masks) == f


def test_an_empty_mask_against_a_square_scores_nothing():
    square = np.zeros((20, 20), bool)
    square[5:9, 5:9] = True
    empty = np.zeros_like(square)
    for masks in ((square, empty), (empty, square)):
        assert metrics.region_similarity(*masks) == metrics.boundary_accuracy(*masks) == 0.0


def test_ignored_pixels_do_not_count():
    truth, prediction, ignore = (np.zeros((20, 20), bool) for _ in range(3))
    truth[5:15, 5:10] = prediction[5:15, 5:15] = True
    ignore[:, 10:] = True
    assert metrics.region_similarity(prediction, truth, ignore) == 1.0
    assert metrics.boundary_accuracy(prediction, truth, ignore) == 1.0


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(InvalidInput, match="one size"):
        metrics.region_similarity(np.zeros((4, 5), bool), np.zeros((5, 4), bool))


# -- statistics and rules ---------------------------------------------------------------------------


def test_statistics_of_a_hand_counted_series():
    scores = np.array([1.0, 1.0, 0.8, 0.6, 0.5, 0.4, 0.2, 0.0])
    statistics = Statistics.of(scores)
    assert statistics.mean == pytest.approx(4.5 / 8)
    assert statistics.recall == 4 / 8, "0.5 itself is not above 0.5"
    # Bins end at positions 0, 2, 4 (3.5 rounds to even), 5, 7: the first is 0..2, the last 5..7.
    assert statistics.decay == pytest.approx((2.8 - 0.6) / 3)


def test_decay_is_right_beyond_256_frames():
    scores = np.linspace(1, 0, 1001)
    assert Statistics.of(scores).decay == pytest.approx(0.75, abs=1e-3)


def test_statistics_of_nothing_are_nan():
    assert all(np.isnan(value) for value in vars_of(Statistics.of(np.array([np.nan]))))


def vars_of(result):
    return [getattr(result, name) for name in result.__dataclass_fields__]


def scores_of(j, absent=None, predicted=None, occluded=None, matched=None):
    j = np.asarray(j, float)
    absent = np.zeros(len(j), bool) if absent is None else np.asarray(absent, bool)
    predicted = ~absent if predicted is None else np.asarray(predicted, bool)
    return ObjectScores(
        1,
        "cup",
        j,
        j,
        absent,
        predicted,
        np.ones(len(j), bool),
        ~predicted if occluded is None else np.asarray(occluded, bool),
        np.ones(len(j), int) if matched is None else np.asarray(matched),
    )


NAN = np.nan


@pytest.mark.parametrize(
    ("rules", "counted"),
    [
        (EVERY_FRAME, [1, 1, 1, 0, 1, 1, 1]),
        (DAVIS, [0, 1, 1, 0, 1, 1, 0]),
        (SA_V, [0, 0, 0, 0, 1, 1, 0]),
        (YOUTUBE_VOS, [0, 0, 0, 0, 0, 1, 1]),
        (Rules(skip="nothing", absent=False), [0, 0, 0, 0, 1, 1, 0]),
    ],
)
def test_each_evaluator_counts_its_own_frames(rules, counted):
    # The object appears on the fifth image and is gone on the last; the fourth is not annotated.
    scores = scores_of([1, 1, 1, NAN, 0.9, 0.5, 0.2], absent=[1, 1, 1, 1, 0, 0, 1])
    assert scores.counted(rules).astype(int).tolist() == counted


def test_a_false_mask_before_the_appearance_counts_in_the_sa_v_evaluator():
    scores = scores_of([1, 0, 0.9, 0.5, 1], absent=[1, 1, 0, 0, 0], predicted=[0, 1, 1, 1, 1])
    assert scores.counted(SA_V).astype(int).tolist() == [0, 1, 1, 1, 0]


def test_an_object_that_never_appears_does_not_count_in_the_sa_v_evaluator():
    scores = scores_of([1, 0, 1], absent=[1, 1, 1], predicted=[0, 1, 0])
    assert not scores.counted(SA_V).any()
    assert np.isnan(scores.result(SA_V).j_and_f)
    assert scores.result(DAVIS).j_and_f == 0


def test_an_unknown_rule_is_refused():
    with pytest.raises(InvalidInput, match="sometimes"):
        Rules(skip="sometimes")


def test_a_summary_weighs_objects_equally_whatever_their_length():
    long, short = scores_of([1.0] * 100), scores_of([0.0] * 4)
    results = [scores.result(EVERY_FRAME) for scores in (long, short)]
    assert metrics.summary(results).j_and_f == pytest.approx(0.5)
    assert metrics.summary(results).objects == 2


# -- occlusion, recovery, identity -------------------------------------------------------------------


def test_occlusion_is_counted_by_frames_and_delays_by_changes():
    absent = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1, 0], bool)
    flagged = np.array([0, 1, 0, 1, 1, 1, 1, 0, 0, 0], bool)
    result = metrics.occlusion(flagged, absent)
    assert (result.both, result.flagged_frames, result.absent_frames) == (2, 5, 4)
    assert result.precision == 2 / 5
    assert result.recall == 2 / 4
    assert result.f1 == 4 / 9
    # Gone at 2: flagged at 3 (1 late); back at 5: at 7 (2 late); gone at 8: never, so the return at 9 is missed too.
    assert result.delay == 1.5
    assert result.missed == 2


def test_a_flag_that_was_on_before_the_object_vanished_has_not_detected_it():
    result = metrics.occlusion(np.array([0, 1, 1, 1, 1], bool), np.array([0, 0, 1, 1, 1], bool))
    assert np.isnan(result.delay) and (result.missed, result.followed) == (1, 0)
    always = metrics.occlusion(np.ones(6, bool), np.array([0, 0, 1, 1, 0, 0], bool))
    assert np.isnan(always.delay) and always.missed == 2
    again = metrics.occlusion(np.array([0, 1, 1, 0, 1, 1], bool), np.array([0, 0, 1, 1, 1, 1], bool))
    assert (again.delay, again.missed) == (2.0, 0), "it was raised anew while the object was away"
    same_moment = metrics.occlusion(np.array([0, 0, 1, 1], bool), np.array([0, 0, 1, 1], bool))
    assert (same_moment.delay, same_moment.missed) == (0.0, 0)


def test_a_flag_that_was_off_before_the_object_returned_has_not_detected_it():
    never = metrics.occlusion(np.zeros(5, bool), np.array([0, 1, 1, 0, 0], bool))
    assert np.isnan(never.delay) and (never.missed, never.followed) == (2, 0)
    too_soon = metrics.occlusion(np.array([0, 1, 0, 0, 0], bool), np.array([0, 1, 1, 0, 0], bool))
    assert (too_soon.delay, too_soon.missed, too_soon.followed) == (0.0, 1, 1)


def test_j_in_view_leaves_out_the_empty_frames_that_an_empty_mask_wins():
    lost_at_once = scores_of([0.9, 0, 0, 1, 1, 1, 1], absent=[0, 0, 0, 1, 1, 1, 1]).result(EVERY_FRAME)
    assert lost_at_once.j.mean == pytest.approx(4.9 / 7)
    assert (lost_at_once.j_in_view, lost_at_once.visible_frames) == (pytest.approx(0.3), 3)
    never = scores_of([1, 1], absent=[1, 1]).result(EVERY_FRAME)
    total = metrics.summary([lost_at_once, never])
    assert (total.j_in_view, total.in_view, total.objects, total.scored) == (pytest.approx(0.3), 1, 2, 2)


def test_delays_of_a_summary_are_means_over_changes_and_not_over_objects():
    one = scores_of([1] * 4, absent=[0, 1, 1, 1], occluded=[0, 0, 0, 1]).result(EVERY_FRAME)
    other = scores_of([1] * 6, absent=[0, 1, 0, 1, 0, 1], occluded=[0, 1, 0, 1, 0, 1]).result(EVERY_FRAME)
    assert metrics.summary([one, other]).occlusion.delay == pytest.approx(2 / 6)


def test_without_any_occlusion_there_is_nothing_to_divide_by():
    result = metrics.occlusion(np.zeros(5, bool), np.zeros(5, bool))
    assert np.isnan(result.precision) and np.isnan(result.recall) and np.isnan(result.f1) and np.isnan(result.delay)
    assert metrics.occlusion(np.ones(5, bool), np.zeros(5, bool)).precision == 0.0


def test_recovery_counts_returns_that_were_found_before_the_next_absence():
    absent = np.array([0, 1, 1, 0, 0, 0, 1, 0, 0, 1], bool)
    j = np.array([0.9, 0, 0, 0.1, 0.4, 0.8, 1, 0.2, 0.3, 1])
    result = metrics.recovery(j, absent)
    assert (result.returns, result.recovered, result.delay) == (2, 1, 2.0)


def test_an_identity_switch_is_a_change_of_the_true_object_under_the_mask():
    assert metrics.identity_switches(np.array([1, 1, 0, 1, 2, 2, 0, 0, 2, 1])) == 2
    assert metrics.identity_switches(np.array([0, 0])) == 0


def test_a_mask_is_matched_to_the_true_object_that_it_covers():
    truths = {1: np.zeros((10, 10), bool), 2: np.zeros((10, 10), bool)}
    truths[1][:5], truths[2][5:] = True, True
    prediction = np.zeros((10, 10), bool)
    prediction[4:] = True
    assert metrics.match(prediction, truths) == 2
    assert metrics.match(np.zeros((10, 10), bool), truths) == 0
    assert metrics.match(np.ones((10, 10), bool), truths) == 1, "of two equal ones the first"
    assert metrics.match(prediction, truths, threshold=0.9) == 0


def test_a_summary_pools_the_frames_of_the_occlusion_flag():
    first = scores_of([1] * 4, absent=[0, 1, 1, 0], occluded=[0, 1, 1, 0]).result()
    second = scores_of([1] * 4, absent=[0, 1, 1, 0], occluded=[0, 0, 0, 1]).result()
    total = metrics.summary([first, second])
    assert (total.occlusion.precision, total.occlusion.recall) == (2 / 3, 2 / 4)
    assert total.recovery.returns == 2


# -- latency and comparison --------------------------------------------------------------------------


def test_percentiles_of_a_hundred_durations():
    result = metrics.latency(range(101))
    assert (result.count, result.p50, result.p95, result.p99, result.maximum) == (101, 50, 95, 99, 100)
    assert np.isnan(metrics.latency([]).p50)


def test_the_bootstrap_is_seeded_and_contains_the_mean():
    random = np.random.default_rng(1)
    first = random.normal(0.7, 0.1, 40)
    second = first + random.normal(0.05, 0.02, 40)
    result = metrics.paired_difference(first, second, range(40))
    assert result == metrics.paired_difference(first, second, range(40))
    assert result.low < result.mean < result.high
    assert 0.03 < result.low and result.high < 0.07
    # The percentile interval of a mean is close to the normal one.
    half = 1.96 * (second - first).std() / math.sqrt(40)
    assert result.high - result.mean == pytest.approx(half, rel=0.1)


def test_objects_of_one_sequence_are_drawn_together():
    first, second, group = (
        np.zeros(40),
        np.repeat(np.random.default_rng(2).normal(0.05, 0.02, 10), 4),
        np.repeat(range(10), 4),
    )
    alone, together = (metrics.paired_difference(first, second, groups) for groups in (range(40), group))
    assert together.mean == alone.mean
    assert together.high - together.low == pytest.approx(2 * (alone.high - alone.low), rel=0.15)
