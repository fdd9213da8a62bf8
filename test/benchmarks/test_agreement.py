"""The comparison of masks that two engines find."""

import sys

import agreement
import numpy as np
import pytest

from sam2_ros.engines import openvino
from sam2_ros.recordings import LabelWriter


def written(folder, *pictures):
    writer = LabelWriter(folder)
    for number, picture in enumerate(pictures):
        writer.write(np.array(picture, np.uint8), f"{number:05d}")
    return folder


def test_masks_are_compared_object_by_object_on_every_image_after_the_first(tmp_path):
    one = written(tmp_path / "one", [[1, 1, 0, 2]], [[1, 1, 0, 2]], [[0, 0, 0, 0]])
    other = written(tmp_path / "other", [[1, 1, 0, 2]], [[1, 0, 0, 2]], [[0, 0, 0, 2]])
    assert agreement.agreement(one, other) == [0.5, 1.0, 1.0, 0.0]


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys, weights, data_set):
    """Runs the command with these options; what it printed."""

    def run(*options):
        words = [data_set, "--model", weights, "--out", tmp_path / "out", "--prompt", "mask", *options]
        monkeypatch.setattr(sys, "argv", ["agreement.py", *map(str, words)])
        agreement.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_a_row_for_each_sequence_and_a_verdict_and_nothing_is_computed_twice(compared, monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)  # so "auto" is PyTorch, too
    lines = compared("--engine", "auto")
    assert [row.split(" | ")[0] for row in lines[2:5]] == ["| long", "| short", "| all"]
    assert all("| mask | PyTorch, float32 |" in row and row.endswith("| 1.0000 |") for row in lines[2:5])
    assert lines[5] == "mask: agrees, J&F 0.00 apart (at most 0.3), mean IoU 1.0000 (at least 0.985)"
    monkeypatch.setattr(agreement, "evaluate_one", None)  # a call would fail
    assert compared("--engine", "auto", "--sequences", "long")[2] == lines[2]


def test_pytorch_in_float32_is_not_compared_with_itself(compared, capsys):
    with pytest.raises(SystemExit, match="2"):
        compared()
    assert "choose another --engine or --precision" in capsys.readouterr().err


def test_a_difference_above_the_bounds_is_named():
    row = agreement.Row("all", "mask", "OpenVINO, float32", [80.0, 81.0], [80.0, 80.0], [0.99, 0.99])
    assert agreement.verdict(row).startswith("mask: DOES NOT AGREE, J&F 0.50 apart")
