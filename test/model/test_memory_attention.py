import dataclasses

import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import shared_pair

from sam2_ros.model.memory_attention import MemoryAttention
from sam2_ros.model.position import rotary_table
from sam2_ros.model.sizes import TEST, TINY

SIZE = TINY.at(256)


def turns(size, memories, pointer_tokens):
    """The rotary table of whole memories and of pointers, which are not turned."""
    cosine, sine = rotary_table(size.hidden_dim, size.grid)
    unturned = torch.ones(pointer_tokens, size.hidden_dim // 2)
    return torch.cat((cosine.repeat(memories, 1), unturned)), torch.cat((sine.repeat(memories, 1), 0 * unturned))


@torch.no_grad()
def test_the_view_of_several_objects_of_one_image_is_the_official_one():
    ours, theirs = (model.memory_attention for model in shared_pair(SIZE))
    image, position = torch.randn(1, 256, 16, 16), ours.position[None]
    memory, memory_position = torch.randn(2, 3, 3 * 256 + 8, 64) * 0.5
    view = ours(image, memory + memory_position, memory, turns(SIZE, 3, 8))
    tokens = [x.flatten(2).permute(2, 0, 1).expand(-1, 3, -1) for x in (image, position)]
    expected = theirs(
        curr=tokens[0],
        curr_pos=tokens[1],
        memory=memory.transpose(0, 1),
        memory_pos=memory_position.transpose(0, 1),
        num_obj_ptr_tokens=8,
    )
    assert view.shape == (3, 256, 16, 16)
    assert (view - expected.permute(1, 2, 0).unflatten(2, (16, 16))).abs().max() < 1e-4


def test_dropout_acts_in_training_only_and_only_when_asked_for():
    image, memory = torch.randn(1, 32, 8, 8), torch.randn(2, 64, 16)
    seen = (image, memory, memory, turns(TEST, 1, 0))
    plain = MemoryAttention(TEST).train()
    assert torch.equal(plain(*seen), plain(*seen))
    dropping = MemoryAttention(dataclasses.replace(TEST, dropout=0.3)).train()
    assert not torch.equal(dropping(*seen), dropping(*seen))
    dropping.eval()
    assert torch.equal(dropping(*seen), dropping(*seen))
