import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.ranges import Range
from sam2_ros.recordings.pictures import doubles_among, is_turned, masks_of, pictures_in, read_picture, write_picture


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


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_a_picture_of_a_twelve_bit_camera_keeps_its_grey_levels(tmp_path, name):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    cv2.imwrite(str(tmp_path / name), values)
    assert len(np.unique(read_picture(tmp_path / name))) > 200
    assert (read_picture(tmp_path / name, Range("full"))[:, :, 0] == (values.astype(int) + 128) // 257).all()


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


def test_a_cut_jpeg_is_no_picture(tmp_path):
    write_picture(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    assert read_picture(tmp_path / "a.jpg") is None


def test_folders_and_hidden_files_are_no_pictures(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "._b.jpg").write_bytes(b"of a Mac")
    (tmp_path / "c.jpg").write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["c.jpg"]


@pytest.mark.parametrize(
    ("pictures", "masks", "pairs", "left"),
    [
        ("00.jpg 01.jpg", "00.png 01.PNG", "00.png 01.PNG", ""),
        ("00000.jpg 00005.jpg", "0.png 5.png", "0.png 5.png", ""),
        ("a.jpg b.jpg", "a_mask.png mask-b.png", "a_mask.png mask-b.png", ""),
        ("img_7.jpg img_8.jpg", "7_seg.png Label8.png", "7_seg.png Label8.png", ""),
        ("frame_0001.jpg frame_0002.jpg", "object_2.png", "- object_2.png", ""),
        ("1.jpg 2.jpg 3.jpg", "m0.png m1.png m2.png", "- - -", "m0.png m1.png m2.png"),  # one off, or one too many?
        ("1.jpg 2.jpg", "1.png 1_mask.png 01.png", "1.png -", "1_mask.png 01.png"),
        ("a1.jpg b1.jpg", "1.png", "- -", "1.png"),
    ],
)
def test_a_mask_belongs_to_the_picture_that_its_name_can_only_mean(pictures, masks, pairs, left):
    found, rest = masks_of([Path(name) for name in pictures.split()], [Path(name) for name in masks.split()])
    assert " ".join(found[place].name if place in found else "-" for place in range(len(pictures.split()))) == pairs
    assert " ".join(path.name for path in rest) == left


@pytest.mark.parametrize(
    ("names", "doubles"),
    [
        ("a.jpg b.jpg a.png", "a.jpg a.png"),
        ("a.jpg a_mask.png", "a_mask.png"),
        ("a_mask.png b_mask.png", ""),
        ("seg_1.jpg seg_2.jpg", ""),
    ],
)
def test_two_pictures_of_one_moment_are_named(names, doubles):
    assert " ".join(doubles_among([Path(name) for name in names.split()])) == doubles


def turned_jpeg(path, orientation):
    """A JPEG whose EXIF data say how it is turned."""
    image = np.zeros((20, 30, 3), np.uint8)
    image[:8, :12] = 255
    write_picture(path, image)
    exif = (
        b"Exif\0\0"
        + b"II*\0\x08\0\0\0"
        + b"\x01\0"
        + b"\x12\x01\x03\0\x01\0\0\0"
        + bytes([orientation, 0, 0, 0])
        + bytes(4)
    )
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
    return path


@pytest.mark.parametrize(("orientation", "size"), [(1, (20, 30)), (3, (20, 30)), (6, (30, 20))])
def test_a_picture_that_exif_data_turn_is_known(tmp_path, orientation, size):
    path = turned_jpeg(tmp_path / "a.jpg", orientation)
    assert read_picture(path).shape[:2] == size
    assert is_turned(path) is (orientation != 1)


def test_a_picture_that_no_format_takes_is_one_sentence(tmp_path):
    for name, image in (("a.nothing", np.zeros((8, 8, 3), np.uint8)), ("a.png", np.zeros((0, 8), np.uint8))):
        with pytest.raises(RecordingError, match="does not fit the format"):
            write_picture(tmp_path / name, image)
