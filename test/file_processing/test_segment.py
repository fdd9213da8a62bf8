"""``sam2_ros segment``, with a model that follows colours."""

import json

import numpy as np
import pytest
from run_command import main as run

from sam2_ros.recordings.labels import read_labels
from sam2_ros.stream import tracker_setup

pytestmark = pytest.mark.usefixtures("colour_model")


def test_one_picture_is_segmented(folder, tmp_path, capsys):
    out = tmp_path / "out"
    first, second = ("--name", "a", "--point", "18,16", "--point", "60,2,0"), ("--name", "b", "--box", "40,40,55,55")
    assert run("segment", folder / "00003.png", *first, *second, "--out", out) == 0
    assert np.unique(read_labels(out / "masks.png")).tolist() == [0, 1, 2]
    assert [found["name"] for found in json.loads((out / "result.json").read_text())] == ["a", "b"]
    assert "a: " in capsys.readouterr().out


def test_a_picture_that_is_not_there_is_said_before_a_model_is_loaded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tracker_setup, "_load", None)
    assert run("segment", tmp_path / "cup.jpg", "--point", "1,1", "--out", tmp_path / "out") == 1
    assert "there is no picture" in capsys.readouterr().err


@pytest.mark.parametrize(("content", "reason"), [(b"", "0 bytes are not"), (b"\xff\xd8\xff\xe0", "ends too early")])
def test_why_a_picture_cannot_be_read_is_said(tmp_path, capsys, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    assert run("segment", tmp_path / "a.jpg", "--point", "6,16", "--out", tmp_path / "out") == 1
    assert reason in capsys.readouterr().err
