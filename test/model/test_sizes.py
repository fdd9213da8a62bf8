import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.model.sizes import BASE_PLUS, EDGETAM, EMBEDDED, EMBEDDED_LITE, LARGE, SIZES, SMALL, TINY


def test_published_sizes_take_square_images_of_1024_pixels():
    assert {size.image_size for size in (TINY, SMALL, BASE_PLUS, LARGE)} == {1024}


def test_channels_double_at_each_stage():
    assert LARGE.channels == (144, 288, 576, 1152)


def test_a_size_at_another_side_differs_in_nothing_else():
    assert TINY.at(512).grid == 32
    assert TINY.at(512).at(1024) == TINY


@pytest.mark.parametrize("side", [0, -32, 100, 1000])
def test_a_side_that_the_strides_do_not_divide_is_refused_by_value(side):
    with pytest.raises(InvalidInput, match=f"multiple of 32 pixels, got {side}"):
        TINY.at(side)


def test_nothing_is_padded_in_the_embedded_size():
    tokens = [EMBEDDED.image_size // stride for stride in (4, 8, 16, 32)]
    assert all(count % window == 0 for count, window in zip(tokens, EMBEDDED.window_spec))


def test_every_size_is_known_by_its_name():
    assert all(size.name == name for name, size in SIZES.items())


def test_a_title_names_the_family_and_its_version():
    titles = [size.title for size in (TINY, TINY.as_version_2_0(), EDGETAM.at(512), EMBEDDED_LITE)]
    assert titles == ["SAM 2.1 tiny", "SAM 2.0 tiny", "EdgeTAM", "SAM 2.1 embedded"]
