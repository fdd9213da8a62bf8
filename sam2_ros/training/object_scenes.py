"""Scenes of scanned objects on a table, with exact masks and the visible share of each object.

``python -m sam2_ros.training.object_scenes OBJECTS FOLDER --count 500`` renders training scenes: look-alikes
that are shuffled, objects that are carried, pushed, dropped, and hidden by hands, arms and other objects, a camera
that moves around or comes near.  Scene ``seed`` depends on the seed only.  There is no physics simulation: motions
are scripted (staging.py), which takes a hundredth of the time.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.pictures import read_picture
from sam2_ros.training.scanned_objects import ScannedObject, backgrounds, models, outline
from sam2_ros.training.simulator import Simulator
from sam2_ros.training.staging import STORIES, Actor, Cast, Part, matrix, stage

logger = logging.getLogger(__name__)

#: Training scenes have smaller seeds.  Held-out scenes have these, and objects that are kept aside.
HELD_OUT_SEED, HELD_OUT_SCENES = 500_000, 20
HELD_OUT_STORIES = ("shuffle", "carry", "pass", "near", "shuffle")
FRAMES, SIZE = 24, (288, 384)
#: Of the table top, and how far away and how high the walls are, in metres.
TABLE, WALLS = (1.5, 1.5, 0.03), (1.7, 2.6)
NEAR, FAR = 0.02, 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """frames (T, H, W, 3) uint8 RGB.  labels (T, H, W) uint8: objects 1, 2, ..., what carries and hides them last.

    visible: (T, K) float32, the share of the outline of each object within the picture that is seen; 0 where it is
    out of the picture.  names: of the K objects' models.  story: what happens, in a word.
    """

    frames: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    names: list[str]
    story: str


class Renderer:
    """Models and backgrounds of one kind, for training or kept aside."""

    def __init__(self, folder: str | Path, *, held_out: bool = False) -> None:
        """RecordingError when the folder holds none."""
        self.models = models(folder, held_out=held_out)
        self.surfaces, self.panoramas = backgrounds(folder)

    def render(self, seed: int, frames: int = FRAMES, size: tuple[int, int] = SIZE, story: str = "") -> Scene:
        """Scene ``seed``; MissingDependency without pybullet."""
        cast = stage(np.random.default_rng((seed, 41)), self.models, frames, story)
        with Studio() as studio:
            random = np.random.default_rng((seed, 42))
            self.furnish(studio, random)
            return _filmed(studio, cast, _light(random), size)

    def furnish(self, studio: Studio, random: np.random.Generator) -> None:
        """Put a table, a floor and four walls into an empty studio."""
        table, floor, wall = (self.surfaces[random.integers(len(self.surfaces))] for _ in range(3))
        studio.slab((0.0, 0.0, -TABLE[2] / 2), TABLE, _picture(table, random))
        studio.slab((0.0, 0.0, -0.7), (6.0, 6.0, 0.02), _picture(floor, random))
        panorama = (
            _picture(self.panoramas[random.integers(len(self.panoramas))], random) if random.random() < 0.6 else None
        )
        distance, height = WALLS
        for quarter in range(4):
            angle = quarter * np.pi / 2
            picture = _picture(wall, random) if panorama is None else _crop(panorama, quarter)
            place = (distance * np.cos(angle), distance * np.sin(angle), height / 2 - 0.7)
            studio.slab(place, (0.02, 2 * distance, height), picture, angle)


class Studio(Simulator):
    """A place where scanned objects are moved and looked at."""

    def slab(self, centre: tuple[float, ...], size: tuple[float, ...], picture: np.ndarray, yaw: float = 0.0) -> int:
        """A box of ``size`` metres with a picture on it."""
        visual = self.bullet.createVisualShape(
            self.bullet.GEOM_BOX, halfExtents=[length / 2 for length in size], physicsClientId=self.client
        )
        body = self._place(visual, centre, self.bullet.getQuaternionFromEuler((0, 0, yaw)))
        self.paint(body, picture)
        return body

    def thing(self, model: ScannedObject, scale: float) -> int:
        """A scanned object, somewhere."""
        visual = self.bullet.createVisualShape(
            self.bullet.GEOM_MESH, fileName=str(model.file), meshScale=[scale] * 3, physicsClientId=self.client
        )
        return self._place(visual, (0, 0, 9), (0, 0, 0, 1))

    def part(self, part: Part) -> int:
        """A piece of a hand, an arm or a screen, somewhere."""
        bullet = self.bullet
        if part.kind == "box":
            visual = bullet.createVisualShape(
                bullet.GEOM_BOX,
                halfExtents=[length / 2 for length in part.size],
                rgbaColor=(*part.colour, 1),
                physicsClientId=self.client,
            )
        else:
            visual = bullet.createVisualShape(
                bullet.GEOM_CAPSULE,
                radius=part.size[0],
                length=part.size[2],
                rgbaColor=(*part.colour, 1),
                physicsClientId=self.client,
            )
        body = self._place(visual, (0, 0, 9), (0, 0, 0, 1))
        if part.picture is not None:
            self.paint(body, part.picture)
        return body

    def move(self, body: int, place: np.ndarray, turn: np.ndarray) -> None:
        """To ``place`` (3,), turned by the quaternion ``turn`` (x, y, z, w)."""
        self.bullet.resetBasePositionAndOrientation(body, place.tolist(), turn.tolist(), physicsClientId=self.client)

    def shoot(
        self, view: list[float], projection: list[float], light: dict[str, Any], size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (H, W, 3) uint8 and the body on each of them (H, W), -1 where there is none."""
        _, _, pixels, _, bodies = self.bullet.getCameraImage(
            size[1],
            size[0],
            view,
            projection,
            lightColor=(1, 1, 1),
            renderer=self.bullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
            **light,
        )
        return np.asarray(pixels, np.uint8).reshape(*size, 4)[..., :3].copy(), np.asarray(bodies).reshape(size).copy()

    def _place(self, visual: int, place: tuple[float, ...], turn: Any) -> int:
        return self.bullet.createMultiBody(0, -1, visual, place, turn, physicsClientId=self.client)


