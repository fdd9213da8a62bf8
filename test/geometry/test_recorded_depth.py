"""Bags with depth as drivers publish it give positions: RealSense (16UC1, compressedDepth) and ZED (32FC1)."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rosbags")

from geometry.analytic import FOCAL, SIZE, camera_info, plane, render, sphere
from recordings.bags import CAMERA_INFO, COMPRESSED, IMAGE, header
from recordings.bags.depth_bags import millimetres, packed, raw

from sam2_ros import recordings
from sam2_ros.geometry.camera import Camera
from sam2_ros.geometry.depth import metres
from sam2_ros.geometry.surface import surfaces
from sam2_ros.messages import fill_image
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import CameraEvent, DepthEvent

STAMP = 10**9
ALIGNED = "/camera/camera/aligned_depth_to_color/image_raw"


DRIVERS = {
    "RealSense": (ALIGNED, IMAGE, lambda depth: raw(millimetres(depth), header(STAMP), "16UC1")),
    "RealSense, compressed": (
        f"{ALIGNED}/compressedDepth",
        COMPRESSED,
        lambda depth: packed(millimetres(depth), header(STAMP), "16UC1"),
    ),
    "ZED": (
        "/zed/zed_node/depth/depth_registered",
        IMAGE,
        lambda depth: raw(np.where(depth, depth, np.nan), header(STAMP), "32FC1"),
    ),
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_depth_in_a_bag_gives_positions(tmp_path, driver):
    topic, kind, message = DRIVERS[driver]
    labels, depth = render([sphere((0.1, 0.0, 1.0), 0.08), plane((0, 0, 1), (0, 0, 2.0))])
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        image = fill_image(SimpleNamespace(header=header(STAMP)), np.zeros((*SIZE, 3), np.uint8))
        writer.write("/camera/color/image_raw", IMAGE, STAMP, image)
        writer.write("/camera/color/camera_info", CAMERA_INFO, STAMP, camera_info())
        writer.write(topic, kind, STAMP, message(depth))
    recording = recordings.open(tmp_path / "bag", image_topic="/camera/color/image_raw", more_topics="*")
    contents = [event.content for event in recording.events()]
    (found,) = (one for one in contents if isinstance(one, DepthEvent))
    (info,) = (one for one in contents if isinstance(one, CameraEvent))
    assert found.stamp == STAMP and info.matrix[0, 0] == FOCAL
    mask = (labels == 1).astype(np.uint8)
    exact = surfaces(mask, depth, Camera(info.size, info.matrix))[1]
    recorded = surfaces(mask, metres(found.depth), Camera(info.size, info.matrix, info.distortion))[1]
    assert recorded.position == pytest.approx(exact.position, abs=0.001)


def test_a_picture_of_depth_is_no_depth(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        picture = fill_image(SimpleNamespace(header=header(STAMP)), np.zeros((*SIZE, 3), np.uint8))
        writer.write("/camera/color/image_raw", IMAGE, STAMP, picture)
        writer.write("/camera/depth/colored", IMAGE, STAMP, picture)
    recording = recordings.open(tmp_path / "bag", more_topics="*")
    assert [event.content for event in recording.events()][1] is None and recording.lost == []
