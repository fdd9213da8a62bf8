"""Pictures composed of layers, with the exact mask of every object in them.

A layer is a sprite and one matrix per frame.  Layers are painted far to near; what a nearer
layer covers is removed from the masks of those behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sam2_ros.types import box_of

#: Coverage from which a pixel belongs to an object.
HALF = 128
#: This share of the clips of a video shows the whole picture, as a robot sees it; the rest show a window of it, where
#: things are larger.
WHOLE_SHARE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Bend:
    """Non-rigid motion: a wave through the sprite; lengths in sprite pixels, one value per frame."""

    amplitude: np.ndarray  # (T,)
    phase: np.ndarray  # (T,)
    wavelength: float
    upright: bool  # rows are shifted instead of columns


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One thing in the scene.

    sprites: (1 or T, S, S, 4) uint8, RGB and coverage.  matrices: (T, 3, 3), sprite to image.
    part: (S, S) uint8 coverage of a piece that is a target of its own, or None.
    shadow: (x, y, darkness): offset in pixels and 0..1; darkness 0 casts none.
    """

    sprites: np.ndarray
    matrices: np.ndarray
    bend: Bend | None = None
    part: np.ndarray | None = None
    shadow: tuple[float, float, float] = (0.0, 0.0, 0.0)


def paint(
    background: np.ndarray, layers: list[Layer], number: int, masks: list[np.ndarray] | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Paint frame ``number`` of ``layers`` over ``background`` (S, S, 3), in place.

    Returns the picture and the (S, S) uint8 coverage of: the masks given (things in the
    background), then each layer, each layer's part following it.
    """
    covers = list(masks or [])
    for layer in layers:
        covers += _paint_layer(background, layer, number, covers)
    return background, covers


def _paint_layer(image: np.ndarray, layer: Layer, number: int, behind: list[np.ndarray]) -> list[np.ndarray]:
    """Paint onto an (S, S, 3) image and cover what is behind; returns the coverage of the layer and of its part."""
    side = image.shape[0]
    empty = [np.zeros((side, side), np.uint8) for _ in range(1 if layer.part is None else 2)]
    sprite = layer.sprites[number % len(layer.sprites)]
    part = layer.part
    if layer.bend is not None:
        sprite, part = _bent(layer.bend, number, sprite, part)
    window = _window(layer.matrices[number], len(sprite), side)
    if window is None:
        return empty
    x0, y0, x1, y1 = window
    matrix = layer.matrices[number].copy()
    matrix[:2] -= np.outer((x0, y0), matrix[2])
    size = (x1 - x0, y1 - y0)
    warped = cv2.warpPerspective(sprite, matrix, size, flags=cv2.INTER_LINEAR)
    cover = np.ascontiguousarray(warped[..., 3])
    if layer.shadow[2] > 0:
        _cast_shadow(image, cover, (x0, y0), layer.shadow)
    target = image[y0:y1, x0:x1]
    weight = cover[..., None].astype(np.uint16)
    target[:] = ((target * (255 - weight) + warped[..., :3] * weight + 127) // 255).astype(np.uint8)
    for mask in behind:
        region = mask[y0:y1, x0:x1]
        cv2.multiply(region, 255 - cover, dst=region, scale=1 / 255)
    empty[0][y0:y1, x0:x1] = cover
    if part is not None:
        empty[1][y0:y1, x0:x1] = cv2.warpPerspective(part, matrix, size, flags=cv2.INTER_LINEAR)
    return empty


def _window(matrix: np.ndarray, sprite: int, side: int) -> tuple[int, int, int, int] | None:
    """The part of the image that a sprite falls on, or None."""
    corners = np.array([[0, 0, 1], [sprite, 0, 1], [0, sprite, 1], [sprite, sprite, 1]], np.float64) @ matrix.T
    if (corners[:, 2] < 0.1).any():
        return None
    points = corners[:, :2] / corners[:, 2:]
    x0, y0 = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(points.max(axis=0)) + 1, side).astype(int)
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else None


def _bent(bend: Bend, number: int, sprite: np.ndarray, part: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """A sprite (S, S, 4) and its part (S, S), their rows or columns shifted along a wave."""
    side = len(sprite)
    along = np.arange(side, dtype=np.float32)
    wave = (bend.amplitude[number] * np.sin(2 * np.pi * along / bend.wavelength + bend.phase[number])).astype(
        np.float32
    )
    steady = np.repeat(along[None], side, axis=0)
    columns, rows = steady, steady.T
    if bend.upright:
        columns = columns + wave[:, None]
    else:
        rows = rows + wave[None]
    columns, rows = np.ascontiguousarray(columns), np.ascontiguousarray(rows)
    bent = cv2.remap(sprite, columns, rows, cv2.INTER_LINEAR)
    return bent, None if part is None else cv2.remap(part, columns, rows, cv2.INTER_LINEAR)


def _cast_shadow(
    image: np.ndarray, cover: np.ndarray, corner: tuple[int, int], shadow: tuple[float, float, float]
) -> None:
    """Darken what lies beside a layer, softly."""
    side = image.shape[0]
    x0, y0 = int(corner[0] + shadow[0]), int(corner[1] + shadow[1])
    left, top = max(-x0, 0), max(-y0, 0)
    soft = cv2.blur(cover, (9, 9))[top : max(side - y0, 0), left : max(side - x0, 0)]
    if not soft.size:
        return
    x0, y0 = x0 + left, y0 + top
    region = image[y0 : y0 + soft.shape[0], x0 : x0 + soft.shape[1]]
    factor = (255 - soft * shadow[2]).astype(np.uint16)[..., None]
    region[:] = (region * factor // 255).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """What the camera does to a finished picture; one value per frame where it drifts."""

    gain: np.ndarray  # (T, 3)
    gamma: np.ndarray  # (T,)
    blur: np.ndarray  # (T,) standard deviation in pixels
    smear: np.ndarray  # (T, 2) motion blur in pixels
    grain: float  # standard deviation in grey levels
    quality: int  # of JPEG, 0 = uncompressed

    def take(self, image: np.ndarray, number: int, noise: np.ndarray) -> np.ndarray:
        """The picture as the camera delivers it; noise: int8 (H, W, 3) of standard deviation 32."""
        length = float(np.hypot(*self.smear[number]))
        if length >= 2.0:
            image = cv2.filter2D(image, -1, _line_kernel(self.smear[number]))
        if self.blur[number] > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), float(self.blur[number]))
        levels = (np.arange(256, dtype=np.float32) / 255)[:, None] ** self.gamma[number]
        table = np.clip(levels * self.gain[number] * 255, 0, 255).astype(np.uint8)
        image = cv2.LUT(image, table.reshape(1, 256, 3))
        if self.grain > 0.5:
            image = cv2.addWeighted(image, 1.0, noise, self.grain / 32, 0, dtype=cv2.CV_8U)
        if self.quality:
            _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
            assert decoded is not None  # encoded in the line before
            image = decoded
        return image


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W) or (H, W, C) as a square of ``side``: made smaller by area, made larger bilinearly."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)


def squared(picture: np.ndarray, side: int) -> np.ndarray:
    """What a picture (H, W, 4), RGB and coverage, shows, in the middle of a square of ``side``.

    It has a margin of a few per cent; what is not covered around it does not count.
    """
    box = box_of(picture[..., 3])
    assert box is not None  # nobody cuts out nothing
    x0, y0, x1, y1 = box
    whole = picture[y0 : y1 + 1, x0 : x1 + 1]
    reach = int(max(whole.shape[:2]) * 1.08) + 3
    down, across = reach - whole.shape[0], reach - whole.shape[1]
    border = (down // 2, down - down // 2, across // 2, across - across // 2)
    colours = cv2.copyMakeBorder(whole[..., :3], *border, cv2.BORDER_REPLICATE)
    coverage = cv2.copyMakeBorder(whole[..., 3], *border, cv2.BORDER_CONSTANT, value=0)
    return resized(np.dstack([colours, coverage]), side)


def as_clip(
    pictures: Iterable[np.ndarray], labels: Sequence[np.ndarray], values: Sequence[int], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """T pictures (h, w, 3) and label images (h, w) as a clip.

    Returns images (T, side, side, 3) and the coverage of each of K values, (T, K, side, side) uint8.
    """
    images = np.stack([resized(np.ascontiguousarray(picture), side) for picture in pictures])
    covers = np.empty((len(labels), len(values), side, side), np.uint8)
    for place, label in enumerate(labels):
        for row, value in enumerate(values):
            covers[place, row] = resized(np.where(label == value, 255, 0).astype(np.uint8), side)
    return images, covers


def _line_kernel(smear: np.ndarray) -> np.ndarray:
    """A kernel that smears along (x, y) pixels; its sum is 1."""
    reach = int(np.ceil(np.abs(smear).max() / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    half = smear / 2
    start = (round(reach - half[0]), round(reach - half[1]))
    cv2.line(kernel, start, (round(reach + half[0]), round(reach + half[1])), 1.0)
    return kernel / kernel.sum()
