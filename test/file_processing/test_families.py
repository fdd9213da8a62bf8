"""``sam2_ros segment`` and ``sam2_ros track`` with saved weights of each family: what the tracker finds is written."""

import json

import numpy as np
import pytest
from run_command import main as run
from tiny_models import FAMILIES, tiny_model

from sam2_ros.model import checkpoint
from sam2_ros.recordings.labels import read_labels
from sam2_ros.recordings.pictures import read_picture
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt, label_image

CLICKED = Prompt("one", points=[(18, 16), (60, 2)], labels=[1, 0])
BOXED = Prompt("two", box=(40, 40, 55, 55))
CLICK = ("--name", "one", "--point", "18,16", "--point", "60,2,0")
BOX = ("--name", "two", "--box", "40,40,55,55")
ON_CPU = ("--device", "cpu", "--engine", "torch")


@pytest.fixture(scope="module", params=FAMILIES)
def saved(request, tmp_path_factory):
    """The weights of a random model that sees every object."""
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    checkpoint.save(tiny_model(FAMILIES[request.param], object_score=5.0), path)
    return path


@pytest.mark.parametrize("side", [0, 512])
def test_a_picture_is_segmented_as_by_the_tracker(saved, folder, tmp_path, side):
    picture, out = folder / "00003.png", tmp_path / "out"
    model = ("--model", saved, "--image-side", side, *ON_CPU)
    assert run("segment", picture, *CLICK, *BOX, *model, "--out", out) == 0
    tracker = Tracker(checkpoint.load(saved, "cpu", image_side=side))
    tracker.track(Frame(read_picture(picture)))
    for prompt in (CLICKED, BOXED):
        tracker.prompt(prompt)
    found = tracker.newest()
    assert np.array_equal(read_labels(out / "masks.png"), label_image(found, (64, 64)))
    results = json.loads((out / "result.json").read_text())
    assert [(one["name"], one["area"]) for one in results] == [(one.name, one.area) for one in found]
    assert any(one.area for one in found), "a model that finds nothing"


def test_pictures_are_tracked_as_by_the_tracker(saved, folder, tmp_path):
    out = tmp_path / "out"
    assert run("track", folder, *CLICK, "--frame", 2, *BOX, "--model", saved, *ON_CPU, "--out", out) == 0
    tracker, written = Tracker(checkpoint.load(saved, "cpu")), (out / "states.jsonl").read_text().splitlines()
    assert len(written) == 6
    for number, line in enumerate(map(json.loads, written)):
        tracker.track(Frame(read_picture(folder / f"{number:05d}.png")))
        if prompt := {0: CLICKED, 2: BOXED}.get(number):
            tracker.prompt(prompt)
        found = tracker.newest()
        assert [(one["name"], one["area"]) for one in line["objects"]] == [(one.name, one.area) for one in found]
        assert np.array_equal(read_labels(out / "masks" / f"{number:05d}.png"), label_image(found, (64, 64)))
    assert [one.name for one in found] == ["one", "two"] and any(one.area for one in found)
