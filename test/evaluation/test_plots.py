"""Plots of the report."""

import numpy as np
import pytest

from sam2_ros.drawing import colour
from sam2_ros.evaluation import plots
from sam2_ros.evaluation.report import _mean_curve

NAN = float("nan")


@pytest.mark.parametrize(
    "frames, expected",
    [
        ([0, 1, 2, 7, 8], [0, 1, 2, NAN, 7, 8]),
        ([0, 4, 8, 12], [0, 4, 8, 12]),  # every fourth image has truth
        ([0, 4, 8, 40, 44], [0, 4, 8, NAN, 40, 44]),
        ([3], [3]),
    ],
)
def test_a_line_has_a_gap_where_truth_is_missing(frames, expected):
    where, values = plots.with_gaps(np.array(frames), np.array(frames) * 2.0)
    assert np.array_equal(where, expected, equal_nan=True)
    assert np.array_equal(values, np.array(expected) * 2, equal_nan=True)


def test_lines_have_the_colours_that_the_objects_have_in_pictures(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures, make = [], plots.Figure
    monkeypatch.setattr(plots, "Figure", lambda **options: figures.append(make(**options)) or figures[-1])
    (tmp_path / "scores.csv").write_text(
        "frame,object,name,j,f,absent,occluded\n"
        + "".join(
            f"{frame},{number},{name},{'' if 3 <= frame < 6 else 0.5},{'' if 3 <= frame < 6 else 0.5},0,0\n"
            for frame in range(9)
            for number, name in ((2, "cup"), (7, "7"))
        )
    )
    (tmp_path / "timing.csv").write_text("frame,prompted\n0,cup\n")
    assert plots.over_time(tmp_path / "scores.csv", tmp_path / "timing.csv").startswith(b"\x89PNG")
    lines = {line.get_label(): line for line in figures[0].axes[0].lines}
    for label, number in (("2 cup", 2), ("7", 7)):
        assert lines[label].get_color() == tuple(part / 255 for part in colour(number))
        assert np.isnan(lines[label].get_ydata()).sum() == 1


def test_every_point_of_a_mean_line_is_over_the_same_sequences():
    lines = [[(1, 10.0), (2, 20.0)], [(1, 30.0), (2, 60.0)], [(1, 90.0)]]
    assert _mean_curve(lines) == {"mean of 2 sequences": [(1, 20.0), (2, 40.0)]}


@pytest.mark.parametrize(
    "name, label",
    [("$5$", r"\$5\$"), (r"$\frac$ a_b", r"\$\frac\$ a_b"), ("_hidden_", " _hidden_"), ("caf\udce9", r"caf\udce9")],
    ids=ascii,
)
def test_a_legend_shows_names_as_they_are(monkeypatch, name, label):
    pytest.importorskip("matplotlib")
    figures, make = [], plots.Figure
    monkeypatch.setattr(plots, "Figure", lambda **options: figures.append(make(**options)) or figures[-1])
    assert plots.curve({name: [(1, 50.0), (2, 60.0)]}, "clicks")
    assert [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()] == [label]
