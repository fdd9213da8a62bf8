from types import SimpleNamespace

import numpy as np
import pytest

from sam2_ros.errors import InvalidImage, InvalidInput
from sam2_ros.geometry.depth import depth_from, metres
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.messages import fill_compressed


def message(values, encoding, padding=0, big=False):
    rows = values.astype(values.dtype.newbyteorder(">" if big else "<")).tobytes()
    step = values.shape[1] * values.itemsize
    data = b"".join(rows[n * step : (n + 1) * step] + b"\0" * padding for n in range(len(values)))
    return SimpleNamespace(
        height=values.shape[0],
        width=values.shape[1],
        encoding=encoding,
        step=step + padding,
        is_bigendian=int(big),
        data=data,
    )


@pytest.mark.parametrize("big, padding", [(False, 0), (True, 0), (False, 6)])
@pytest.mark.parametrize("kind, encoding", [("u2", "16UC1"), ("u2", "mono16"), ("f4", "32FC1"), ("f8", "64FC1")])
def test_depth_is_read_as_it_was_published(kind, encoding, big, padding):
    values = np.array([[0, 500, 1234], [65535, 1, 2]], kind)
    assert (depth_from(message(values, encoding, padding, big)) == values).all()


def test_compressed_depth_is_read():
    picture = np.array([[0, 800], [1200, 65535]], np.uint16)
    packed = fill_compressed(SimpleNamespace(), picture)
    packed.format, packed.data = "16UC1; compressedDepth png", b"\0" * 12 + packed.data.tobytes()
    assert (depth_from(packed) == picture).all()


@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "16SC1"])
def test_a_picture_is_no_depth(encoding):
    with pytest.raises(InvalidImage, match=f"{encoding}.*is not one of 16UC1, mono16, 32FC1, 64FC1"):
        depth_from(message(np.zeros((2, 2), np.uint16), encoding))


def test_too_few_bytes_are_named():
    short = message(np.zeros((2, 2), np.uint16), "16UC1")
    short.data = short.data[:5]
    with pytest.raises(InvalidImage, match="a depth image cannot be read: 5 bytes of data"):
        depth_from(short)


def test_sixteen_bits_are_millimetres_and_zero_is_unknown():
    assert metres(np.array([[0, 500, 1234]], np.uint16))[0].tolist() == pytest.approx([0, 0.5, 1.234])


def test_floats_are_metres_and_what_is_no_number_is_unknown():
    values = np.array([[1.5, np.nan, np.inf, -np.inf, -1.0, 0.0]], np.float32)
    assert metres(values)[0].tolist() == [1.5, 0, 0, 0, 0, 0]
    assert metres(values.astype(float)).dtype == np.float32


def test_a_camera_may_count_in_other_units_and_see_only_so_far():
    settings = DepthSettings(depth_scale=0.00025, depth_near=0.2, depth_far=3.0)
    values = np.array([[100, 4000, 11996, 12004]], np.uint16)
    assert metres(values, settings)[0].tolist() == pytest.approx([0, 1, 2.999, 0])


def test_the_nearest_depth_is_nearer_than_the_farthest():
    with pytest.raises(InvalidInput, match="depth_near must be below depth_far"):
        DepthSettings(depth_near=3.0, depth_far=2.0)
