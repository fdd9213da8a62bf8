"""The moving picture of a demo."""

import cv2
import numpy as np
import pytest

from sam2_ros.demo import moving_picture
from sam2_ros.errors import MissingDependency


@pytest.mark.skipif(not hasattr(cv2, "imreadanimation"), reason="this OpenCV writes no animations")
def test_it_shows_every_image_for_as_long_as_it_lasted(tmp_path):
    images = [np.full((60, 80, 3), 40 * index, np.uint8) for index in range(4)]
    moving_picture.write_moving_picture(tmp_path / "moving.webp", images, [0.0, 0.1, 0.4, 0.5])
    _, animation = cv2.imreadanimation(str(tmp_path / "moving.webp"))
    assert [frame.shape for frame in animation.frames] == [(360, 480, 3)] * 4
    assert list(animation.durations) == [100, 300, 100, moving_picture.PAUSE]
    assert [round(float(frame.mean()) / 40) for frame in animation.frames] == [0, 1, 2, 3]


def test_an_old_opencv_is_refused_by_name(monkeypatch):
    monkeypatch.delattr(cv2, "imencodeanimation", raising=False)
    with pytest.raises(MissingDependency, match=cv2.__version__):
        moving_picture.refuse_old_opencv()
