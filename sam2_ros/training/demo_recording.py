"""Renders the recordings of the demo: ``python -m sam2_ros.training.demo_recording FOLDER --scene table``.

A fixed camera watches a table with an arm.

- ``table`` ships with the package.  The arm grasps a carton, lifts and carries it, then hides the
  can entirely, and the duck nearly, while it pushes the duck, and goes back.
- ``passing`` is the moving picture of the README.  The arm carries a brick past a mug and hides the mug for a while.

The folder gets pictures and label images in the layout of DAVIS (``JPEGImages/table``,
``Annotations/table``, values as in recording.json), ``depth.npz`` of one frame in twenty
(millimetres), ``camera_info.json`` and ``recording.json``.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.recordings.pictures import write_picture
from sam2_ros.training.robot_scenes import CLOSED, OPEN, Look, Move, RobotScene, Shot, Thing
from sam2_ros.training.textures import noise

logger = logging.getLogger(__name__)

SIZE = (480, 640)
#: Pictures per second, and how much larger than SIZE they are rendered.
FRAME_RATE, FINER = 11.0, 1.5
#: Stamp of the first picture in nanoseconds: simulation time does not start at zero here, for zero means "unknown".
FIRST_STAMP = 1_000_000_000
JPEG_QUALITY = 76
#: Name of the one sequence.
SEQUENCE = "table"
#: One depth image is kept for this number of pictures.
DEPTH_EVERY = 20
RED, BLUE = (0.75, 0.16, 0.14, 1), (0.15, 0.3, 0.75, 1)
LICENCE = "Apache-2.0, rendered by sam2_ros with pybullet; duck, mug and brick are models of pybullet_data"


def table_things() -> list[Thing]:
    """What lies on the table; the duck, mug and brick are in no training scene."""
    return [
        Thing("carton", "box", (0.50, -0.08), yaw=0.5, size=(0.055, 0.06, 0.12), picture=_carton()),
        Thing("can", "can", (0.56, 0.24), size=(0.062, 0.062, 0.11), picture=_can()),
        Thing("mug", "objects/mug.urdf", (0.25, 0.13), yaw=0.6, colour=RED),
        Thing("duck", "duck_vhacd.urdf", (0.62, 0.07), yaw=2.2),
        Thing("brick", "lego/lego.urdf", (0.36, -0.26), yaw=0.4, scale=1.5, colour=BLUE),
    ]


def table_moves() -> list[Move]:
    """About fifteen seconds."""
    grip, lift, put = (0.50, -0.08, 0.065), (0.50, -0.08, 0.30), (0.28, -0.12, 0.07)
    return [
        Move((0.30, -0.30, 0.45), 1.4, fingers=OPEN),
        Move((0.50, -0.08, 0.26), 1.6, yaw=0.5),
        Move(grip, 1.2, yaw=0.5, fingers=CLOSED, grasp="carton"),
        Move(grip, 0.5, yaw=0.5),
        Move(lift, 1.4, yaw=0.5),
        Move((0.30, -0.12, 0.32), 1.4, yaw=0.2),
        Move(put, 1.1, yaw=0.2, fingers=OPEN, release=True),
        Move((0.28, -0.12, 0.30), 0.8, yaw=0.2, fingers=CLOSED),
        Move((0.66, -0.06, 0.20), 1.1, yaw=0.0),
        Move((0.66, -0.06, 0.03), 0.7, yaw=0.0),
        Move((0.63, 0.10, 0.03), 1.1, yaw=0.0),
        Move((0.60, 0.02, 0.30), 0.9),
        Move((0.30, -0.30, 0.45), 1.2),
    ]


def passing_things() -> list[Thing]:
    """The demo clicks the first and boxes the second."""
    return [
        Thing("brick", "lego/lego.urdf", (0.36, -0.26), yaw=0.4, scale=1.5, colour=RED),
        Thing("mug", "objects/mug.urdf", (0.44, 0.13), yaw=0.6, scale=0.85, colour=BLUE),
        Thing("duck", "duck_vhacd.urdf", (0.66, 0.22), yaw=2.2),
        Thing("carton", "box", (0.22, 0.16), yaw=0.5, size=(0.055, 0.06, 0.12), picture=_carton()),
    ]


def passing_moves() -> list[Move]:
    """About ten seconds; with its broad side to the camera the hand hides the mug for two of them."""
    return [
        Move((0.36, -0.26, 0.20), 1.2, yaw=0.4, fingers=OPEN),
        Move((0.36, -0.26, 0.035), 0.8, yaw=0.4, fingers=CLOSED, grasp="brick"),
        Move((0.36, -0.26, 0.22), 0.9, yaw=0.4),
        Move((0.60, -0.15, 0.07), 1.2, yaw=-1.0),
        Move((0.615, -0.14, 0.07), 1.3, yaw=-1.0),
        Move((0.66, -0.02, 0.10), 0.9, yaw=0.2),
        Move((0.66, -0.04, 0.04), 0.6, yaw=0.2, fingers=OPEN, release=True),
        Move((0.60, -0.10, 0.30), 0.9),
        Move((0.30, -0.30, 0.45), 1.0),
    ]


SCENES = {"table": (table_things, table_moves), "passing": (passing_things, passing_moves)}


def look() -> Look:
    """A camera on a tripod beside the table."""
    return Look((0.98, -0.85, 0.46), (0.43, 0.01, 0.115), 32.0, (0.5, -0.9, 1.8), (_wood(), _wall(), _floor()))


def make(folder: Path, name: str = "table") -> None:
    """Render and write the recording of the scene ``name``."""
    things, moves = SCENES[name]
    pictures, annotations = folder / "JPEGImages" / SEQUENCE, folder / "Annotations" / SEQUENCE
    pictures.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    depths = []
    with RobotScene(things(), look()) as scene:
        names, intrinsics = list(scene.bodies), scene.intrinsics(SIZE)
        for number, shot in enumerate(scene.play(moves(), FRAME_RATE, SIZE, FINER)):
            image = _photographed(shot, random)
            write_picture(pictures / f"{number:05d}.jpg", image, cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
            label = np.where(shot.label <= len(names), shot.label, 0)  # the arm is nobody's object here
            write_picture(annotations / f"{number:05d}.png", label)
            if number % DEPTH_EVERY == 0:
                depths.append(np.round(shot.depth * 1000).astype(np.uint16))
            logger.info("frame %d", number)
    np.savez_compressed(folder / "depth.npz", depth=np.stack(depths), every=DEPTH_EVERY)
    _write(
        folder / "recording.json",
        {
            "frame_rate": FRAME_RATE,
            "frames": number + 1,
            "width": SIZE[1],
            "height": SIZE[0],
            "first_stamp": FIRST_STAMP,
            "objects": {str(value): name for value, name in enumerate(names, start=1)},
            "licence": LICENCE,
        },
    )
    _write(folder / "camera_info.json", _camera_info(*intrinsics))


def _camera_info(fx: float, fy: float, cx: float, cy: float) -> dict[str, object]:
    """The fields of sensor_msgs/CameraInfo."""
    return {
        "width": SIZE[1],
        "height": SIZE[0],
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    }


def _photographed(shot: Shot, random: np.random.Generator) -> np.ndarray:
    """A little blur and grain, as a real camera adds."""
    soft = cv2.GaussianBlur(shot.image, (0, 0), 0.75).astype(np.float32)
    return np.clip(soft + random.normal(0, 1.2, soft.shape), 0, 255).astype(np.uint8)


def _write(path: Path, facts: dict[str, object]) -> None:
    path.write_text(json.dumps(facts, indent=1) + "\n")


def _coloured(values: np.ndarray, dark: tuple[int, int, int], light: tuple[int, int, int]) -> np.ndarray:
    """(H, W) values of 0 to 1 to (H, W, 3) uint8 between two colours."""
    mixed = np.array(dark) + (np.array(light) - np.array(dark)) * values[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _wood() -> np.ndarray:
    """A table of six planks."""
    random = np.random.default_rng(1)
    side = 1024
    picture = np.empty((side, side, 3), np.uint8)
    for plank in range(6):
        top, bottom = plank * side // 6, (plank + 1) * side // 6
        grain = cv2.resize(noise(random, (bottom - top, 64), 6, 6), (side, bottom - top), interpolation=cv2.INTER_CUBIC)
        rings = 0.5 + 0.5 * np.sin(grain * 38)
        shade = np.clip(0.55 * grain + 0.35 * rings + random.uniform(-0.1, 0.15), 0, 1)
        picture[top:bottom] = _coloured(shade, (122, 84, 52), (196, 152, 104))
        picture[top : top + 4] = (84, 58, 38)
    return picture


def _wall() -> np.ndarray:
    random = np.random.default_rng(2)
    return _coloured(noise(random, (512, 512), 3, 6), (150, 158, 160), (186, 192, 190))


def _floor() -> np.ndarray:
    random = np.random.default_rng(3)
    tiles = _coloured(noise(random, (512, 512), 8, 6), (70, 72, 78), (112, 112, 116))
    tiles[::64], tiles[:, ::64] = (52, 52, 56), (52, 52, 56)
    return tiles


def _carton() -> np.ndarray:
    """Printed on every side."""
    picture = np.full((256, 256, 3), (222, 206, 160), np.uint8)
    cv2.rectangle(picture, (0, 70), (255, 190), (32, 116, 96), -1)
    cv2.circle(picture, (128, 130), 46, (240, 226, 190), -1, cv2.LINE_AA)
    cv2.putText(picture, "TEA", (86, 144), cv2.FONT_HERSHEY_DUPLEX, 1.4, (32, 80, 66), 3, cv2.LINE_AA)
    return picture


def _can() -> np.ndarray:
    picture = np.full((256, 256, 3), (188, 194, 200), np.uint8)
    picture[60:200] = (44, 70, 150)
    for x in range(0, 256, 64):
        cv2.circle(picture, (x + 32, 130), 22, (236, 196, 60), -1, cv2.LINE_AA)
    return picture


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scene", choices=SCENES, default="table")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parsed = parser.parse_args()
    make(parsed.folder, parsed.scene)


if __name__ == "__main__":
    main()
