import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.simulated_user import box_around, first_click, next_click, noisy_box, random_click


def rectangle(x0, y0, x1, y1, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[y0:y1 + 1, x0:x1 + 1] = True
    return mask


def test_the_first_click_is_positive_and_in_the_middle():
    point, label = first_click(rectangle(10, 10, 20, 20))
    assert point.tolist() == [15, 15] and label == 1


def test_the_first_click_lies_on_a_ring_and_not_in_its_hole():
    mask = rectangle(5, 5, 35, 35) & ~rectangle(10, 10, 30, 30)
    x, y = first_click(mask)[0].astype(int)
    assert mask[y, x]


def test_a_region_at_the_border_is_clicked_inside_and_not_on_the_border():
    assert first_click(rectangle(0, 0, 10, 39))[0][0] == 5


def test_a_missed_part_gets_a_positive_click_in_its_middle():
    truth, found = rectangle(0, 0, 40, 20), rectangle(0, 0, 20, 20)
    point, label = next_click(truth, found)
    assert label == 1 and 28 <= point[0] <= 33 and 8 <= point[1] <= 12


def test_the_larger_of_two_errors_is_corrected_first():
    truth = rectangle(0, 0, 10, 10)
    found = rectangle(0, 0, 8, 10) | rectangle(30, 10, 55, 35)
    point, label = next_click(truth, found)
    assert label == 0 and point[0] > 30


def test_a_perfect_mask_needs_no_click():
    assert next_click(rectangle(3, 3, 9, 9), rectangle(3, 3, 9, 9)) is None


def test_random_clicks_fall_on_the_error_and_cover_it():
    truth, found = rectangle(0, 0, 20, 20), rectangle(10, 0, 30, 20)
    random = np.random.default_rng(0)
    clicks = [random_click(truth, found, random) for _ in range(200)]
    assert {label for _, label in clicks} == {0, 1}
    for (x, y), label in clicks:
        assert (truth ^ found)[int(y), int(x)] and truth[int(y), int(x)] == bool(label)
    assert np.ptp([point[0] for point, _ in clicks]) > 25


def test_a_random_click_without_a_mask_is_on_the_object():
    truth = rectangle(4, 4, 6, 6)
    (x, y), label = random_click(truth, None, np.random.default_rng(1))
    assert truth[int(y), int(x)] and label == 1


def test_a_random_click_where_nothing_is_wrong_and_nothing_is_there_is_negative():
    empty = np.zeros((8, 8), bool)
    assert random_click(empty, empty, np.random.default_rng(1))[1] == 0


def test_a_noisy_box_stays_within_a_tenth_of_its_side_and_inside_the_image():
    mask = rectangle(0, 10, 50, 30)
    random = np.random.default_rng(2)
    for _ in range(50):
        x0, y0, x1, y1 = noisy_box(mask, random)
        assert 0 <= x0 <= 5 and 8 <= y0 <= 12 and 45 <= x1 <= 55 and 28 <= y1 <= 32


def test_the_noise_of_a_large_box_is_bounded_in_pixels():
    mask = np.ones((1000, 1000), bool)
    corners = [noisy_box(mask, np.random.default_rng(seed))[0] for seed in range(50)]
    assert max(corners) <= 20


def test_a_box_around_one_pixel_still_has_an_area():
    for x, y in ((7, 7), (59, 39)):
        x0, y0, x1, y1 = noisy_box(rectangle(x, y, x, y), np.random.default_rng(0))
        assert x0 < x1 <= 59 and y0 < y1 <= 39


@pytest.mark.parametrize("ask", [box_around, first_click])
def test_an_empty_mask_is_refused_with_the_remedy(ask):
    with pytest.raises(InvalidInput, match="visible"):
        ask(np.zeros((4, 4), bool))
