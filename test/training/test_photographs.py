import json

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.training.clips import ClipSource, ClipStock
from sam2_ros.training.kept_aside import draw, kept_aside
from sam2_ros.training.photographs import Photographs

ASIDE = min(kept_aside("photos"))


@pytest.fixture
def folder(tmp_path):
    """Two photographs to train on and one kept aside; a bright thing (label 1) on each, and what is unknown (255)."""
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    entries = []
    for name, group in (("a", "coco"), ("b", "screws"), (ASIDE, "coco")):
        labels = np.zeros((60, 80), np.uint8)
        labels[20:40, 30:60] = 1
        labels[:5] = 255
        image = np.where(labels[..., None] == 1, 250, 20).astype(np.uint8).repeat(3, axis=2)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 100])
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), labels)
        entries.append({"id": name, "set": group, "file": f"{name}.jpg"})
    (tmp_path / "index.json").write_text(json.dumps({"images": entries}))
    return tmp_path


def test_photographs_that_are_kept_aside_are_never_drawn_for_training(folder):
    assert Photographs(folder).sets == {"coco": ["a"], "screws": ["b"]}
    assert Photographs(folder, held_out=True).sets == {"coco": [ASIDE]}


@pytest.mark.parametrize("seed", range(6))
def test_a_photograph_comes_with_its_masks_on_the_same_pixels(folder, seed):
    picture, covers = Photographs(folder).draw(np.random.default_rng(seed), 64)
    assert picture.shape == (64, 64, 3) and covers.shape == (1, 64, 64)
    inside, outside = covers[0] > 250, covers[0] < 5
    assert picture[inside].mean() > 200 and picture[outside].mean() < 60


def test_a_photograph_alone_is_a_training_image_and_under_a_moving_camera_a_clip(folder):
    source = ClipSource(ClipStock(3, photos=folder, photo_share=1.0))
    image = source.draw(0, 1, 64)
    assert image.masks.shape == (1, 1, 64, 64) and image.masks.any()
    photo = source._photo(source.photos, np.random.default_rng(0), 4, 64)
    assert photo[0].shape == (4, 64, 64, 3) and photo[1].shape[:1] == (4,)


def test_a_whole_thing_is_cut_out_and_one_that_the_border_cuts_is_not(folder):
    photographs = Photographs(folder)
    sprite = photographs.cutout(np.random.default_rng(0), 48)
    inside = sprite[..., 3] > 250
    assert sprite.shape == (48, 48, 4) and inside.any() and sprite[inside][:, :3].min() > 150
    for _, labels in map(photographs.photo, ("a", "b")):
        labels[20:40, 60:] = 1
    assert photographs.cutout(np.random.default_rng(0), 48) is None


def test_a_folder_without_photographs_is_refused_with_what_is_wanted(tmp_path):
    with pytest.raises(RecordingError, match="index.json cannot be read.*photographs with masks"):
        Photographs(tmp_path)


def test_pictures_of_one_photograph_are_kept_aside_together():
    photos = [
        {"id": f"{number}-{copy}", "set": "tools", "file": f"train/shot{number}_jpg.rf.{copy}.jpg"}
        for number in range(10)
        for copy in range(3)
    ]
    chosen = draw(photos, [{"name": f"object{number}"} for number in range(10)])
    assert len(chosen["photos"]) == 3 and len({name.split("-")[0] for name in chosen["photos"]}) == 1
    assert len(chosen["objects"]) == 2
