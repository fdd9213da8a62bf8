"""Camera pixels to model coordinates and back: the only place that knows both.

The camera's H x W image is resized to the model's S x S square, each axis with its own scale.  Live, recorded and
evaluated images are all resized in the same way: bilinear with antialiasing, on floating-point values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model import pixels_on_gpu
from sam2_ros.model.transfer import upload
from sam2_ros.types import Image, Mask

#: Mean and standard deviation of RGB values in 0..1 (ImageNet), which the published weights expect.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
#: Logit given to the pixels of a filled hole: barely on the object.
HOLE_LOGIT = 0.1
#: Background at the border of the image is the outside, unless it is a speck of at most this area, which the
#: released predictor closes wherever it lies [pixels of the model's mask].
SPECK = 16


def normalise(image: Image, side: int, device: torch.device | str = "cpu") -> Tensor:
    """An (H, W, 3) uint8 RGB image as the (1, 3, side, side) float32 input of encode_image."""
    pixels = upload(torch.from_numpy(np.ascontiguousarray(image)), device)  # the bytes of the camera
    pixels = pixels.permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return scaled(pixels)


def scaled(pixels: Tensor) -> Tensor:
    """Images (..., 3, S, S) float32, RGB from 0 to 255, as encode_image wants them."""
    # Filled where the pixels are: to copy them to a GPU would wait for it.
    mean, deviation = (
        torch.cat([pixels.new_full((1, 1, 1), value) for value in values]) for values in (MEAN, DEVIATION)
    )
    return (pixels / 255).sub_(mean).div_(deviation)


def to_model(points: NDArray[np.float32], size: tuple[int, int], side: int) -> NDArray[np.float32]:
    """Points (K, 2) in pixels of an image of ``size`` (height, width) as pixels of the model's input, float32."""
    height, width = size
    scaled: NDArray[np.float32] = np.asarray(points, np.float32) * np.float32(side)
    scaled /= np.array((width, height), np.float32)
    return scaled


def masks_to_model(mask: Mask, side: int) -> Tensor:
    """An (H, W) bool mask as the (1, 1, side, side) float32 mask, 0 or 1, of decode_mask.

    A mask of thin lines alone, of which nothing would be left, is widened to whole pixels.
    """
    values = torch.from_numpy(np.ascontiguousarray(mask, dtype=np.float32))[None, None]
    if mask.shape == (side, side):
        return values
    fitted = F.interpolate(values, size=(side, side), mode="bilinear", align_corners=False, antialias=True) >= 0.5
    return fitted.float() if fitted.any() else F.adaptive_max_pool2d(values, side)


def to_masks(logits: Tensor, size: tuple[int, int], exclusive: bool) -> NDArray[np.bool_]:
    """Mask logits (N, 1, a, a) as (N, H, W) bool masks at the camera's ``size`` (height, width).

    Logits are interpolated bilinearly, and only around each object.
    exclusive: where masks overlap only the one with the largest logit keeps the pixel, of equal ones the first.
    """
    if logits.device.type == "cuda":
        with suppress(torch.cuda.OutOfMemoryError):  # the processor has room
            return pixels_on_gpu.to_masks(logits, size, exclusive)
    return _to_masks(logits.float().cpu(), size, exclusive)


def _to_masks(values: Tensor, size: tuple[int, int], exclusive: bool) -> NDArray[np.bool_]:
    """The same on the processor."""
    masks = np.zeros((len(values), *size), np.bool_)
    objects = [_Object(value, size) for value in values]
    crossing = _crossing([one.part for one in objects]) if exclusive else np.zeros(len(objects), np.bool_)
    divided = size if crossing.any() else 0
    largest = np.zeros(divided, np.float32)  # what is not above 0 is on no object
    winner = np.zeros(divided, np.min_scalar_type(len(objects)))  # 0: nobody, else 1 more than the place in ``objects``
    for number, (one, mask) in enumerate(zip(objects, masks)):
        there = one.enlarged()
        if crossing[number]:
            np.copyto(winner[one.part], number + 1, where=there > largest[one.part])
            np.maximum(largest[one.part], there, out=largest[one.part])
        else:
            np.greater(there, 0, out=mask[one.part])
    for place in np.flatnonzero(crossing):
        part = objects[place].part
        np.equal(winner[part], place + 1, out=masks[place][part])
    return masks


class _Object:
    """The logits (1, a, a) of one object; part: of the camera's image, outside of which none of them is above 0."""

    def __init__(self, value: Tensor, size: tuple[int, int]) -> None:
        on = value[0].numpy() > 0
        tall, rows = _reach(np.flatnonzero(on.any(axis=1)), len(on), size[0])
        broad, columns = _reach(np.flatnonzero(on.any(axis=0)), len(on), size[1])
        self._around = value[None, :, tall, broad]
        self.part = rows, columns

    def enlarged(self) -> NDArray[np.float32]:
        """The logits in ``part``."""
        shape = self.part[0].stop - self.part[0].start, self.part[1].stop - self.part[1].start
        if not all(shape):
            return np.zeros(shape, np.float32)
        return F.interpolate(self._around, size=shape, mode="bilinear", align_corners=False)[0, 0].numpy()


