import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.simulated_user import box_around, first_click, next_click


def rectangle(x0, y0, x1, y1, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
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


@pytest.mark.parametrize("ask", [box_around, first_click])
def test_an_empty_mask_is_refused_with_the_remedy(ask):
    with pytest.raises(InvalidInput, match="visible"):
        ask(np.zeros((4, 4), bool))
