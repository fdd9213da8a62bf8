"""Pictures, and a model that follows colours."""

import cv2
import pytest
from fakes import BLUE, RED, ColourModel, picture

from sam2_ros.stream import tracker_setup


@pytest.fixture
def colour_model(monkeypatch):
    monkeypatch.setattr(tracker_setup, "_load", lambda *_: ColourModel())


@pytest.fixture
def folder(tmp_path):
    """Six pictures: a red square moves right; a blue one stands still from the third on."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for n in range(6):
        image = picture({RED: (4 * n, 8), **({BLUE: (40, 40)} if n >= 2 else {})})
        cv2.imwrite(str(pictures / f"{n:05d}.png"), image[..., ::-1])
    return pictures
