"""What memories are compressed to is a part of the model that another family replaces."""

import dataclasses

import numpy as np
import pytest
import torch

from sam2_ros.model import memory_tokens
from sam2_ros.model.memory_tokens import WholeMap
from sam2_ros.model.position import sine_grid
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt


def test_every_place_of_the_map_is_a_token_in_raster_order_with_its_own_position():
    part, maps = WholeMap(TEST), torch.randn(2, 16, 8, 8)
    tokens = part(maps)
    assert torch.equal(tokens[1, 8 * 3 + 5], maps[1, :, 3, 5])
    assert torch.equal(part.positions[8 * 3 + 5], sine_grid(16, 8)[:, 3, 5])
    assert part.cosine.shape == part.sine.shape == (64, 16)
    assert not part.state_dict()


class Rows(torch.nn.Module):
    """One token for each row of the map, without a position."""

    unturned = 0

    def __init__(self, size):
        super().__init__()
        self.project = torch.nn.Linear(size.memory_dim, size.memory_dim)
        self.register_buffer("positions", torch.zeros(size.grid, size.memory_dim), persistent=False)
        self.register_buffer("cosine", torch.ones(size.grid, size.hidden_dim // 2), persistent=False)
        self.register_buffer("sine", torch.zeros(size.grid, size.hidden_dim // 2), persistent=False)

    def forward(self, maps):
        return self.project(maps.mean(dim=3).transpose(1, 2))


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setitem(memory_tokens.MEMORY_TOKENS, "rows", Rows)
    return SAM2(dataclasses.replace(TEST, memory="rows")).eval()


def test_a_tracker_follows_with_memories_that_are_compressed_in_another_way(rows):
    with torch.no_grad():
        rows.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(3.0)
    tracker = Tracker(rows)
    image = np.random.RandomState(0).randint(0, 256, (48, 64, 3), np.uint8)
    for stamp in range(1, 4):
        tracker.track(Frame(np.roll(image, stamp, axis=1), stamp))
        if stamp == 1:
            tracker.prompt(Prompt("cup", box=(5, 5, 30, 30)))
    ((memory, _),) = [pair for pair in tracker._objects["cup"].bank.past(1).tokens if pair[1] == 6]
    assert memory.shape == (1, 8, 16)
    assert len(tracker.current()) == 1


def test_the_part_that_compresses_learns_and_is_saved_under_its_published_name(rows):
    assert {"spatial_perceiver.project.weight", "spatial_perceiver.project.bias"} < set(rows.state_dict())
    features = rows.encode_image(torch.randn(1, 3, 128, 128))
    memory = rows.encode_memory(features, torch.randn(1, 1, 32, 32), torch.ones(1), binarize=False)
    memory.square().sum().backward()
    assert rows.spatial_perceiver.project.weight.grad.any()
