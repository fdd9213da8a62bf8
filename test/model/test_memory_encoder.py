import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import shared_pair

from sam2_ros.model.memory_encoder import MemoryEncoder
from sam2_ros.model.sizes import EMBEDDED, TINY

SIZE = TINY.at(256)


@torch.no_grad()
def test_memories_of_several_objects_of_one_image_are_the_official_ones():
    ours, theirs = (model.memory_encoder for model in shared_pair(SIZE))
    image, masks = torch.randn(1, 256, 16, 16), torch.rand(3, 1, 256, 256) * 20 - 10
    memories = ours(image, masks)
    expected = theirs(image.expand(3, -1, -1, -1), masks, skip_mask_sigmoid=True)["vision_features"]
    assert memories.shape == (3, 64, 16, 16)
    assert (memories - expected).abs().max() < 1e-4


def test_a_fresh_fuser_begins_as_the_identity():
    encoder = MemoryEncoder(EMBEDDED)
    maps = torch.randn(1, 128, 4, 4)
    assert torch.allclose(encoder.fuser(maps), maps, atol=1e-4)
    assert all((block.gamma == 1e-6).all() for block in encoder.fuser.layers)
