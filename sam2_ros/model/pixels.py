"""Camera pixels to model coordinates and back: the only place that knows both.

The camera's H x W image is squeezed into the model's S x S square, each axis with its own
scale.  There is one resize rule for images, live, recorded or evaluated: bilinear with
antialiasing, on floating-point values.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Mean and standard deviation of RGB values in 0..1 (ImageNet), which the published weights expect.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
#: Logit given to the pixels of a filled hole: barely on the object.
HOLE_LOGIT = 0.1


def normalise(image: np.ndarray, side: int, device: torch.device | str = "cpu") -> Tensor:
    """An (H, W, 3) uint8 RGB image as the (1, 3, side, side) float32 input of encode_image."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)
    pixels = pixels.permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=device).view(3, 1, 1)
    return (pixels / 255 - mean) / deviation


def to_model(points: np.ndarray, size: tuple[int, int], side: int) -> np.ndarray:
    """Points (K, 2) in pixels of an image of ``size`` (height, width) as pixels of the model's input, float32."""
    height, width = size
    return np.asarray(points, np.float32) * np.float32(side) / np.array((width, height), np.float32)


def masks_to_model(mask: np.ndarray, side: int) -> Tensor:
    """An (H, W) bool mask as the (1, 1, side, side) float32 mask, 0 or 1, of decode_mask.

    A mask of thin lines alone, of which nothing would be left, is widened to whole pixels.
    """
    values = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
    if mask.shape == (side, side):
        return values
    fitted = F.interpolate(values, size=(side, side), mode="bilinear", align_corners=False, antialias=True) >= 0.5
    return fitted.float() if fitted.any() else F.adaptive_max_pool2d(values, side)


def to_camera(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits (N, 1, a, a) at the camera's ``size`` (height, width): (N, H, W)."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Mask logits (N, 1, a, a) with every hole of at most ``area`` mask pixels closed; 0 closes none.

    A hole is an 8-connected piece of background (logit <= 0), wherever it lies.
    """
    if not area or not len(logits):
        return logits
    background = (logits[:, 0] <= 0).cpu().numpy().astype(np.uint8)
    holes = torch.from_numpy(np.stack([_small_pieces(mask, area) for mask in background]))
    return torch.where(holes.to(logits.device)[:, None], HOLE_LOGIT, logits)


def _small_pieces(mask: np.ndarray, area: int) -> np.ndarray:
    """Where an (a, a) uint8 mask has pieces of at most ``area`` pixels: (a, a) bool."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    small = facts[:, cv2.CC_STAT_AREA] <= area
    small[0] = False  # label 0 is what is not in the mask
    return small[labels]
