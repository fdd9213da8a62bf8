import functools

import pytest
import torch
from edgetam_weights import edgetam_weights

from sam2_ros.model.perceiver import SpatialPerceiver
from sam2_ros.model.sizes import EDGETAM, PERCEIVER_SIDE

NAME = "spatial_perceiver."


@functools.cache
def published():
    return {name.removeprefix(NAME): value for name, value in edgetam_weights().items() if name.startswith(NAME)}


def perceiver(side):
    model = SpatialPerceiver(EDGETAM.at(side))
    model.load_state_dict(published(), strict=True)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("side", [256, 512, 768, 1024])
def test_tokens_and_their_positions_are_those_of_the_official_perceiver(side):
    from edgetam_oracle import official_edgetam

    from sam2_ros.model.position import sine_grid

    theirs = official_edgetam(side).spatial_perceiver
    theirs.load_state_dict(published(), strict=True)
    grid = side // 16
    memory = torch.randn(1, 64, grid, grid) * 2
    ours = perceiver(side)
    tokens = ours(memory)
    expected, place = theirs(memory.contiguous(memory_format=torch.channels_last), sine_grid(64, grid)[None])
    assert expected.std() > 0.3 and (expected[:, 0] - expected[:, 1]).abs().max() > 0.1, "latents that show nothing"
    assert (tokens - expected).abs().max() < 2e-5
    assert torch.equal(ours.positions, place[0])


@torch.no_grad()
def test_every_object_of_a_batch_gets_the_tokens_that_it_gets_alone():
    memories = torch.randn(3, 64, 32, 32)
    together = perceiver(512)(memories)
    alone = torch.cat([perceiver(512)(memory[None]) for memory in memories])
    assert together.shape == (3, 512, 64)
    assert (together - alone).abs().max() < 1e-5


@torch.no_grad()
def test_a_token_of_the_grid_sees_its_window_alone():
    model, memory = perceiver(512), torch.randn(1, 64, 32, 32)
    before = model(memory)
    memory[:, :, 6:8, 20:22] *= -3  # window (3, 10)
    changed = (model(memory) - before).abs().amax(dim=2)[0] > 0
    assert changed[:256].all()
    assert changed[256:].nonzero().tolist() == [[3 * PERCEIVER_SIDE + 10]]


def test_keys_of_global_tokens_are_not_turned_and_those_of_the_grid_by_its_own_steps():
    cosine, sine = perceiver(512).cosine, perceiver(512).sine
    assert cosine.shape == sine.shape == (512, 128)
    assert torch.equal(cosine[:256], torch.ones(256, 128)) and not sine[:256].any()
    assert not sine[256].any() and cosine[257, 0] == torch.tensor(1.0).cos()
