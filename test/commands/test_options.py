"""Options that several commands have."""

import cv2
import numpy as np
import pytest

from sam2_ros import cli
from sam2_ros.engines import openvino
from sam2_ros.stream.tracker_setup import TrackerSetup

#: A command that loads a model, and what it must be given.
LOADING = {"segment": ["--point", "8,8"], "track": ["--point", "8,8"]}


@pytest.fixture
def pictures(tmp_path):
    """A folder of one picture."""
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "00000.png"), np.zeros((48, 64, 3), np.uint8))
    return tmp_path / "pictures"


def run(command, pictures, out, *words):
    source = pictures / "00000.png" if command == "segment" else pictures
    return cli.main([str(word) for word in (command, source, *LOADING[command], "--out", out, *words)])


@pytest.mark.parametrize("command", LOADING)
def test_a_model_is_loaded_for_the_chosen_side_of_the_image(command, pictures, tmp_path, weights, monkeypatch):
    sides, make = [], TrackerSetup.tracker

    def recorded(setup):
        tracker = make(setup)
        sides.append(tracker._model.size.image_size)
        return tracker

    monkeypatch.setattr(TrackerSetup, "tracker", recorded)
    assert run(command, pictures, tmp_path / "one", "--model", weights) == 0
    assert run(command, pictures, tmp_path / "two", "--model", weights, "--image-side", "192") == 0
    assert sides == [128, 192]


@pytest.mark.parametrize("command", LOADING)
def test_a_side_that_the_model_cannot_take_is_refused_in_one_sentence(command, pictures, tmp_path, weights, capsys):
    assert run(command, pictures, tmp_path / "out", "--model", weights, "--image-side", "100") == 1
    assert capsys.readouterr().err == (
        f"sam2_ros {command}: the image side must be a multiple of 32 pixels, got 100; "
        "the nearest that test can take are 96 and 128\n"
    )


@pytest.mark.parametrize("side", ["small", "-512", "51.2"])
def test_a_side_that_is_no_number_of_pixels_is_wrong_usage(side, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["replay", "bag", "--out", "out", f"--image-side={side}"])
    assert ended.value.code == 2
    assert f"'{side}' must be a whole number of pixels, or 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", LOADING)
def test_an_engine_that_is_not_installed_is_refused_in_one_sentence(
    command, pictures, tmp_path, weights, capsys, monkeypatch
):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    words = ("--model", weights, "--device", "cpu", "--engine")
    assert run(command, pictures, tmp_path / "one", *words, "torch") == 0
    assert run(command, pictures, tmp_path / "two", *words, "openvino") == 1
    said = capsys.readouterr().err
    assert said == f"sam2_ros {command}: {openvino.MISSING}\n"
