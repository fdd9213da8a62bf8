"""A pybullet world without a window: what the rendered scenes share."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sam2_ros.errors import MissingDependency
from sam2_ros.recordings.pictures import write_picture

S = TypeVar("S", bound="Simulator")


class Simulator:
    """A pybullet world; a context manager, since it holds resources."""

    def __init__(self) -> None:
        """MissingDependency without pybullet."""
        try:
            import pybullet
        except ImportError as error:
            raise MissingDependency(
                "rendered scenes need pybullet; install it: pip install pybullet (wheels: Python up to 3.11)"
            ) from error
        self.bullet: Any = pybullet
        self.client = pybullet.connect(pybullet.DIRECT)
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: object) -> None:
        self.bullet.disconnect(self.client)
        self._folder.cleanup()

    def paint(self, body: int, picture: np.ndarray) -> None:
        """Cover a body with a picture (H, W, 3)."""
        path = Path(self._folder.name) / f"{body}.png"
        write_picture(path, picture)
        texture = self.bullet.loadTexture(str(path), physicsClientId=self.client)
        self.bullet.changeVisualShape(
            body, -1, textureUniqueId=texture, rgbaColor=(1, 1, 1, 1), physicsClientId=self.client
        )
