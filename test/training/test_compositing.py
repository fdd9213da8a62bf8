import numpy as np

from sam2_ros.training.compositing import Bend, Layer, Lens, as_clip, paint
from sam2_ros.training.motion import shift


def square(colour, side=20):
    sprite = np.zeros((1, side, side, 4), np.uint8)
    sprite[0, 2:-2, 2:-2] = (*colour, 255)
    return sprite


def at(*places):
    return np.stack([shift(x, y) for x, y in places])


def black(side=64):
    return np.zeros((side, side, 3), np.uint8)


def test_a_layer_is_painted_where_its_matrix_puts_it_and_its_mask_says_where():
    image, (mask,) = paint(black(), [Layer(square((200, 10, 10)), at((10, 30)))], 0)
    assert (mask[32:48, 12:28] == 255).all() and mask.sum() == 255 * 16 * 16
    assert (image[mask == 255] == (200, 10, 10)).all() and not image[mask == 0].any()


def test_a_nearer_layer_hides_the_one_behind_and_takes_its_pixels_from_the_mask():
    layers = [Layer(square((200, 0, 0)), at((10, 10))), Layer(square((0, 200, 0)), at((18, 10)))]
    _, (behind, front) = paint(black(), layers, 0)
    assert front.sum() == 255 * 16 * 16 and behind.sum() == 255 * 16 * 8
    assert not ((behind > 0) & (front > 0)).any()


def test_what_is_hidden_entirely_has_an_empty_mask():
    layers = [Layer(square((200, 0, 0)), at((10, 10))), Layer(square((0, 200, 0), 30), at((5, 5)))]
    assert not paint(black(), layers, 0)[1][0].any()


def test_things_of_the_background_are_hidden_too():
    scenery = np.full((64, 64), 255, np.uint8)
    _, (behind, front) = paint(black(), [Layer(square((9, 9, 9)), at((10, 10)))], 0, [scenery])
    assert (behind[front == 255] == 0).all() and (behind[front == 0] == 255).all()


def test_a_layer_outside_the_picture_paints_nothing():
    image, (mask,) = paint(black(), [Layer(square((9, 9, 9)), at((100, 100)))], 0)
    assert not image.any() and not mask.any()


def test_a_part_is_an_object_inside_its_whole():
    part = np.zeros((20, 20), np.uint8)
    part[2:10, 2:10] = 255
    _, (whole, piece) = paint(black(), [Layer(square((9, 9, 9)), at((10, 10)), part=part)], 0)
    assert piece.sum() == 255 * 64 and (whole[piece == 255] == 255).all()


def test_a_bend_moves_pixels_of_picture_and_mask_together():
    bend = Bend(np.array([4.0]), np.array([0.0]), 20.0, False)
    image, (mask,) = paint(black(), [Layer(square((90, 80, 70)), at((10, 10)), bend)], 0)
    _, (straight,) = paint(black(), [Layer(square((90, 80, 70)), at((10, 10)))], 0)
    assert (mask != straight).any() and (image[mask == 255] == (90, 80, 70)).all()


def test_a_shadow_darkens_the_ground_and_not_the_object():
    ground = np.full((64, 64, 3), 200, np.uint8)
    image, (mask,) = paint(ground, [Layer(square((90, 80, 70)), at((10, 10)), shadow=(6, 6, 0.8))], 0)
    assert (image[mask == 255] == (90, 80, 70)).all() and image[28:31, 28:31].max() < 150


def test_a_neutral_lens_changes_nothing_and_a_dark_one_darkens():
    image, still = np.full((16, 16, 3), 100, np.uint8), np.zeros((16, 16, 3), np.int8)
    plain = Lens(np.ones((1, 3)), np.ones(1), np.zeros(1), np.zeros((1, 2)), 0.0, 0)
    dark = Lens(np.full((1, 3), 0.5), np.ones(1), np.zeros(1), np.zeros((1, 2)), 0.0, 0)
    assert abs(plain.take(image, 0, still).astype(int) - 100).max() <= 1
    assert abs(dark.take(image, 0, still).astype(int) - 50).max() <= 1


def test_a_picture_that_is_made_larger_has_no_blocks_and_its_mask_stays_on_it():
    label = np.zeros((24, 32), np.uint8)
    label[6:12, 8:20] = 7
    picture = np.where(label[..., None] == 7, 240, 0).repeat(3, axis=2).astype(np.uint8)
    images, covers = as_clip([picture], [label], [7], 96)
    assert images.shape == (1, 96, 96, 3) and covers.shape == (1, 1, 96, 96)
    assert len(np.unique(images[0, 20:40, 40, 0])) > 3  # an edge is a slope now, not a step
    assert (images[0, covers[0, 0] > 250] > 230).all() and (images[0, covers[0, 0] == 0] == 0).all()
