"""Scanned household objects: meshes with a texture, and the outline that each would have with nothing in front of it.

The folder holds ``objects.json`` with ``objects`` (``name``, ``file`` and ``size_m`` of each) and ``backgrounds``
(``file``); a model is a Wavefront .obj whose lowest point lies at z = 0, centred in x and y.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sam2_ros.errors import RecordingError
from sam2_ros.training.kept_aside import kept_aside

#: Binary places of a pixel with which outlines are drawn.
SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ScannedObject:
    """name.  file: of the mesh.  size: metres (x, y, z).  vertices: (V, 3), metres.  triangles: (F, 3) of vertices."""

    name: str
    file: Path
    size: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray


def models(folder: str | Path, *, held_out: bool) -> list[ScannedObject]:
    """Those to train on, or those that are kept aside; RecordingError when the folder holds none."""
    folder = Path(folder)
    aside = kept_aside("objects")
    found = []
    for entry in _index(folder)["objects"]:
        if (entry["name"] in aside) == held_out:
            file = folder / entry["file"]
            found.append(ScannedObject(entry["name"], file, np.array(entry["size_m"], float), *_mesh(file)))
    if not found:
        raise RecordingError(f"{folder} holds no {'held-out' if held_out else 'training'} objects")
    return found


def backgrounds(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Files of surfaces, and of panoramas."""
    files = [Path(folder) / entry["file"] for entry in _index(Path(folder))["backgrounds"]]
    return [file for file in files if "pano" not in file.name], [file for file in files if "pano" in file.name]


def outline(points: np.ndarray, triangles: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where an object is, whatever lies in front of it: (H, W) bool.

    points: (V, 3), x and y in pixels and w in front of the camera; triangles with a point behind it are left out.
    """
    corners = points[triangles]  # (F, 3, 3)
    (x0, y0), (x1, y1), (x2, y2) = (corners[:, number, :2].T for number in range(3))
    turning = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    inside = (corners[..., 2] > 0).all(axis=1) & (np.abs(corners[..., :2]) < 4000).all(axis=(1, 2))
    area = np.zeros(size, np.uint8)
    facing = inside & (turning < 0)  # rows count downwards, so what faces the camera turns the other way
    for polygon in np.round(corners[facing, :, :2] * 2**SUBPIXEL_BITS).astype(np.int32):
        cv2.fillConvexPoly(area, polygon, 1, cv2.LINE_8, SUBPIXEL_BITS)
    return area > 0


def _index(folder: Path) -> dict:
    path = folder / "objects.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be read: {error}; give the folder of the scanned objects") from error


def _mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in metres and triangles (F, 3) of an OBJ file."""
    vertices, triangles = [], []
    for line in path.read_text().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(field) for field in fields[:3]])
        elif kind == "f":
            corners = [int(field.split("/")[0]) - 1 for field in fields]
            triangles += [(corners[0], *corners[number : number + 2]) for number in range(1, len(corners) - 1)]
    return np.array(vertices), np.array(triangles)