def _crossing(parts: Sequence[tuple[slice, slice]]) -> NDArray[np.bool_]:
    """Which parts of the image share pixels with another one: (N,)."""
    edges = np.array([(rows.start, rows.stop, columns.start, columns.stop) for rows, columns in parts]).reshape(-1, 4)
    top, bottom, left, right = edges.T[:, :, None]
    shared = (top < bottom.T) & (top.T < bottom) & (left < right.T) & (left.T < right)
    np.fill_diagonal(shared, False)
    crossing: NDArray[np.bool_] = shared.any(axis=1)
    return crossing


def _reach(on: NDArray[np.intp], side: int, length: int) -> tuple[slice, slice]:
    """The stretch of an axis of the model's mask around its pixels ``on``, and the same of the camera's image.

    on: rows or columns of ``side`` with a pixel of the object, in ascending order.  length: of the camera's axis.
    Both begin and end between the same pixels, so that interpolation gives in the stretch what it gives in the
    whole.  The model's stretch is at least one pixel longer on both sides than what is on: a pixel of the
    camera's image is a mean of two neighbours.
    """
    if not len(on):
        return slice(0, 0), slice(0, 0)
    common = math.gcd(side, length)
    step, camera_step = side // common, length // common
    first, last = max(int(on[0]) - 1, 0) // step, min(-(-(int(on[-1]) + 2) // step), common)
    return slice(first * step, last * step), slice(first * camera_step, last * camera_step)


def touching(logits: Tensor, row: int) -> list[int]:
    """The rows of mask logits (N, 1, a, a), ``row`` among them, whose masks may share a camera pixel with its own.

    A camera pixel is a mean of two by two pixels of the model's mask, and on it only where one of them is.
    """
    reach = F.max_pool2d((logits > 0).float(), kernel_size=2, stride=1)
    shared = (reach * reach[row]).flatten(1).any(dim=1)
    shared[row] = True
    return [number for number, touches in enumerate(shared.tolist()) if touches]


def at_pixel(logits: Tensor, pixel: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """Mask logits (N, 1, a, a) at one ``pixel`` (row, column) of the camera's ``size`` (height, width): (N,)."""
    side, value = logits.shape[-1], logits[:, 0]
    for place, length in zip(pixel, size):  # first the rows, then the columns
        at = min(max((place + 0.5) * side / length - 0.5, 0.0), side - 1.0)
        low = int(at)
        first, second = value[:, low], value[:, min(low + 1, side - 1)]
        value = first + (second - first) * (at - low)
    return value.cpu().numpy()


def fill_holes(logits: Tensor, area: int) -> Tensor:
    """Mask logits (N, 1, a, a) with every hole of at most ``area`` mask pixels closed; 0 closes none.

    A hole is an 8-connected piece of background (logit <= 0) with the mask all around it; at the border of
    the image, where the outside lies, only a speck is one.  A mask without a pixel has no holes.
    """
    if not area or not len(logits):
        return logits
    background = logits[:, 0] <= 0
    if logits.device.type == "cuda" and area <= pixels_on_gpu.LARGEST_HOLE:
        holes = pixels_on_gpu.small_pieces(background, area, SPECK)
    else:
        holes = upload(torch.from_numpy(_small_pieces(background.cpu().numpy(), area)), logits.device)
    return torch.where(holes[:, None], HOLE_LOGIT, logits)


def _small_pieces(masks: NDArray[np.bool_], area: int) -> NDArray[np.bool_]:
    """Where masks (N, a, a) have pieces of at most ``area`` pixels that are not the outside: (N, a, a) bool.

    All masks are searched as one image, one below the other, with an empty row below each.
    """
    count, height, width = masks.shape
    stacked = np.zeros((count, height + 1, width), np.uint8)
    stacked[:, :height] = masks
    _, labels, facts, _ = cv2.connectedComponentsWithStats(stacked.reshape(-1, width), connectivity=8)
    size, left = facts[:, cv2.CC_STAT_AREA], facts[:, cv2.CC_STAT_LEFT]
    top = facts[:, cv2.CC_STAT_TOP] % (height + 1)
    inside = (
        (left > 0)
        & (top > 0)
        & (left + facts[:, cv2.CC_STAT_WIDTH] < width)
        & (top + facts[:, cv2.CC_STAT_HEIGHT] < height)
    )
    small = (size <= area) & (inside | (size <= SPECK)) & (size < height * width)
    small[0] = False  # label 0 is what is not in a mask
    pieces: NDArray[np.bool_] = small[labels].reshape(count, height + 1, width)[:, :height]
    return pieces
