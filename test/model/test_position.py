import pytest
import torch

from sam2_ros.model import position
from sam2_ros.model.position import FourierPositions

official = pytest.importorskip("sam2.modeling.position_encoding", reason="the official package is not installed")


@pytest.mark.parametrize(("channels", "side"), [(256, 16), (64, 7)])
def test_the_sine_grid_is_the_official_one(channels, side):
    theirs = official.PositionEmbeddingSine(channels)(torch.zeros(1, 1, side, side))[0]
    assert (position.sine_grid(channels, side) - theirs).abs().max() < 1e-6


def test_the_sine_line_is_the_official_one_at_any_distance():
    from sam2.modeling.sam2_utils import get_1d_sine_pe

    positions = torch.tensor([[0.0, 1 / 15, 1.0], [-0.4, 700.0, 30.0]])
    assert torch.equal(position.sine_line(positions, 64), get_1d_sine_pe(positions, 64))


def test_turning_is_the_official_complex_product_with_even_channels_first():
    side, channels = 6, 32
    x = torch.randn(2, 1, side * side, channels)
    theirs, _ = official.apply_rotary_enc(x, x, official.compute_axial_cis(channels, side, side))
    by_halves = torch.cat((x[..., 0::2], x[..., 1::2]), dim=-1)
    ours = position.rotate(by_halves, *position.rotary_table(channels, side))
    assert (ours - torch.cat((theirs[..., 0::2], theirs[..., 1::2]), dim=-1)).abs().max() < 1e-5


def test_turned_tokens_see_only_how_far_apart_they_are():
    cosine, sine = position.rotary_table(32, 8)
    query, key = torch.randn(32), torch.randn(32)
    turned = [position.rotate(x.expand(64, -1), cosine, sine) for x in (query, key)]
    scores = turned[0] @ turned[1].T  # between every two places of the 8 x 8 grid
    assert scores[0, 9] == pytest.approx(scores[18, 27].item(), abs=1e-4)  # one right and one down, twice
    assert abs(scores[0, 9] - scores[0, 10]) > 1e-3


def test_turning_keeps_the_type_of_half_precision():
    table = position.rotary_table(16, 4)
    assert position.rotate(torch.randn(1, 16, 16, dtype=torch.bfloat16), *table).dtype == torch.bfloat16


def test_fourier_positions_are_the_official_ones():
    ours, theirs = FourierPositions(64), official.PositionEmbeddingRandom(32)
    theirs.load_state_dict(ours.state_dict())
    points = torch.rand(2, 5, 2) * 128
    assert (ours(points / 128) - theirs.forward_with_coords(points, (128, 128))).abs().max() < 1e-5
    assert (ours.grid(8) - theirs((8, 8))).abs().max() < 1e-5


def test_tables_are_real_even_when_a_model_is_built_without_memory():
    with torch.device("meta"):
        tables = [position.sine_grid(16, 4), *position.rotary_table(16, 4)]
    assert all(table.device.type == "cpu" for table in tables)
