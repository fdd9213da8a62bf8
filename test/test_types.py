"""Frames and prompts: what cannot be meant is refused by name at the door."""

import numpy as np
import pytest

from sam2_ros.errors import InvalidImage, InvalidPrompt
from sam2_ros.types import Frame, Prompt, State, Track, painted

IMAGE = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    "image, stamp, part",
    [
        ([[[0, 0, 0]]], 1, "RGB array, got list"),
        (IMAGE.astype(float), 1, "uint8 pixels, got float64"),
        (IMAGE[..., :2], 1, "(H, W, 3)"),
        (IMAGE[:0], 1, "at least one pixel"),
        (None, 1, "NoneType"),
        (IMAGE, 1.5, "nanoseconds from 0, got 1.5"),
        (IMAGE, -1, "got -1"),
        (IMAGE, "1", "got '1'"),
        (IMAGE, True, "True"),
    ],
)
def test_a_frame_that_is_no_image_or_no_stamp_is_refused(image, stamp, part):
    with pytest.raises(InvalidImage) as error:
        Frame(image, stamp)
    assert part in str(error.value)


def test_a_stamp_of_numpy_is_a_stamp():
    assert type(Frame(IMAGE, np.int64(7)).stamp) is int


@pytest.mark.parametrize(
    "values, part",
    [
        ({"points": [[1, 2, 3], [4, 5, 6]], "labels": [1, 1, 1]}, "(N, 2) array"),
        ({"points": [[1, 2], [3]], "labels": [1, 1]}, "pairs of numbers"),
        ({"points": "ab", "labels": [1]}, "pairs of numbers"),
        ({"points": [(1, 2)], "labels": [0.5]}, "labels are 1"),
        ({"points": [(1e300, 2)], "labels": [1]}, "finite"),
        ({"box": "0,1,2"}, "four numbers"),
        ({"box": (1, None, 2, 3)}, "four numbers"),
        ({"box": 5}, "four numbers"),
        ({"box": np.ones((1, 4))}, "four numbers"),
        ({"mask": [[1, 0], [1]]}, "rows of different length"),
        ({"mask": np.full((2, 2), 0.3)}, "threshold"),
        ({"mask": np.array([[-10.0, 10.0]])}, "threshold"),
        ({"mask": np.full((2, 2), np.nan)}, "threshold"),
        ({"mask": np.array([["a", "b"]])}, "bool, or whole numbers"),
        ({"name": 5}, "is text, got 5"),
        ({"name": b"cup"}, "is text"),
        ({"replace": "false"}, "replace is True or False"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(values, part):
    values = values if {"points", "box", "mask"} & set(values) else {"box": (0, 0, 2, 2), **values}
    with pytest.raises(InvalidPrompt) as error:
        Prompt(**values)
    assert part in str(error.value)


def test_lists_and_masks_of_whole_numbers_are_good_prompts():
    prompt = Prompt("cup", points=[(1, 2)], labels=[True], box=[0, 0, np.float32(3), 4], mask=[[0, 255], [0, 1]])
    assert prompt.points.shape == (1, 2) and prompt.box == (0, 0, 3, 4)
    assert prompt.mask.tolist() == [[False, True], [False, True]]
    assert Prompt("cup", points=(1, 2), labels=1).points.tolist() == [[1, 2]]


def seen(mask):
    return Track(1, "cup", State.VISIBLE, False, mask, 1.0, 1.0, np.zeros(4, np.float32), 0, 1)


@pytest.mark.parametrize("share", [0.0, 0.002, 0.3, 1.0])
def test_area_box_and_centroid_are_those_of_the_pixels(share):
    mask = np.random.default_rng(1).random((48, 64)) < share
    track, (rows, columns) = seen(mask), np.nonzero(mask)
    area, box, centroid = track.measured()
    assert area == track.area == len(rows) and box == track.box and centroid == track.centroid
    if not area:
        assert box is None and centroid is None
        return
    assert box == (columns.min(), rows.min(), columns.max(), rows.max())
    assert centroid == pytest.approx((columns.mean(), rows.mean()), abs=1e-9)


def test_a_number_of_numpy_is_painted_as_one_of_python():
    mask = np.eye(2, dtype=bool)
    assert (painted({np.int64(7): mask}, (2, 2)) == 7 * mask).all()


@pytest.mark.parametrize("largest, dtype", [(3, np.uint8), (300, np.uint16)])
def test_masks_are_painted_in_order_the_last_on_top(largest, dtype):
    random = np.random.default_rng(2)
    masks = {number: random.random((48, 64)) < 0.4 for number in (1, 2, largest)}
    masks[2][:] = False
    expected = np.zeros((48, 64), int)
    for number, mask in masks.items():
        expected[mask] = number
    labels = painted(masks, (48, 64))
    assert labels.dtype == dtype and (labels == expected).all()
