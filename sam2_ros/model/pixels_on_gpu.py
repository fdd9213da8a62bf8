"""Masks on a GPU: holes are found and masks enlarged where the logits are, and little goes to the processor.

Only operations of torch that a GPU has are used, and nothing is waited for except the result.  They run on a
processor too, where the functions of ``pixels`` are faster; the tests compare both.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model.transfer import Download

#: Holes up to this area are found on the GPU, in as many rounds; a larger setting is left to the processor.
LARGEST_HOLE = 64
#: Most objects whose numbers fit into one byte for each pixel.
OBJECTS_IN_A_BYTE = 255


def to_masks(logits: Tensor, size: tuple[int, int], exclusive: bool) -> NDArray[np.bool_]:
    """As ``pixels.to_masks``; one image of labels goes to the processor, or a bit for each pixel of each mask."""
    if exclusive and len(logits) > 1:
        labels = Download(_labels(logits, size)).values().numpy()
        masks: NDArray[np.bool_] = labels == np.arange(1, len(logits) + 1, dtype=labels.dtype)[:, None, None]
        return masks
    packed = Download(_packed(logits, size)).values().numpy()
    return np.unpackbits(packed, axis=2, count=size[1]).view(np.bool_)


def _labels(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(H, W): the number of the object with the largest logit above 0, counted from 1; 0 on no object."""
    largest = logits.new_zeros(size)
    labels = logits.new_zeros(size, dtype=torch.uint8 if len(logits) <= OBJECTS_IN_A_BYTE else torch.int16)
    for number, value in enumerate(logits, start=1):  # one by one: memory for one enlarged image is enough
        there = _enlarged(value, size)
        labels.masked_fill_(there > largest, number)
        largest = torch.maximum(largest, there)
    return labels


def _packed(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, H, W / 8 rounded up) uint8: whether a logit is above 0, eight pixels in a byte, the first one highest."""
    bits = 128 >> torch.arange(8, dtype=torch.int32, device=logits.device)
    rows = []
    for value in logits:
        on = F.pad(_enlarged(value, size) > 0, (0, -size[1] % 8))
        rows.append((torch.unflatten(on, 1, (-1, 8)) * bits).sum(dim=2, dtype=torch.uint8))
    return torch.stack(rows) if rows else logits.new_zeros((0, size[0], -(-size[1] // 8)), dtype=torch.uint8)


def _enlarged(value: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits (1, a, a) of one object, interpolated to ``size``: (H, W)."""
    return F.interpolate(value[None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]


def small_pieces(mask: Tensor, area: int, speck: int) -> Tensor:
    """Where masks (N, a, a) bool have 8-connected pieces of at most ``area`` pixels: (N, a, a) bool.

    A piece at the border counts up to ``speck`` pixels only.  A mask that is true everywhere has none.

    Each pixel gets a number, and in each round takes the largest number around it in its piece.  In a piece of
    at most ``area`` pixels all have the same number after ``area`` - 1 rounds.  In a larger one they may not, but
    then a pixel of each number lies beside another number.  So a piece is where no neighbours differ.
    """
    _, height, width = mask.shape
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32, device=mask.device).view(height, width)
    numbers = numbers * mask  # 0 outside of the mask
    for _ in range(area - 1):
        numbers = _largest_around(numbers) * mask
    lowest = -_largest_around((-numbers).masked_fill(torch.logical_not(mask), -torch.inf))
    differs = mask & (_largest_around(numbers) != lowest)
    border = mask.clone()
    border[:, 1:-1, 1:-1] = False
    # How many pixels of each number there are, with a neighbour of another number, and at the border.
    facts = torch.stack((mask, differs, border)).flatten(2).int()
    places = numbers.long().flatten(1).expand(3, -1, -1)
    counted = facts.new_zeros(*places.shape[:2], height * width + 1).scatter_add_(2, places, facts)
    pixels, differing, at_border = counted.gather(2, places).view(3, *mask.shape)
    small = (differing == 0) & (pixels <= area) & ((at_border == 0) | (pixels <= speck))
    has_other = torch.logical_not(mask.flatten(1).all(dim=1))[:, None, None]
    pieces: Tensor = mask & small & has_other
    return pieces


def _largest_around(values: Tensor) -> Tensor:
    """The largest of each number of (N, a, a) and its eight neighbours."""
    return F.max_pool2d(values, kernel_size=3, stride=1, padding=1)
