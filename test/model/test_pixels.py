import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sam2_ros.model import pixels


def photograph(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(48, 64), (480, 640), (1, 1), (8, 300)])
def test_any_image_becomes_a_normalised_square(size):
    image = pixels.normalise(photograph(*size), 128)
    assert image.shape == (1, 3, 128, 128) and image.dtype == torch.float32 and image.isfinite().all()


def test_red_comes_first_and_grey_of_the_mean_is_zero():
    image = np.full((10, 10, 3), np.round(255 * np.array(pixels.MEAN)), np.uint8)
    assert pixels.normalise(image, 32).abs().max() < 0.01
    image[..., 0] = 255
    red, green, blue = pixels.normalise(image, 32)[0, :, 0, 0]
    assert red > 2 and abs(green) < 0.01 and abs(blue) < 0.01


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    image = pixels.normalise(stripes, 64)[0, :, 2:-2, 2:-2]
    half = (0.5 - torch.tensor(pixels.MEAN)) / torch.tensor(pixels.DEVIATION)
    assert (image - half[:, None, None]).abs().max() < 0.15


def test_an_image_that_is_a_view_into_another_is_read_correctly():
    image = photograph(40, 60)
    assert torch.equal(pixels.normalise(image[::-1, ::2], 32), pixels.normalise(image[::-1, ::2].copy(), 32))


def test_points_scale_with_each_axis():
    points = pixels.to_model(np.array([[0, 0], [640, 480], [320, 120]]), (480, 640), 1024)
    assert points.dtype == np.float32
    assert points.tolist() == [[0, 0], [1024, 1024], [512, 256]]


def test_a_click_lands_on_the_pixel_that_it_was_made_on():
    image = np.zeros((90, 160, 3), np.uint8)
    image[30, 100] = 255
    seen = pixels.normalise(image, 512)[0].sum(0)
    x, y = pixels.to_model(np.array([[100.5, 30.5]]), (90, 160), 512)[0]
    brightest = np.unravel_index(int(seen.argmax()), seen.shape)
    assert abs(brightest[0] - y) <= 4 and abs(brightest[1] - x) <= 3


def test_a_mask_stays_a_mask_at_the_models_size():
    mask = np.zeros((100, 200), bool)
    mask[20:60, 40:120] = True
    square = pixels.masks_to_model(mask, 128)
    assert square.shape == (1, 1, 128, 128)
    assert set(square.unique().tolist()) == {0.0, 1.0}
    assert abs(square.mean().item() - mask.mean()) < 0.01


def test_a_mask_of_the_models_size_is_not_touched():
    mask = np.random.RandomState(0).rand(64, 64) > 0.5
    assert np.array_equal(pixels.masks_to_model(mask, 64)[0, 0].numpy() > 0, mask)


def test_a_mask_of_thin_lines_is_not_lost_at_the_models_size():
    mask = np.zeros((480, 640), bool)
    mask[100, 50:300] = True
    square = pixels.masks_to_model(mask, 128)[0, 0].numpy()
    assert square[26].sum() >= 50 and square.sum() == square[26].sum()
    assert not pixels.masks_to_model(np.zeros_like(mask), 128).any()


def test_masks_come_back_at_the_cameras_size():
    mask = np.zeros((90, 160), bool)
    mask[30:60, 40:100] = True
    logits = F.interpolate(pixels.masks_to_model(mask, 256) * 20 - 10, size=(64, 64), mode="area")
    seen = pixels.to_masks(logits.expand(2, -1, -1, -1), (90, 160), exclusive=False)
    assert seen.shape == (2, 90, 160)
    assert np.count_nonzero(seen[1] != mask) < 0.05 * mask.sum()


def discs(count: int, side: int, reach: float) -> torch.Tensor:
    """Mask logits of ``count`` rough discs anywhere, some over the border; the first is seen nowhere."""
    random = torch.Generator().manual_seed(count)
    place = torch.arange(side) + 0.5
    rows, columns = (torch.rand(count, 1, generator=random) * side for _ in range(2))
    distance = ((place - rows)[:, :, None] ** 2 + (place - columns)[:, None] ** 2).sqrt()
    logits = reach * side - distance + torch.randn(count, side, side, generator=random)
    logits[0] = -1.0
    return logits[:, None]


@pytest.mark.parametrize("size", [(480, 640), (30, 50), (376, 1241), (1, 1), (17, 640), (64, 64)])
@pytest.mark.parametrize("reach", [0.02, 0.2, 2.0])
@pytest.mark.parametrize("exclusive", [True, False])
def test_interpolating_around_each_object_gives_what_the_whole_image_gives(size, reach, exclusive):
    logits = discs(5, 64, reach)
    logits[4] = logits[2]  # of equal ones the first has the pixel
    whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0].numpy()
    expected = whole > 0
    if exclusive:
        expected &= np.arange(5)[:, None, None] == whole.argmax(axis=0)
    assert (pixels.to_masks(logits, size, exclusive) == expected).all()


