"""Simulated prompts for a batch of masks, on the device where the masks are.

Points (N, K, 2) float32 in pixels x, y and labels (N, K) int32, as the model's PromptInputs.  The
random rules are those of the paper's appendix D.2.2, the others those of ``simulated_user``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sam2_ros.simulated_user import first_click, next_click

TOP_LEFT, BOTTOM_RIGHT = 2, 3
#: A hasty person's corners are off by this share of the box's side, and by at most this many pixels in images with the
#: side that the paper uses.
BOX_NOISE, MOST_BOX_NOISE, PAPER_SIDE = 0.1, 20.0, 1024


def click_in(truth: Tensor, found: Tensor | None, generator: torch.Generator, *, centre: bool) -> tuple[Tensor, Tensor]:
    """One click for each of N masks (N, S, S) bool: on the object, or on the error of ``found``.

    centre: at the deepest point of the largest error, else uniform in the error.
    """
    if centre:
        return _centre_clicks(truth, found)
    region = truth if found is None else truth ^ found
    region = torch.where(region.flatten(1).any(1)[:, None, None], region, truth)
    region = torch.where(region.flatten(1).any(1)[:, None, None], region, torch.ones_like(region))
    order = region.flatten(1).cumsum(dim=1, dtype=torch.int32)  # (N, S S)
    lots = torch.rand(len(truth), 1, generator=generator).to(truth.device)
    wanted = (lots * order[:, -1:]).floor().to(torch.int32).clamp(max=order[:, -1:] - 1)
    chosen = torch.searchsorted(order, wanted, right=True)  # (N, 1)
    labels = truth.flatten(1).gather(1, chosen).to(torch.int32)
    side = truth.shape[-1]
    return torch.stack((chosen % side, chosen // side), dim=-1).float(), labels


def box_prompt(truth: Tensor, generator: torch.Generator, *, noisy: bool) -> tuple[Tensor, Tensor]:
    """The two corners of a box around each of N masks (N, S, S) bool, none of them empty."""
    side = truth.shape[-1]
    columns, rows = truth.any(dim=1).float(), truth.any(dim=2).float()  # (N, S)
    low = torch.stack((columns.argmax(1), rows.argmax(1)), dim=1).float()
    high = side - 1 - torch.stack((columns.flip(1).argmax(1), rows.flip(1).argmax(1)), dim=1).float()
    corners = torch.stack((low, high), dim=1)  # (N, 2, 2)
    if noisy:
        reach = ((high - low) * BOX_NOISE).clamp(max=MOST_BOX_NOISE * side / PAPER_SIDE)[:, None]
        lots = torch.rand(corners.shape, generator=generator).to(truth.device) * 2 - 1
        corners = (corners + lots * reach).clamp(0, side - 1)
    labels = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], dtype=torch.int32, device=truth.device)
    return corners, labels.expand(len(truth), -1)


def _centre_clicks(truth: Tensor, found: Tensor | None) -> tuple[Tensor, Tensor]:
    """(N, H, W) bool masks to points (N, 1, 2) in pixels and labels (N, 1); found None = first clicks."""
    masks = truth.cpu().numpy()
    wrong = [None] * len(masks) if found is None else list(found.cpu().numpy())
    clicks = [_centre_click(mask, seen) for mask, seen in zip(masks, wrong)]
    points = torch.tensor(np.stack([point for point, _ in clicks]), dtype=torch.float32)[:, None]
    labels = torch.tensor([label for _, label in clicks], dtype=torch.int32)[:, None]
    return points.to(truth.device), labels.to(truth.device)


def _centre_click(mask: np.ndarray, seen: np.ndarray | None) -> tuple[np.ndarray, int]:
    """Where nothing is wrong, a click that says so again."""
    click = None if seen is None else next_click(mask, seen)
    if click is not None:
        return click
    return first_click(mask) if mask.any() else (np.zeros(2, np.float32), 0)
