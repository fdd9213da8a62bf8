import numpy as np
import pytest
import torch
from torch.nn import functional as F

from sam2_ros.model import pixels, pixels_on_gpu


def blobs(side: int, seed: int) -> torch.Tensor:
    """Background of (4, side, side) masks from noise to large pieces; the last has no mask at all."""
    random = torch.Generator().manual_seed(seed)
    coarse = (torch.randn(1, 1, side // step, side // step, generator=random) for step in (1, 2, 4))
    masks = [F.interpolate(noise, size=(side, side), mode="bicubic")[0, 0] > 0.3 for noise in coarse]
    return torch.stack([*masks, torch.ones(side, side, dtype=torch.bool)])


@pytest.mark.parametrize("area", [1, 2, 8, 17, 64])
@pytest.mark.parametrize("seed", range(4))
def test_the_pieces_are_those_of_opencv(area, seed):
    mask = blobs(40, seed)
    expected = pixels._small_pieces(mask.numpy(), area)
    found = pixels_on_gpu.small_pieces(mask, area, pixels.SPECK).numpy()
    assert (found == np.stack(expected)).all() and found.any()


@pytest.mark.parametrize("size", [(480, 640), (30, 51), (1, 1)])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("count", [1, 5, 300])
def test_masks_are_those_of_the_processor(size, exclusive, count):
    size = size if count < 300 else (7, 9)
    logits = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    logits[-1] = logits[0]  # of equal ones the first has the pixel
    assert (pixels_on_gpu.to_masks(logits, size, exclusive) == pixels.to_masks(logits, size, exclusive)).all()


def test_no_objects_have_no_masks():
    assert pixels_on_gpu.to_masks(torch.zeros(0, 1, 8, 8), (5, 9), exclusive=True).shape == (0, 5, 9)
