import numpy as np
import pytest

from sam2_ros.drawing import TINT, colour
from sam2_ros.evaluation.gallery import APART, EACH, SPREAD, WIDTH, Gallery, picture
from sam2_ros.recordings.moments import Moment
from sam2_ros.recordings.recording import Truth
from sam2_ros.stream.replay import Step
from sam2_ros.types import Frame, State, Track

NAN = float("nan")


def step(index, masks=None):
    truth = None if masks is None else Truth(index + 1, masks)
    return Step(Moment(index, Frame(np.zeros((48, 64, 3), np.uint8), index + 1), index, truth), ())


def filled(scores):
    gallery = Gallery()
    for index, score in enumerate(scores):
        gallery.offer(step(index), score)
    return gallery


def indices(row):
    return [kept.index for kept in row]


def test_the_best_and_the_worst_of_all_frames_are_kept():
    scores = np.random.default_rng(0).permutation(100).repeat(10)[::-1] / 100  # ten neighbours are alike
    scores += np.arange(1000) % 10 / 1e4
    rows = filled(scores).rows()
    assert indices(rows["best"]) == np.argsort(-scores)[: 10 * EACH : 10].tolist()
    assert [kept.score for kept in rows["worst"]] == sorted(scores)[: 10 * EACH : 10]
    assert all(0.4 < kept.score < 0.6 for kept in rows["median"])


def test_neighbours_of_a_picture_are_left_out():
    rows = filled([0.5] * 50 + [0.1, 0.0, 0.1] + [0.5] * 50).rows()
    assert rows["worst"][0].index == 51
    assert all(
        abs(one - other) >= APART
        for row in ("best", "worst")
        for one in indices(rows[row])
        for other in indices(rows[row])
        if one != other
    )


def test_a_poor_image_is_not_among_the_best_because_better_ones_had_better_neighbours():
    rising = np.linspace(0.5, 0.9, 100).tolist()
    rows = filled(rising + [0.0] * 60).rows()
    assert min(kept.score for kept in rows["best"]) > 0.7 and len(rows["best"]) == EACH
    rows = filled([1 - score for score in rising] + [1.0] * 60).rows()
    assert max(kept.score for kept in rows["worst"]) < 0.3 and len(rows["worst"]) == EACH


@pytest.mark.parametrize("count", [1, 5, 40, 5000])
def test_what_is_kept_is_bounded(count):
    gallery = filled([NAN] * count)
    assert len(gallery._spread) < 2 * SPREAD
    assert 0 < len(gallery.rows()["in order"]) <= 2 * EACH


def test_pictures_are_spread_over_a_recording_without_truth():
    shown = indices(filled([NAN] * 800).rows()["in order"])
    assert shown[0] == 0 and shown[-1] > 500


def test_the_truth_is_outlined_in_the_colour_of_its_object_between_white_lines():
    mask = np.zeros((48, 64), bool)
    mask[10:30, 10:30] = True
    for number in (1, 2, 7):
        image = picture(step(0, {number: mask}))
        edge, middle = 10 * WIDTH // 64, 20 * WIDTH // 64
        assert image.shape[1] == WIDTH
        assert tuple(image[edge, middle]) == colour(number)
        assert (image[edge - 1, middle] == 255).all() and (image[edge + 1, middle] == 255).all()
        assert not image[middle, middle].any()


def test_objects_that_were_taken_for_one_another_have_the_colours_of_the_truth():
    left, right = np.zeros((2, 48, 64), bool)
    left[10:30, 5:25], right[10:30, 40:60] = True, True
    tracks = [Track(5, "left", State.VISIBLE, False, right, 5.0, 0.9, np.zeros(4, np.float32), 0, 1)]
    moment = Moment(0, Frame(np.zeros((48, 64, 3), np.uint8), 1), 0, Truth(1, {1: left, 2: right}))
    image = picture(Step(moment, tuple(tracks)), {5: 1})
    x, y = 50 * WIDTH // 64, 20 * WIDTH // 64
    tint = np.multiply(colour(1), TINT)
    assert np.abs(image[y, x] - tint).max() <= 1, "tinted as object 1"
    assert tuple(image[10 * WIDTH // 64, x]) == colour(2), "and outlined as object 2"


def test_an_empty_gallery_has_no_sheet():
    assert Gallery().sheet() is None
    assert filled([0.5] * 3).sheet().shape[1] == EACH * WIDTH
