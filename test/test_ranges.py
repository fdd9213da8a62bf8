import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.ranges import Range

RNG = np.random.default_rng(5)
SCENE = RNG.random((60, 80)) ** 2  # darker than light, as infrared images are


def image(low, high, scene=SCENE):
    return (low + scene * (high - low)).astype(np.uint16)


def levels(pictures):
    return len(np.unique(pictures))


@pytest.mark.parametrize("low, high", [(0, 4095), (0, 1000), (29_700, 30_300), (64, 1023), (0, 65_535)])
def test_a_camera_that_uses_few_of_its_values_keeps_its_grey_levels(low, high):
    picture = Range("auto").eight_bits(image(low, high))
    assert levels(picture) > 200
    assert (
        np.diff(picture.reshape(-1)[np.argsort(SCENE.reshape(-1))].astype(int)) >= 0
    ).all()  # brighter stays brighter


def test_pixels_without_a_value_and_a_lamp_do_not_spoil_the_range():
    thermal = image(29_700, 30_300)
    thermal[:10] = 0
    thermal[20, 20:22] = 65_535
    assert levels(Range("auto").eight_bits(thermal)) > 150


def test_the_picture_does_not_flicker_where_the_values_tremble():
    grey = Range("auto")
    still = image(1000, 2000)
    first = grey.eight_bits(still)
    for _ in range(30):
        grey.eight_bits(image(1000 + RNG.integers(-40, 40), 2000 + RNG.integers(-40, 40)))
        assert (grey.eight_bits(still) == first).all()


def test_a_hand_before_the_lens_changes_the_range_little_and_another_scene_at_once():
    grey = Range("auto")
    still = image(0, 4000)
    before = grey.eight_bits(still)
    grey.eight_bits(image(100, 200))
    assert np.abs(grey.eight_bits(still).astype(int) - before).max() <= 12
    assert levels(grey.eight_bits(image(30_000, 31_000))) > 200


def test_a_range_follows_a_scene_that_slowly_warms_up():
    grey = Range("auto")
    for shift in range(0, 3000, 15):
        picture = grey.eight_bits(image(29_000 + shift, 29_600 + shift))
        assert levels(picture) > 120 and (picture == 255).mean() < 0.2


def test_the_same_images_give_the_same_pictures_again():
    shown = [image(0, high) for high in (1000, 1400, 700, 700, 5000)]
    first, second = Range("auto"), Range("auto")
    assert all((first.eight_bits(one) == second.eight_bits(one)).all() for one in shown)


def test_a_range_in_raw_values_is_taken_as_it_is():
    values = np.array([[0, 100, 150, 200, 65_535]], np.uint16)
    assert Range("100,200").eight_bits(values).tolist() == [[0, 0, 128, 255, 255]]
    assert Range("-5.5, 20").eight_bits(np.array([[-9, -5.5, 20, np.nan, np.inf]], np.float32)).tolist() == [
        [0, 0, 255, 0, 0]
    ]


def test_the_full_range_is_that_of_sixteen_bits():
    values = np.array([[0, 128, 129, 65_535]], np.uint16)
    assert Range("full").eight_bits(values).tolist() == [[0, 0, 1, 255]]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("value", [0, 7, 30_000, 65_535])
def test_an_image_without_contrast_is_one_grey(dtype, value):
    grey = Range("auto")
    assert levels([grey.eight_bits(np.full((4, 5), value, dtype)) for _ in range(3)]) == 1


def test_floats_of_a_thermal_camera_are_followed_too():
    kelvin = (295 + 8 * SCENE).astype(np.float32)
    kelvin[0, :4] = np.nan, np.inf, -np.inf, 1e30
    assert levels(Range("auto").eight_bits(kelvin)) > 200
    assert not Range("auto").eight_bits(np.full((2, 2), np.nan, np.float32)).any()


@pytest.mark.parametrize("rule", ["", "Auto", "0", "0,0", "5,1", "0,nan", "0,inf", "1,2,3", "a,b"])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(InvalidInput, match="image_range must be auto, full, or LOW,HIGH"):
        Range(rule)
