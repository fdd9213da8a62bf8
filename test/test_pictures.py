import cv2
import numpy as np

from sam2_ros.pictures import pictures_in, read_picture


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
