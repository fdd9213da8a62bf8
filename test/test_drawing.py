"""Pictures for people."""

from dataclasses import replace

import numpy as np
import pytest

from sam2_ros.drawing import colour, contact_sheet, label_of, overlay
from sam2_ros.types import State, Track


def track(mask, state=State.VISIBLE, object_id=1):
    return Track(object_id, "cup", state, not mask.any(), mask, 5.0, 0.9, np.zeros(4, np.float32), 0, 1)


def square():
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:50] = True
    return mask


def test_an_overlay_tints_the_object_and_leaves_its_image_alone():
    image = np.full((60, 80, 3), 100, np.uint8)
    picture = overlay(image, [track(square())])
    assert (image == 100).all()
    assert (picture[30, 40] != 100).any()
    assert (picture[50, 70] == 100).all()


def test_an_object_out_of_sight_is_named_in_the_corner():
    image = np.zeros((60, 80, 3), np.uint8)
    assert overlay(image, [track(np.zeros((60, 80), bool), State.OCCLUDED)])[:20].any()


def test_an_object_without_a_mask_is_not_called_visible(monkeypatch):
    words = []
    monkeypatch.setattr("sam2_ros.drawing._write", lambda picture, text, *_: words.append(text))
    nothing = np.zeros((60, 80), bool)
    overlay(np.zeros((60, 80, 3), np.uint8), [track(nothing), track(nothing, State.LOST)])
    assert words == ["cup: not seen", "cup: lost"]


def test_notes_stand_behind_the_names(monkeypatch):
    words = []
    monkeypatch.setattr("sam2_ros.drawing._write", lambda picture, text, *_: words.append(text))
    tracks = [track(square()), track(square(), State.OCCLUDED, 2), track(np.zeros((60, 80), bool), State.LOST, 3)]
    overlay(np.zeros((60, 80, 3), np.uint8), [*tracks, track(square(), object_id=4)], notes={1: "a", 2: "b", 3: "c"})
    assert words == ["cup a", "cup b: occluded", "cup: lost, c", "cup"]


def test_a_label_reads_on_things_of_its_own_colour():
    for number in range(1, 9):
        image = np.full((120, 160, 3), colour(number), np.uint8)
        mask = np.zeros((120, 160), bool)
        mask[40:80, 30:90] = True
        label = overlay(image, [track(mask, object_id=number)], unit=1.0)[20:36, 30:70].astype(float)
        brightness = label @ (0.299, 0.587, 0.114)
        assert brightness.max() - brightness.min() > 80


def test_a_label_at_the_right_edge_stays_in_the_picture():
    mask = np.zeros((60, 200), bool)
    mask[30:50, 190:199] = True
    picture = overlay(np.zeros((60, 200, 3), np.uint8), [track(mask)], unit=1.0)
    assert picture[:28, 120:185].any()


def test_neighbouring_ids_have_clearly_different_colours():
    colours = np.array([colour(number) for number in range(1, 9)], float)
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=2)
    assert distances[~np.eye(8, dtype=bool)].min() > 60


def test_a_contact_sheet_holds_images_of_any_size_in_rows():
    images = [np.full((48, 64, 3), 10 * n, np.uint8) for n in range(1, 6)] + [np.full((640, 480, 3), 200, np.uint8)]
    sheet = contact_sheet(images, columns=3, captions=list("abcdef"), width=100)
    assert sheet.shape == (2 * 133, 300, 3)
    assert sheet[20, 50].tolist() == [10, 10, 10] and sheet[20, 150].tolist() == [20, 20, 20]


def test_tiny_images_can_be_drawn_on():
    assert overlay(np.zeros((8, 8, 3), np.uint8), [track(np.ones((8, 8), bool))]).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "name, label", [("cup 2", "cup 2"), ("T\u00fcr", "#7"), ("\u30b3\u30c3\u30d7", "#7"), ("a\nb", "#7")]
)
def test_a_name_with_letters_that_opencv_does_not_have_is_drawn_as_the_id(name, label):
    assert label_of(replace(track(square(), object_id=7), name=name)) == label


def test_a_caption_that_is_no_text_does_not_end_the_process():
    assert contact_sheet([np.zeros((48, 64, 3), np.uint8)], 1, ["caf\udce9"]).shape == (240, 320, 3)
