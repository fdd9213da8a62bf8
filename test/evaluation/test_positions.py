"""Positions against those of the true masks."""

import math

import numpy as np
import pytest

from sam2_ros.evaluation import plots
from sam2_ros.evaluation.positions import PositionRow, PositionScorer, position_results, position_summary
from sam2_ros.evaluation.results import write_rows
from sam2_ros.geometry.camera import Camera
from sam2_ros.geometry.locator import Located
from sam2_ros.geometry.positions import Positions, seen_labels
from sam2_ros.recordings.moments import Moment
from sam2_ros.recordings.recording import Truth
from sam2_ros.stream.replay import Step
from sam2_ros.types import Frame, State, Track

SIZE, FOCAL, NEAR = (60, 80), 100.0, 0.5
CAMERA = Camera(SIZE, [[FOCAL, 0, 39.5], [0, FOCAL, 29.5], [0, 0, 1]])
WALL = np.full(SIZE, NEAR, np.float32)


def square(x, side=20):
    mask = np.zeros(SIZE, bool)
    mask[20 : 20 + side, x : x + side] = True
    return mask


def track(mask, number=1, name="cup"):
    gone = not mask.any()
    state = State.OCCLUDED if gone else State.VISIBLE
    return Track(number, name, state, gone, mask, 0.0, 1.0, np.zeros(4, np.float32), 0, 1)


class Replayed:
    """Steps of a replay, image by image, of a wall at NEAR metres."""

    def __init__(self):
        self.positions, self.scorer, self.count = Positions(), PositionScorer(), 0

    def step(self, tracks, truth=None, depth=WALL, dropped=False, true_id=lambda one: one):
        self.count += 1
        stamp = self.count * 10**8
        if depth is not None:
            self.positions.measure(stamp, seen_labels(tracks, SIZE), depth, CAMERA)
        located = Located(self.positions.at(stamp, tracks), depth, None if depth is None else CAMERA)
        truth = None if truth is None else Truth(stamp, truth)
        moment = Moment(self.count - 1, Frame(np.zeros((*SIZE, 3), np.uint8), stamp), stamp, truth)
        self.scorer.add(Step(moment, tuple(tracks), dropped=dropped, located=located), true_id)

    def results(self, values=None):
        rows = self.scorer.rows(values or {1: 1, 2: 2})
        return rows, position_results(rows)


def test_a_mask_that_is_moved_by_four_pixels_has_a_position_that_is_as_far_off():
    replayed = Replayed()
    replayed.step([track(square(24))], {1: square(20)})
    replayed.step([track(square(20))], {1: square(20)})
    (moved, right), (cup,) = replayed.results()
    assert moved.error_mm == pytest.approx(1e3 * 4 / FOCAL * NEAR, abs=0.1) and right.error_mm == 0
    assert (moved.x, moved.true_x) == pytest.approx(((24 + 9.5 - 39.5) / 200, (20 + 9.5 - 39.5) / 200), abs=1e-6)
    assert (cup.images, cup.measured, cup.with_truth, cup.valid) == (2, 2, 2, 1.0)
    assert (cup.median_mm, cup.p95_mm) == pytest.approx((10.0, 19.0), abs=0.1) and cup.while_absent == 0


def test_an_image_on_which_the_object_is_seen_but_not_measured_makes_positions_less_valid():
    replayed = Replayed()
    replayed.step([track(square(20))], {1: square(20)})
    replayed.step([track(np.zeros(SIZE, bool))], {1: square(20)})
    (_, lost), (cup,) = replayed.results()
    assert (cup.with_truth, cup.valid, cup.median_mm) == (2, 0.5, 0.0)
    assert not lost.measured and lost.age == pytest.approx(0.1) and math.isnan(lost.error_mm) and lost.z == NEAR


def test_a_position_of_an_object_that_is_not_there_is_counted():
    replayed = Replayed()
    replayed.step([track(square(20))], {1: square(20)})
    replayed.step([track(square(20))], {})
    _, (cup,) = replayed.results()
    assert (cup.with_truth, cup.while_absent) == (1, 1)


def test_a_track_whose_true_object_is_not_known_yet_is_compared_with_nothing():
    replayed = Replayed()
    replayed.step([track(square(20))], {3: square(20)}, true_id=lambda one: -one)
    replayed.step([track(square(20))], {3: square(20)}, true_id=lambda one: 3)
    rows, (cup,) = replayed.results({1: 3})
    assert [row.object for row in rows] == [3, 3] and cup.id == 3 and cup.with_truth == 1


def test_without_truth_there_is_a_position_but_no_error():
    replayed = Replayed()
    replayed.step([track(square(20)), track(square(50), 2, "can")])
    _, (cup, can) = replayed.results()
    assert (cup.measured, cup.with_truth, can.name) == (1, 0, "can")
    assert math.isnan(cup.valid) and math.isnan(cup.median_mm)


def test_dropped_images_and_those_before_any_depth_do_not_count():
    replayed = Replayed()
    replayed.step([track(square(20))], {1: square(20)}, depth=None)
    replayed.step([track(square(20))], {1: square(20)})
    replayed.step([track(square(20))], {1: square(20)}, dropped=True)
    replayed.step([track(square(20))], {1: square(20)}, depth=None)
    rows, (cup,) = replayed.results()
    assert [(row.frame, row.depth) for row in rows] == [(1, True), (3, False)] and cup.images == 1


def test_all_objects_weigh_the_same():
    replayed = Replayed()
    replayed.step([track(square(24)), track(square(50), 2, "can")], {1: square(20), 2: square(50)})
    replayed.step([track(square(24))], {1: square(20)})
    _, results = replayed.results()
    total = position_summary(results)
    assert (total.objects, total.images, total.with_truth) == (2, 3, 3)
    assert total.median_mm == pytest.approx(10.0, abs=0.1) and position_summary([]) is None


def test_positions_are_plotted_over_the_images(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures, make = [], plots.Figure
    monkeypatch.setattr(plots, "Figure", lambda **options: figures.append(make(**options)) or figures[-1])
    replayed = Replayed()
    for shift in (0, 4, 8):
        replayed.step([track(square(20 + shift))], {1: square(20)})
    write_rows(tmp_path / "positions.csv", replayed.results()[0], PositionRow)
    assert plots.positions_over_time(tmp_path / "positions.csv").startswith(b"\x89PNG")
    distance, error = figures[0].axes
    assert error.lines[0].get_ydata() == pytest.approx([0, 20, 40], abs=0.1)
    assert len(distance.lines) == 2 and distance.lines[1].get_ydata() == pytest.approx([0.503] * 3, abs=1e-3)
    assert plots.positions_over_time(tmp_path / "nothing.csv") is None
