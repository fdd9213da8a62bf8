"""Photographs and cut-outs from a folder of pictures, and the bank that keeps them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
from sam2_ros.training import textures
from sam2_ros.training.clips import ClipSource, ClipStock
from sam2_ros.training.compositing import squared
from sam2_ros.training.textures import make_bank

RED, GREEN = (0, 0, 255), (0, 255, 0)  # BGR, as OpenCV writes


def write_cutout(path, colour=RED, hidden=GREEN, size=(120, 100)):
    """A disc of one colour; another is stored where it is transparent."""
    picture = np.zeros((*size, 4), np.uint8)
    picture[..., :3] = hidden
    cv2.circle(picture, (size[1] // 2, size[0] // 2), 30, (*colour, 255), -1)
    cv2.imwrite(str(path), picture)


def bank_of(folder):
    return make_bank(0, drawn=1, pictures=folder)


def test_a_picture_with_a_transparent_background_is_a_cutout_and_any_other_a_photograph(tmp_path):
    write_cutout(tmp_path / "disc.png")
    cv2.imwrite(str(tmp_path / "photograph.png"), np.full((80, 90, 3), 200, np.uint8))
    cv2.imwrite(str(tmp_path / "opaque.png"), np.full((80, 90, 4), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((80, 90), 10, np.uint8))
    bank, shipped = bank_of(tmp_path), make_bank(0, drawn=1)
    assert [picture.shape for picture in bank.cutouts] == [(120, 100, 4)]
    assert len(bank.photographs) == len(shipped.photographs) + 3
    assert all(picture.shape[2] == 3 for picture in bank.photographs)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((20, 90, 3), np.uint8), np.zeros((80, 90, 4), np.uint8), np.zeros((80, 90), np.uint16)],
    ids=["too small", "nothing opaque", "16 bits"],
)
def test_a_picture_that_shows_nothing_usable_is_passed_over(tmp_path, picture):
    write_cutout(tmp_path / "disc.png")
    cv2.imwrite(str(tmp_path / "useless.png"), picture)
    bank = bank_of(tmp_path)
    assert len(bank.cutouts) == 1 and len(bank.photographs) == len(make_bank(0, drawn=1).photographs)


def test_large_pictures_are_kept_smaller(tmp_path):
    write_cutout(tmp_path / "disc.png", size=(1000, 500))
    cv2.imwrite(str(tmp_path / "photograph.jpg"), np.zeros((300, 1500, 3), np.uint8))
    bank = bank_of(tmp_path)
    assert bank.cutouts[0].shape == (256, 128, 4)
    assert bank.photographs[-1].shape == (144, 720, 3)


def test_a_cutout_is_drawn_in_the_middle_of_a_square_without_the_colour_that_was_hidden_beside_it(tmp_path):
    write_cutout(tmp_path / "disc.png")
    cutout = bank_of(tmp_path).cutouts[0]
    sprite = squared(cutout, 64)
    assert sprite.shape == (64, 64, 4) and sprite[32, 32, 3] == 255 and not sprite[0, :, 3].any()
    rim = sprite[sprite[..., 3] > 10]
    assert rim[:, 0].min() > 200 and rim[:, 1].max() < 40  # red as stored, no green shines through


def test_a_cutout_drawn_from_the_bank_leaves_the_kept_one_as_it_is(tmp_path):
    write_cutout(tmp_path / "disc.png")
    bank = bank_of(tmp_path)
    before = bank.cutouts[0].copy()
    for seed in range(8):
        assert bank.cutout(np.random.default_rng(seed), 32).shape == (32, 32, 4)
    assert np.array_equal(bank.cutouts[0], before)


def test_a_scene_shows_cutouts(tmp_path, monkeypatch):
    write_cutout(tmp_path / "disc.png")
    drawn = []
    monkeypatch.setattr(
        textures.TextureBank, "cutout", lambda bank, random, side: drawn.append(side) or squared(bank.cutouts[0], side)
    )
    source = ClipSource(ClipStock(seed=1, pictures=tmp_path))
    assert all(source.draw(index, 2, 64).masks[0].any() for index in range(4)) and drawn


def test_of_a_large_folder_pictures_from_all_parts_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(textures, "MOST_PICTURES", 4)
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    assert [path.stem for path in textures.pictures_in(tmp_path)] == ["0", "3", "6", "9"]