@pytest.mark.parametrize("size", [(480, 640), (720, 1280)])
@pytest.mark.parametrize("reach", [0.05, 0.15])
def test_only_objects_that_may_overlap_are_compared(size, reach):
    """Of sixteen objects some are alone and some are not; one is there twice."""
    logits = discs(16, 64, reach)
    logits[9] = logits[5]
    objects = [pixels._Object(one, size) for one in logits]
    whole = np.full((16, *size), -1.0, np.float32)
    for number, one in enumerate(objects):
        whole[number][one.part] = one.enlarged()
    crossing = pixels._crossing([one.part for one in objects])
    assert 0 < crossing.sum() < 16 and crossing[5] and crossing[9]
    expected = (whole > 0) & (np.arange(16)[:, None, None] == whole.argmax(axis=0))
    assert (pixels.to_masks(logits, size, exclusive=True) == expected).all()


def test_holes_of_many_objects_are_those_of_each_alone():
    logits = torch.randn(9, 1, 24, 24, generator=torch.Generator().manual_seed(4)) + 0.4
    logits[3], logits[5] = -1.0, 1.0
    alone = torch.cat([pixels.fill_holes(one[None], 8) for one in logits])
    assert (alone != logits).any() and torch.equal(pixels.fill_holes(logits, 8), alone)


def test_only_holes_up_to_the_area_are_filled():
    logits = torch.full((2, 1, 32, 32), 5.0)
    logits[0, 0, 4:6, 4:6] = -3.0  # 4 pixels
    logits[0, 0, 10:13, 10:13] = -3.0  # 9 pixels
    logits[0, 0, 20, 20] = logits[0, 0, 21, 21] = 0.0  # 2 pixels that touch at a corner, exactly at zero
    filled = pixels.fill_holes(logits, 8)
    assert (filled[0, 0, 4:6, 4:6] == pixels.HOLE_LOGIT).all()
    assert (filled[0, 0, 10:13, 10:13] == -3.0).all()
    assert filled[0, 0, 20, 20] == filled[0, 0, 21, 21] == pixels.HOLE_LOGIT
    assert torch.equal(filled[1], logits[1])
    assert (filled == pixels.HOLE_LOGIT).sum() == 6


def test_pixels_that_touch_at_a_corner_are_one_hole():
    logits = torch.ones(1, 1, 16, 16)
    for i in range(9):
        logits[0, 0, i, i] = -1.0
    assert torch.equal(pixels.fill_holes(logits, 8), logits)
    assert (pixels.fill_holes(logits, 9) > 0).all()


def test_area_zero_and_no_objects_change_nothing():
    logits = torch.randn(1, 1, 8, 8)
    assert pixels.fill_holes(logits, 0) is logits
    assert pixels.fill_holes(logits[:0], 8).shape == (0, 1, 8, 8)


def test_holes_are_those_of_the_official_definition():
    """A connected component of background, by area, computed here with plain flood fill."""
    logits = F.interpolate(torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)), size=(48, 48))
    expected, background = logits.clone(), (logits[0, 0] <= 0).numpy()
    seen = np.zeros_like(background)
    for start in zip(*np.nonzero(background)):
        if seen[start]:
            continue
        piece, stack = [], [start]
        seen[start] = True
        while stack:
            y, x = stack.pop()
            piece.append((y, x))
            for neighbour in ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)):
                if all(0 <= n < 48 for n in neighbour) and background[neighbour] and not seen[neighbour]:
                    seen[neighbour] = True
                    stack.append(neighbour)
        if len(piece) <= 8:
            for y, x in piece:
                expected[0, 0, y, x] = pixels.HOLE_LOGIT
    assert (expected != logits).any()
    assert torch.equal(pixels.fill_holes(logits, 8), expected)


def test_an_empty_mask_has_no_holes_and_the_outside_is_none():
    logits = torch.full((4, 1, 64, 64), -5.0)  # the first is of an absent object
    logits[1, 0, 30:34, 30:34] = 5.0  # a small thing
    logits[2, 0, :, 30:32] = 5.0  # a band through the image: background to the left and to the right
    logits[3, 0, 10:50, 10:50] = 5.0
    logits[3, 0, 20:40, 20:40] = -5.0  # a hole, and the outside around it all
    filled = pixels.fill_holes(logits, 4000)
    assert torch.equal(filled[:3], logits[:3])
    assert (filled[3] > 0).sum() == 1600 and (filled[3, 0, 20:40, 20:40] == pixels.HOLE_LOGIT).all()


def test_a_logit_at_a_pixel_is_that_of_the_whole_image():
    logits = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    for size in ((48, 80), (5, 7), (16, 16)):
        whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]
        for row in range(0, size[0], 3):
            for column in range(size[1]):
                assert np.allclose(pixels.at_pixel(logits, (row, column), size), whole[:, row, column], atol=1e-5)


def test_masks_that_share_a_camera_pixel_are_among_those_that_touch():
    logits = torch.randn(6, 1, 12, 12, generator=torch.Generator().manual_seed(2)) - 1.8
    for size in ((60, 90), (7, 5)):
        masks = pixels.to_masks(logits, size, exclusive=False)
        for row in range(6):
            shared = {other for other in range(6) if (masks[row] & masks[other]).any()}
            assert shared <= set(pixels.touching(logits, row))
    assert pixels.touching(torch.full((2, 1, 4, 4), -1.0), 1) == [1]
