import os

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.pictures import pictures_in, read_picture, write_picture


def test_pictures_come_in_the_order_of_the_numbers_in_their_names(tmp_path):
    for name in ("frame_10.PNG", "frame_9.png", "frame_1.jpeg", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["frame_1.jpeg", "frame_9.png", "frame_10.PNG"]


def test_a_picture_is_rgb_of_eight_bits_whatever_the_file_holds(tmp_path):
    blue = np.zeros((4, 6, 4), np.uint16)
    blue[..., 0], blue[..., 3] = 65535, 30000
    cv2.imwrite(str(tmp_path / "deep.png"), blue)
    picture = read_picture(tmp_path / "deep.png")
    assert picture.dtype == np.uint8 and picture.shape == (4, 6, 3) and (picture == (0, 0, 255)).all()


def test_what_is_no_picture_is_none(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").write_bytes(b"")
    assert [read_picture(tmp_path / name) for name in ("a.png", "b.png", "c.png")] == [None] * 3


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.png"), "50%d.png", "12:30.png"], ids=ascii)
def test_a_picture_of_any_name_is_written_and_read(tmp_path, name):
    image = np.zeros((8, 12, 3), np.uint8)
    image[2:4] = (255, 0, 9)
    write_picture(tmp_path / name, image)
    assert (read_picture(tmp_path / name) == image).all()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_that_cannot_be_written_is_a_sentence(tmp_path):
    with pytest.raises(RecordingError, match="cannot write .*nowhere"):
        write_picture(tmp_path / "nowhere" / "a.png", np.zeros((8, 12, 3), np.uint8))
