"""Random robot scenes: scene ``seed`` depends on the seed only.

``python -m sam2_ros.training.random_scenes FOLDER --count 200`` renders training scenes into
``.npz`` files (see robot_clips).  Held-out scenes use other models, other textures and
seeds from HELD_OUT_SEED on.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from sam2_ros.training.robot_scenes import CLOSED, OPEN, Look, Move, RobotScene, Thing
from sam2_ros.training.textures import TextureBank, make_bank

logger = logging.getLogger(__name__)

#: Training scenes have smaller seeds.
HELD_OUT_SEED = 500_000
#: pybullet_data/random_urdfs: the first of these models are for training, the others held out.
MODELS, TRAINING_MODELS = 1000, 800
HELD_OUT_MODELS = (
    ("duck_vhacd.urdf", 1.0),
    ("objects/mug.urdf", 1.0),
    ("lego/lego.urdf", 1.6),
    ("jenga/jenga.urdf", 1.0),
    ("teddy_vhacd.urdf", 1.0),
)
#: Pictures per scene and their (height, width).
FRAMES, SIZE = 24, (240, 320)
#: Where things may lie, in metres: x, then y.
NEAR, FAR, ASIDE = 0.3, 0.66, 0.3


def random_scene(seed: int, bank: TextureBank) -> tuple[list[Thing], Look]:
    """What lies on the table of scene ``seed``, and how it is seen."""
    random = np.random.default_rng((seed, 21))
    held_out = seed >= HELD_OUT_SEED
    count = int(random.integers(3, 9))
    places: list[tuple[float, float]] = []
    while len(places) < count:
        place = (float(random.uniform(NEAR, FAR)), float(random.uniform(-ASIDE, ASIDE)))
        if all(np.hypot(place[0] - x, place[1] - y) > 0.09 for x, y in places) or random.random() < 0.02:
            places.append(place)
    things = [_thing(f"thing{number}", place, random, bank, held_out) for number, place in enumerate(places)]
    if random.random() < 0.3:  # two of a kind
        twin = things[0]
        things[-1] = Thing(
            things[-1].name,
            twin.model,
            places[-1],
            float(random.uniform(0, 6)),
            twin.size,
            twin.scale,
            twin.colour,
            twin.picture,
        )
    return things, _look(random, bank)


def _thing(
    name: str, place: tuple[float, float], random: np.random.Generator, bank: TextureBank, held_out: bool
) -> Thing:
    yaw = float(random.uniform(0, 2 * np.pi))
    kind = random.random()
    if kind < 0.45:
        length, width, height = random.uniform(0.035, 0.12, 3).tolist()
        model = ("box", "box", "can", "ball")[random.integers(4)]
        round_side = 0.8 * length
        size = {
            "box": (length, width, height),
            "can": (round_side, round_side, height),
            "ball": (round_side, round_side, round_side),
        }
        return Thing(name, model, place, yaw, size[model], picture=bank.texture(random, 128))
    colour = (*random.uniform(0.05, 1.0, 3).tolist(), 1.0)
    if held_out and kind < 0.75:
        model, scale = HELD_OUT_MODELS[random.integers(len(HELD_OUT_MODELS))]
        return Thing(name, model, place, yaw, scale=scale, colour=colour if "duck" not in model else None)
    number = int(random.integers(TRAINING_MODELS, MODELS) if held_out else random.integers(TRAINING_MODELS))
    return Thing(
        name,
        f"random_urdfs/{number:03d}/{number:03d}.urdf",
        place,
        yaw,
        scale=float(random.uniform(0.7, 1.2)),
        colour=colour,
        picture=bank.texture(random, 128) if random.random() < 0.4 else None,
    )


def _look(random: np.random.Generator, bank: TextureBank) -> Look:
    surfaces = (bank.texture(random, 512), bank.texture(random, 512), bank.texture(random, 256))
    light = (float(random.uniform(-1, 1.2)), float(random.uniform(-1.5, 1.5)), float(random.uniform(1.0, 2.5)))
    ambient, shadow = float(random.uniform(0.4, 0.75)), bool(random.random() < 0.8)
    if random.random() < 0.15:
        return Look(
            (0.09, 0.0, -0.09), (0.02, 0.0, 0.12), float(random.uniform(60, 85)), light, surfaces, True, shadow, ambient
        )
    around = random.uniform(-1.9, 1.9)
    distance, height = random.uniform(0.4, 0.95), random.uniform(0.2, 0.7)
    target = (0.45 + float(random.normal(0, 0.04)), float(random.normal(0, 0.05)), 0.06)
    eye = (target[0] + float(np.cos(around) * distance), target[1] + float(np.sin(around) * distance), float(height))
    return Look(eye, target, float(random.uniform(30, 50)), light, surfaces, False, shadow, ambient)


def random_moves(scene: RobotScene, random: np.random.Generator) -> list[Move]:
    """Reach, and then grasp and carry, push, or only pass in front of things; ten to fifteen seconds."""
    moves: list[Move] = []
    for _ in range(2):
        name = scene.things[random.integers(len(scene.things))].name
        x, y, z = (float(value) for value in scene.place_of(name))
        x, y, yaw = float(np.clip(x, 0.25, 0.7)), float(np.clip(y, -0.4, 0.4)), float(random.uniform(-1.2, 1.2))
        elsewhere = (float(random.uniform(NEAR, FAR)), float(random.uniform(-ASIDE, ASIDE)))
        kind = random.random()
        moves.append(Move((x, y, z + 0.18), 1.3, yaw, fingers=OPEN if kind < 0.6 else CLOSED))
        if kind < 0.6:
            moves += [
                Move((x, y, max(z, 0.02)), 0.9, yaw, fingers=CLOSED, grasp=name),
                Move((x, y, z + 0.25), 1.0, yaw),
                Move((*elsewhere, z + 0.22), 1.4, yaw + float(random.normal(0, 0.6))),
                Move((*elsewhere, z + 0.03), 0.9, yaw, fingers=OPEN, release=True),
                Move((*elsewhere, z + 0.25), 0.8, yaw),
            ]
        elif kind < 0.85:
            moves += [
                Move((x - 0.1, y, max(z, 0.02)), 0.8, yaw),
                Move((*elsewhere, max(z, 0.02)), 1.6, yaw),
                Move((*elsewhere, 0.3), 0.8, yaw),
            ]
        else:
            moves += [Move((x, y, z + 0.12), 0.5, yaw), Move((*elsewhere, 0.2), 1.5, yaw)]
    return moves


def render(
    seed: int, bank: TextureBank, frames: int = FRAMES, size: tuple[int, int] = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Scene ``seed``: frames (T, H, W, 3) uint8 RGB and labels (T, H, W) uint8; things 1, 2, ..., the arm last."""
    things, look = random_scene(seed, bank)
    random = np.random.default_rng((seed, 22))
    images, labels = [], []
    with RobotScene(things, look) as scene:
        moves = random_moves(scene, random)
        seconds = sum(move.seconds + (0.35 if move.fingers is not None else 0.0) for move in moves)
        for shot in scene.play(moves, (frames + 1) / seconds, size):
            images.append(shot.image)
            labels.append(shot.label)
            if len(images) == frames:
                break
    return np.stack(images), np.stack(labels)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Render robot scenes for training.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument(
        "--first-seed", type=int, default=0, help=f"below {HELD_OUT_SEED}, else held-out scenes are made"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options.folder.mkdir(parents=True, exist_ok=True)
    bank = make_bank(
        1 if options.first_seed < HELD_OUT_SEED else HELD_OUT_SEED, held_out=options.first_seed >= HELD_OUT_SEED
    )
    for seed in range(options.first_seed, options.first_seed + options.count):
        path = options.folder / f"{seed:06d}.npz"
        if not path.exists():
            frames, labels = render(seed, bank)
            np.savez_compressed(path, frames=frames, labels=labels)
            logger.info("%s", path)


if __name__ == "__main__":
    main()