def _filmed(studio: Studio, cast: Cast, light: dict[str, Any], size: tuple[int, int]) -> Scene:
    bodies = [studio.thing(actor.model, actor.scale) for actor in cast.actors]
    parts = [studio.part(part) for part in cast.parts]
    label_of = np.zeros(256, np.uint8)
    label_of[bodies] = np.arange(1, len(bodies) + 1)
    label_of[parts] = len(bodies) + 1
    count = len(cast.eyes)
    frames, labels = np.empty((count, *size, 3), np.uint8), np.empty((count, *size), np.uint8)
    visible = np.zeros((count, len(bodies)), np.float32)
    for number in range(count):
        for actor, body in zip(cast.actors, bodies):
            studio.move(body, actor.base(number), actor.turns[number])
        for part, body in zip(cast.parts, parts):
            studio.move(body, part.places[number], part.turns[number])
        view = studio.bullet.computeViewMatrix(cast.eyes[number], cast.targets[number], (0, 0, 1))
        projection = studio.bullet.computeProjectionMatrixFOV(cast.angle, size[1] / size[0], NEAR, FAR)
        frames[number], seen = studio.shoot(view, projection, light, size)
        labels[number] = label_of[np.clip(seen, 0, 255)] * (seen >= 0)
        to_clip = np.array(projection).reshape(4, 4).T @ np.array(view).reshape(4, 4).T
        for place, actor in enumerate(cast.actors):
            whole = outline(projected(actor, number, to_clip, size), actor.model.triangles, size).sum()
            own = (labels[number] == place + 1).sum()
            visible[number, place] = min(own / whole, 1.0) if whole else 0.0
    return Scene(frames, labels, visible, [actor.model.name for actor in cast.actors], cast.story)


def projected(actor: Actor, number: int, to_clip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The vertices in one frame, (V, 3): x and y in pixels, and w."""
    world = actor.model.vertices * actor.scale @ matrix(actor.turns[number]).T + actor.base(number)
    clip = np.column_stack((world, np.ones(len(world)))) @ to_clip.T
    w = np.where(np.abs(clip[:, 3]) < 1e-6, 1e-6, clip[:, 3])
    x, y = (clip[:, 0] / w + 1) / 2 * size[1] - 0.5, (1 - clip[:, 1] / w) / 2 * size[0] - 0.5
    return np.column_stack((x, y, clip[:, 3]))


def _light(random: np.random.Generator) -> dict[str, Any]:
    return {
        "shadow": int(random.random() < 0.8),
        "lightDirection": (float(random.uniform(-1, 1)), float(random.uniform(-1, 1)), float(random.uniform(0.8, 2))),
        "lightAmbientCoeff": float(random.uniform(0.45, 0.8)),
        "lightDiffuseCoeff": float(random.uniform(0.35, 0.6)),
        "lightSpecularCoeff": float(random.uniform(0, 0.25)),
    }


def _picture(path: Path, random: np.random.Generator) -> np.ndarray:
    """A background (H, W, 3) RGB in a light of its own."""
    image = read_picture(path)
    if image is None:
        raise RecordingError(
            f"{path} is not a readable picture; give the folder of the scanned objects with its backgrounds"
        )
    gain = random.uniform(0.6, 1.15) * random.uniform(0.92, 1.08, 3)
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def _crop(panorama: np.ndarray, quarter: int) -> np.ndarray:
    """A quarter of the width of a panorama (H, W, 3), without sky and ground."""
    height, width = panorama.shape[:2]
    return panorama[height // 5 : height * 4 // 5, width * quarter // 4 : width * (quarter + 1) // 4]


def write(scene: Scene, path: Path) -> None:
    """A .npy file of pixels and labels, and beside it the share seen of each object, with their names."""
    np.savetxt(path.with_suffix(".visible.csv"), scene.visible, "%.3f", ",", header=",".join(scene.names))
    partial = path.with_name(f".{path.name}")
    with open(partial, "wb") as file:
        np.save(file, np.concatenate((scene.frames, scene.labels[..., None]), axis=-1))
    os.replace(partial, path)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Render scenes of scanned objects for training.")
    parser.add_argument("objects", type=Path, help="folder of the scanned objects")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument(
        "--story", default="", choices=sorted(STORIES), help="what happens in all of them; drawn by default"
    )
    parser.add_argument("--held-out", action="store_true", help="the scenes that nothing may train on or be tuned to")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    renderer = Renderer(options.objects, held_out=options.held_out)
    first = HELD_OUT_SEED if options.held_out else options.first_seed
    for number in range(HELD_OUT_SCENES if options.held_out else options.count):
        path = options.folder / f"{first + number:06d}.npy"
        if not path.exists():
            story = HELD_OUT_STORIES[number % 5] if options.held_out else options.story
            scene = renderer.render(first + number, story=story)
            write(scene, path)
            logger.info("%s %s", path, scene.story)


if __name__ == "__main__":
    main()
