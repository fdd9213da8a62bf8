"""A training that travels in one file to a machine that is lent for some minutes."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch

from sam2_ros.model import checkpoint
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.recordings.labels import encode_labels
from sam2_ros.training.footage import Footage
from sam2_ros.training.kept_aside import kept_aside
from sam2_ros.training.on_gpu import RECIPE, run
from sam2_ros.training.packing import SHARES, pack, unpack
from sam2_ros.training.photographs import Photographs
from sam2_ros.training.recipe import read_settings
from sam2_ros.training.robot_clips import RobotClips
from sam2_ros.training.start import initialise

HELD_OUT = min(kept_aside("photos"))


def picture(seed, shape=(300, 400)):
    image = np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)
    labels = np.zeros(shape, np.uint8)
    labels[40:120, 60:200] = 1
    image[40:120, 60:200] = (200, 60, 20)
    return cv2.blur(image, (9, 9)), labels


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Photographs, one of them kept aside, two videos, and two scenes with look-alikes; and weights to begin with."""
    root = tmp_path_factory.mktemp("sources")
    for folder in ("photos/images", "photos/masks", "scenes"):
        (root / folder).mkdir(parents=True)
    names = ["one", "two", "three", HELD_OUT]
    for seed, name in enumerate(names):
        image, labels = picture(seed)
        cv2.imwrite(str(root / f"photos/images/{name}.jpg"), image)
        (root / f"photos/masks/{name}.png").write_bytes(encode_labels(labels))
    entries = [{"id": name, "set": "tools", "licence": "CC BY 4.0"} for name in names]
    (root / "photos/index.json").write_text(json.dumps({"images": entries}))
    for video in ("walk", "run"):
        for kind in ("JPEGImages", "Annotations"):
            (root / "footage" / kind / video).mkdir(parents=True)
        for number in range(8):
            image, labels = picture(number)
            cv2.imwrite(str(root / f"footage/JPEGImages/{video}/{number:05d}.jpg"), image)
            (root / f"footage/Annotations/{video}/{number:05d}.png").write_bytes(encode_labels(labels))
    for seed in range(2):
        moments = [np.dstack(picture(10 * seed + number, (96, 128))) for number in range(6)]
        np.save(root / f"scenes/{seed}.npy", np.stack(moments))
        (root / f"scenes/{seed}.visible.csv").write_text("# cup,cup\n1,1\n")
    torch.manual_seed(0)
    checkpoint.save(initialise(SAM2(TEST)), root / "initial.safetensors")
    return root


@pytest.fixture(scope="module")
def packed(sources, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "pack.zip"
    folders = {kind: sources / kind for kind in SHARES if (sources / kind).is_dir()}
    counts = pack(path, 60, folders, sources / "initial.safetensors")
    assert counts == {"photos": 3, "footage": 2, "scenes": 2}
    return path


def test_what_is_unpacked_is_read_as_what_was_packed(sources, packed, tmp_path):
    named = unpack(packed, tmp_path)
    assert sorted(named) == ["footage", "initial", "photos", "scenes"]
    photographs, before = Photographs(named["photos"]), Photographs(sources / "photos")
    assert sorted(photographs.sets["tools"]) == sorted(before.sets["tools"])
    image, labels = photographs.photo("one")
    assert labels.shape == (256, 341) and set(np.unique(labels)) == {0, 1}
    assert image[labels == 1].mean(axis=0) == pytest.approx((20, 60, 200), abs=12)
    assert "CC BY 4.0" in (tmp_path / "photos" / "index.json").read_text()
    assert [len(video.pictures) for video in Footage(named["footage"]).sequences] == [8, 8]
    scenes, whole = RobotClips(named["scenes"]), RobotClips(sources / "scenes")
    assert scenes.names(0) == ["cup", "cup"]
    assert (scenes.scene(0)[1] == whole.scene(0)[1]).all()
    assert np.abs(scenes.scene(0)[0].astype(int) - whole.scene(0)[0]).mean() < 8


def test_what_is_kept_aside_is_not_packed(packed, tmp_path):
    assert HELD_OUT.encode() not in packed.read_bytes()


def test_a_pack_is_no_larger_than_asked_for_and_long_videos_lose_pictures_first(sources, tmp_path):
    folders = {kind: sources / kind for kind in ("photos", "footage")}
    size = (sources / "initial.safetensors").stat().st_size / 2**20 + 0.15
    counts = pack(tmp_path / "small.zip", size, folders, sources / "initial.safetensors")
    assert (tmp_path / "small.zip").stat().st_size <= size * 2**20 * 1.02
    assert counts["footage"] == 2
    named = unpack(tmp_path / "small.zip", tmp_path / "small")
    assert all(2 <= len(video.pictures) < 8 for video in Footage(named["footage"]).sequences)


def test_a_training_fits_into_its_minutes_and_goes_on_when_it_is_called_again(packed, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    stage = "frames: 2, clips: 1, side: 128, clicks: 1, corrections: 1"
    recipe.write_text(
        "device: cpu\nworkers: 0\nthreads: 1\nvalidate_every: 0\nsave_minutes: 0\nstages:\n"
        f"- {{steps: 2, rate: 1.0e-4, end_rate: 1.0e-4, {stage}}}\n"
        f"- {{steps: 9, rate: 1.0e-4, end_rate: 1.0e-6, {stage}}}\n"
    )
    weights = run(packed, tmp_path / "run", 0.2, recipe)
    checkpoint.load(str(weights), "cpu")
    rows = list(csv.DictReader((tmp_path / "run" / "steps.csv").open()))
    assert len(rows) > 2 and float(rows[-1]["rate"]) < 9e-5, "the rate falls within the time"
    planned = json.loads((tmp_path / "run" / "settings.json").read_text())["stages"][1]["steps"]
    run(packed, tmp_path / "run", 0.1, recipe)
    again = json.loads((tmp_path / "run" / "settings.json").read_text())["stages"][1]["steps"]
    assert planned == again, "a second call goes on with what the first planned"


def test_the_recipe_for_a_gpu_is_a_recipe():
    settings = read_settings(RECIPE, initial="embedded")
    assert len(settings.stages) == 2 and settings.stages[-1].rate > settings.stages[-1].end_rate
