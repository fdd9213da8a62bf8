"""Clips with exact masks, drawn on the fly.

Clip ``index`` of a source is always the same clip, in every process: a training that resumes
continues with the same clips, and a held-out set is a list of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.training.compositing import HALF, Bend, Layer, Lens, paint
from sam2_ros.training.footage import Footage
from sam2_ros.training.motion import (
    camera_path,
    elsewhere,
    lingering,
    meeting,
    object_places,
    shift,
    smooth,
    sprite_matrices,
    turn_and_scale,
)
from sam2_ros.training.photographs import Photographs
from sam2_ros.training.robot_clips import RobotClips
from sam2_ros.training.shapes import MARGIN, Shape, draw_part, make_shapes, reshape
from sam2_ros.training.textures import TextureBank, make_bank, recoloured

#: An object must cover this share of the first frame to be asked for, and at most the other.
SMALLEST, LARGEST = 0.0012, 0.7
#: Share of the clips that are photographs under a moving camera, and share of the things that move over others that
#: are cut out of photographs, where there are photographs.
PHOTO_CLIPS, PHOTO_SPRITES = 0.12, 0.4
#: This share of the clips of scanned objects is played faster than it was filmed, up to this many times: then things
#: are hidden and come back within a clip, and move by as much as their own size.
SCENE_SPEED = (0.6, 3)
#: Most scenes that are drawn until the first frame of one shows something to ask for.
ATTEMPTS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """frames: (T, S, S, 3) uint8 RGB; masks: (T, N, S, S) bool, each object visible on the first frame."""

    frames: np.ndarray
    masks: np.ndarray


@dataclass(frozen=True, slots=True)
class ClipStock:
    """What clips are made of.

    seed: of the drawn textures and shapes.  footage, pictures, robots: folders of videos in
    DAVIS layout, of pictures, and of cached robot clips; None = without.  photos, scenes: folders of
    photographs with masks, and of rendered scenes of scanned objects.  held_out: take the
    photographs that training never uses.  Each share is from 0 to 1.  footage_share, scene_share: of the clips
    that show the footage or the scenes, if there are any.  robot_share: of those that show robot scenes, where
    there are many.  photo_share: of the single images that are photographs.  plain_share: of the footage clips
    that have nothing drawn on top.  lingering_share: of the drawn things that hide another for a while, or stay
    away and come back elsewhere.  crossing_share: of the drawn look-alikes that pass over what they look like.
    """

    seed: int = 0
    footage: str | Path | None = None
    pictures: str | Path | None = None
    robots: str | Path | None = None
    photos: str | Path | None = None
    scenes: str | Path | None = None
    held_out: bool = False
    footage_share: float = 0.35
    photo_share: float = 0.4
    scene_share: float = 0.3
    robot_share: float = 0.4
    plain_share: float = 0.4
    lingering_share: float = 0.0
    crossing_share: float = 0.0


class ClipSource:
    """Draws clips; made once in each worker, which takes two seconds."""

    def __init__(self, stock: ClipStock) -> None:
        self.stock = stock
        self.textures: TextureBank = make_bank(stock.seed, pictures=stock.pictures, held_out=stock.held_out)
        self.shapes: list[Shape] = make_shapes(stock.seed)
        self.footage = Footage(stock.footage) if stock.footage else None
        self.robots = RobotClips(stock.robots) if stock.robots else None
        self.photos = Photographs(stock.photos) if stock.photos else None
        self.scenes = RobotClips(stock.scenes, *SCENE_SPEED) if stock.scenes else None
        self.grain = np.random.default_rng(stock.seed).normal(0, 32, (768, 768, 3)).clip(-127, 127).astype(np.int8)

    def draw(
        self, index: int, frames: int, side: int, objects: int = 3, smallest: float = SMALLEST, vanishing: float = 0.0
    ) -> Clip:
        """Clip ``index``: ``frames`` frames of ``side`` pixels, 1 to ``objects`` objects.

        smallest: share of the first frame that an object must cover to be asked for.
        vanishing: in this share of the clips, objects that go out of sight are asked for before others.
        """
        random = np.random.default_rng((self.stock.seed, index))
        for _ in range(ATTEMPTS):
            images, masks = self._scene(random, frames, side)
            chosen = _targets(random, masks, objects, smallest, vanishing)
            if chosen:
                images = self._through_lens(random, images)
                return Clip(images, masks[:, chosen] >= HALF)
        raise RecordingError(
            f"{ATTEMPTS} scenes in a row (clip {index}) show no object that covers {smallest:.2%} to "
            f"{LARGEST:.0%} of the first frame; give footage with such objects, or a lower smallest"
        )

    def _scene(self, random: np.random.Generator, frames: int, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (T, S, S, 3) and coverages (T, K, S, S) before the lens."""
        photos = 0.0 if self.photos is None else self.stock.photo_share if frames == 1 else PHOTO_CLIPS
        if self.photos is not None and random.random() < photos:
            return self._photo(self.photos, random, frames, side)
        kind = random.random()
        scenes = self.stock.footage_share + self.stock.scene_share
        if self.scenes is not None and self.stock.footage_share <= kind < scenes:
            return self.scenes.clip(random, frames, side)
        if self.footage is not None and kind < self.stock.footage_share:
            backdrop, masks = self.footage.clip(random, frames, side)
            if not self.stock.held_out:
                backdrop, masks = _varied(random, backdrop, masks)
            if random.random() < self.stock.plain_share:
                return backdrop, masks
            return _composed(backdrop, masks, self._layers(random, frames, side, int(random.integers(1, 4))))
        if self.robots is not None and kind > 1 - self.stock.robot_share * self.robots.fullness:
            return self.robots.clip(random, frames, side)
        backdrop = self._backdrop(random, frames, side)
        camera = camera_path(random, frames, side)
        layers = self._layers(random, frames, side, int(random.integers(2, 8)))
        world = [_moved_with(layer, camera) for layer in layers]
        return _composed(_seen_by(camera, backdrop, side), np.zeros((frames, 0, side, side), np.uint8), world)

    def _photo(
        self, photos: Photographs, random: np.random.Generator, frames: int, side: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """A photograph, seen by another camera in a clip, half of those with drawn things on top."""
        picture, covers = photos.draw(random, side)
        images = np.repeat(picture[None], frames, axis=0)
        images, masks = _varied(random, images, np.repeat(covers[None], frames, axis=0))
        if frames > 1 and random.random() < 0.5:
            return _composed(images, masks, self._layers(random, frames, side, int(random.integers(1, 4))))
        return images, masks

    def _backdrop(self, random: np.random.Generator, frames: int, side: int) -> np.ndarray:
        """A texture, or one picture of the footage; larger than the image, for the camera to move over."""
        if self.footage is not None and random.random() < 0.35:
            picture = self.footage.clip(random, 1, side * 3 // 2)[0][0]
            return np.ascontiguousarray(picture)
        if self.photos is not None and random.random() < 0.4:
            return self.photos.draw(random, side * 3 // 2)[0]
        base = self.textures.texture(random, side * 3 // 2)
        if random.random() < 0.4:  # a table or a floor: two surfaces that meet
            other = self.textures.texture(random, side * 3 // 2)
            edge = int(len(base) * random.uniform(0.2, 0.7))
            base[:edge] = other[:edge] if random.random() < 0.7 else other[:edge] // 2
        return base

    def _layers(self, random: np.random.Generator, frames: int, side: int, count: int) -> list[Layer]:
        """Far to near; some are copies of one another, some pass in front of others."""
        layers: list[Layer] = []
        placed: list[tuple[np.ndarray, float]] = []  # places and size of those so far
        for _ in range(count):
            wanted = object_places(random, frames)
            if placed and random.random() < 0.3:
                wanted = meeting(random, placed[random.integers(len(placed))][0])
            size = float(np.exp(random.uniform(np.log(0.07), np.log(0.65))))
            if self.stock.lingering_share and random.random() < self.stock.lingering_share:
                wanted, size = _hiding(random, frames, placed, size)
            sprites = self._sprites(random, frames, int(np.clip(size * side * 1.15, 20, 200)))
            layers.append(_layer(random, sprites, wanted, size, side))
            placed.append((wanted, size))
            if random.random() < 0.2:  # a look-alike somewhere else, or on its way
                crosses = self.stock.crossing_share and random.random() < self.stock.crossing_share
                apart = meeting(random, wanted) if crosses else object_places(random, frames)
                layers.append(_layer(random, sprites, apart, size * random.uniform(0.8, 1.2), side, with_part=False))
        return layers

    def _sprites(self, random: np.random.Generator, frames: int, side: int) -> np.ndarray:
        """(1 or T, side, side, 4): a drawn shape in a texture, or an object cut out of a picture or of the footage."""
        if self.footage is not None and random.random() < 0.15:
            cut = self.footage.cutouts(random, frames, side)
            if cut is not None:
                return cut
        if self.photos is not None and random.random() < PHOTO_SPRITES:
            whole = self.photos.cutout(random, side)
            if whole is not None:
                return np.ascontiguousarray(whole)[None]
        if self.textures.cutouts and random.random() < 0.5:
            return self.textures.cutout(random, side)[None]
        coverage, shading = reshape(self.shapes[random.integers(len(self.shapes))], random, side)
        texture = self.textures.texture(random, side)
        if random.random() < 0.25:  # two materials
            region = draw_part(random, coverage) > 127
            texture[region] = self.textures.texture(random, side)[region]
        if random.random() < 0.2:
            shading = np.ones_like(shading)
        colours = np.clip(texture * shading[..., None], 0, 255).astype(np.uint8)
        return np.dstack([colours, coverage])[None]

    def _through_lens(self, random: np.random.Generator, images: np.ndarray) -> np.ndarray:
        """What a camera does to finished pictures (T, S, S, 3), in place."""
        lens, side = _lens(random, len(images)), images.shape[1]
        for number in range(len(images)):
            images[number] = lens.take(images[number], number, self._grain(random, side))
        return images

    def _grain(self, random: np.random.Generator, side: int) -> np.ndarray:
        """A window of the noise, which repeats itself in larger pictures than it is."""
        reach = len(self.grain)
        if side < reach:
            y, x = random.integers(0, reach - side, 2)
            return np.ascontiguousarray(self.grain[y : y + side, x : x + side])
        rows, columns = (np.arange(start, start + side) % reach for start in random.integers(0, reach, 2))
        return self.grain[np.ix_(rows, columns)]


def _composed(backdrop: np.ndarray, masks: np.ndarray, layers: list[Layer]) -> tuple[np.ndarray, np.ndarray]:
    """Paint the layers over (T, S, S, 3) images; also the (T, K, S, S) uint8 coverage of all of it."""
    covers = []
    for number in range(len(backdrop)):
        behind = [np.ascontiguousarray(mask) for mask in masks[number]]
        covers.append(paint(backdrop[number], layers, number, behind)[1])
    side = backdrop.shape[1]
    return backdrop, np.array(covers, np.uint8).reshape(len(backdrop), -1, side, side)


def _hiding(
    random: np.random.Generator, frames: int, placed: list[tuple[np.ndarray, float]], size: float
) -> tuple[np.ndarray, float]:
    """Places and size of something that hides an earlier one for a while, or goes away itself."""
    if not placed or random.random() < 0.4:
        return elsewhere(random, frames), size
    target, target_size = placed[random.integers(len(placed))]
    return lingering(random, target), max(size, min(target_size * random.uniform(1.0, 1.6), 0.8))


def _varied(random: np.random.Generator, images: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Footage (T, S, S, 3) and coverages (T, K, S, S) seen by another camera that leans and sways, in other colours."""
    frames, side = images.shape[:2]
    if random.random() < 0.5:
        images = recoloured(images.reshape(frames * side, side, 3), random).reshape(images.shape)
    if random.random() < 0.5:
        return images, masks
    lean = turn_and_scale(random.normal(0, 0.15), *np.exp(random.normal(0.08, 0.12, 2)))
    lean[0, 1] += random.normal(0, 0.12)
    middle = shift(side / 2, side / 2) @ lean @ shift(-side / 2, -side / 2)
    path = [camera @ middle for camera in camera_path(random, frames, side)]
    size = (side, side)
    images = np.stack(
        [
            cv2.warpPerspective(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
            for image, matrix in zip(images, path)
        ]
    )
    masks = np.stack(
        [[cv2.warpPerspective(mask, matrix, size) for mask in frame] for frame, matrix in zip(masks, path)]
    )
    return images, masks.reshape(frames, -1, side, side).astype(np.uint8)


def _seen_by(camera: np.ndarray, backdrop: np.ndarray, side: int) -> np.ndarray:
    """A square backdrop through T camera matrices (T, 3, 3): (T, side, side, 3)."""
    margin = (len(backdrop) - side) / 2
    return np.stack(
        [
            cv2.warpPerspective(
                backdrop,
                matrix @ shift(-margin, -margin),
                (side, side),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT_101,
            )
            for matrix in camera
        ]
    )


def _moved_with(layer: Layer, camera: np.ndarray) -> Layer:
    """The same layer, seen by a camera that moves: (T, 3, 3) matrices."""
    return Layer(layer.sprites, camera @ layer.matrices, layer.bend, layer.part, layer.shadow)


def _layer(
    random: np.random.Generator, sprites: np.ndarray, places: np.ndarray, size: float, side: int, with_part: bool = True
) -> Layer:
    """A thing at random places (T, ...) for images of ``side`` pixels: maybe bending, with a part, with a shadow."""
    frames, sprite = len(places), sprites.shape[1]
    bend = None
    if random.random() < 0.25:
        reach = sprite * random.uniform(0.01, 0.06)
        swing = 1.0 + smooth(random, frames, 0.8)
        phase = random.uniform(0, 6) + smooth(random, frames, 1.0)
        bend = Bend(
            np.minimum(reach * np.abs(swing), sprite * 0.1),
            phase,
            sprite * random.uniform(0.6, 2.0),
            bool(random.random() < 0.5),
        )
    part = None
    if with_part and len(sprites) == 1 and random.random() < 0.12:
        part = draw_part(random, np.ascontiguousarray(sprites[0, ..., 3]))
        sprites = sprites.copy()
        tint = random.uniform(0.4, 1.5, 3)  # a person can see where the part ends
        region = part > 127
        sprites[0, region, :3] = np.clip(sprites[0, region, :3] * tint + random.uniform(-30, 30), 0, 255).astype(
            np.uint8
        )
    shadow = (0.0, 0.0, 0.0)
    if random.random() < 0.4:
        shadow = (*random.normal(0, 0.03, 2) * side, random.uniform(0.2, 0.7))
    matrices = sprite_matrices(random, places, sprite, size * sprite / max(sprite - 2 * MARGIN, 1), side)
    return Layer(sprites, matrices, bend, part, shadow)


def _targets(random: np.random.Generator, masks: np.ndarray, most: int, smallest: float, vanishing: float) -> list[int]:
    """Which masks to ask for: visible on the first frame, and large enough there."""
    share = (masks[0] >= HALF).mean(axis=(1, 2)) if masks.shape[1] else np.zeros(0)
    seen = random.permutation(np.flatnonzero((share > smallest) & (share < LARGEST)))
    if vanishing and random.random() < vanishing:
        stays = (masks[:, seen] >= HALF).any(axis=(2, 3)).all(axis=0)
        seen = seen[np.argsort(stays, kind="stable")]
    return seen[:most].tolist()


def _lens(random: np.random.Generator, frames: int) -> Lens:
    gain = random.uniform(0.75, 1.2) * random.uniform(0.92, 1.08, 3)
    drift = 1.0 + np.stack([smooth(random, frames, 0.05 * random.random())] * 3, axis=1)
    drift += np.stack([smooth(random, frames, 0.015) for _ in range(3)], axis=1)
    blur = (
        np.abs(random.normal(0, 0.5)) * (1 + smooth(random, frames, 0.5)) if random.random() < 0.4 else np.zeros(frames)
    )
    smear = np.zeros((frames, 2))
    if random.random() < 0.15:
        smear = random.normal(0, 4, 2) + np.stack([smooth(random, frames, 2), smooth(random, frames, 2)], axis=1)
    gamma = np.exp(random.normal(0, 0.15) + smooth(random, frames, 0.04))
    grain = float(random.exponential(4.0)) if random.random() < 0.7 else 0.0
    quality = int(random.integers(30, 95)) if random.random() < 0.2 else 0
    return Lens(
        np.clip(gain * drift, 0.4, 1.6),
        np.clip(gamma, 0.5, 2.0),
        np.clip(blur, 0, 2.5),
        smear,
        min(grain, 20.0),
        quality,
    )
