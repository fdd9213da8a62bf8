"""Bags with depth as the drivers of cameras lay them out, written by their own documentation.

A red square of 16 pixels moves to the right at ``NEAR`` metres, in front of a wall at ``FAR``.
"""

import struct
from types import SimpleNamespace

import cv2
import numpy as np
from geometry.analytic import camera_info
from recordings.bags import CAMERA_INFO, COMPRESSED, IMAGE, PROMPT, header, labels, picture, prompt_message, stamp

from sam2_ros.messages import fill_compressed, fill_image
from sam2_ros.recordings.bags.writer import BagWriter

SIZE, FOCAL = (64, 64), 60.0
NEAR, FAR = 0.8, 2.0
#: Nanoseconds from the arrival of an image to that of its depth.
LATER = 20_000_000


def depth_of(index, size=SIZE):
    """Metres, float32; the sensor sees nothing in the corner."""
    down, across = size[0] // SIZE[0], size[1] // SIZE[1]
    near = np.kron(labels(index, SIZE), np.ones((down, across), np.uint8)) > 0
    depth = np.where(near, NEAR, FAR).astype(np.float32)
    depth[:8, :8] = np.nan
    return depth


def place(index):
    """Where the middle of the square is, metres."""
    x, y = (4 + index + 7.5 - 31.5) / FOCAL * NEAR, (16 + 7.5 - 31.5) / FOCAL * NEAR
    return x, y, NEAR


def millimetres(depth):
    return np.round(np.nan_to_num(depth) * 1000).astype(np.uint16)


def raw(depth, head, encoding):
    height, width = depth.shape
    return SimpleNamespace(
        header=head,
        height=height,
        width=width,
        encoding=encoding,
        step=width * depth.itemsize,
        is_bigendian=0,
        data=np.frombuffer(depth.tobytes(), np.uint8),
    )


def packed(picture, head, kind, scale=(0.0, 0.0)):
    """compressedDepth: 12 bytes, the last eight of them the parameters of inverse depth, and a PNG."""
    data = struct.pack("<iff", 0, *scale) + cv2.imencode(".png", picture)[1].tobytes()
    return SimpleNamespace(header=head, format=f"{kind}; compressedDepth png", data=np.frombuffer(data, np.uint8))


def inverse(depth, head, farthest=10.0, quantization=100.0):
    """32FC1 in compressedDepth, as compressed_depth_image_transport writes it."""
    scale = quantization * (quantization + 1)
    offset = 1 - scale / farthest
    with np.errstate(invalid="ignore"):
        picture = np.nan_to_num(scale / depth + offset).astype(np.uint16)
    return packed(picture, head, "32FC1", (scale, offset))


def bgra(image, head):
    pixels = np.dstack((image[..., ::-1], np.full(image.shape[:2], 255, np.uint8)))
    return raw(pixels.view(np.uint32)[..., 0], head, "bgra8")


REALSENSE, ZED = "/camera/camera", "/zed/zed_node"
#: By name: image topic, kind and message; depth topic, kind and message; frame.
LAYOUTS = {
    "RealSense": (
        f"{REALSENSE}/color/image_raw",
        IMAGE,
        lambda image, head: fill_image(SimpleNamespace(header=head), image),
        f"{REALSENSE}/aligned_depth_to_color/image_raw",
        IMAGE,
        lambda depth, head: raw(millimetres(depth), head, "16UC1"),
        "camera_color_optical_frame",
    ),
    "RealSense, compressed": (
        f"{REALSENSE}/color/image_raw/compressed",
        COMPRESSED,
        lambda image, head: fill_compressed(SimpleNamespace(header=head), image),
        f"{REALSENSE}/aligned_depth_to_color/image_raw/compressedDepth",
        COMPRESSED,
        lambda depth, head: packed(millimetres(depth), head, "16UC1"),
        "camera_color_optical_frame",
    ),
    "ZED": (
        f"{ZED}/rgb/color/rect/image",
        IMAGE,
        bgra,
        f"{ZED}/depth/depth_registered",
        IMAGE,
        lambda depth, head: raw(depth, head, "32FC1"),
        "zed_left_camera_frame_optical",
    ),
    "ZED, compressed": (
        f"{ZED}/rgb/color/rect/image",
        IMAGE,
        bgra,
        f"{ZED}/depth/depth_registered/compressedDepth",
        COMPRESSED,
        inverse,
        "zed_left_camera_frame_optical",
    ),
}


def write_depth_bag(path, layout="RealSense", count=6, *, truth=False, shift=0, without=(), change=None, info=None):
    """A camera with depth in the layout of a driver, the depth of each image ``LATER``, and a click on the first image.

    truth: label images, moved by ``shift`` pixels.  without: of "depth" and "camera_info".  change: takes the index of
    an image, its depth in metres, stamp and frame, and returns what is published in their place, None for nothing.
    info: fields of camera_info.
    """
    image_topic, image_kind, image, depth_topic, depth_kind, depth, frame = LAYOUTS[layout]
    with BagWriter(path, kept_free=0) as writer:
        for index in range(count):
            now = stamp(index)
            if "camera_info" not in without:
                found = camera_info(SIZE, FOCAL, header=header(now, frame), **(info or {}))
                for topic in (image_topic.removesuffix("/compressed"), depth_topic.removesuffix("/compressedDepth")):
                    writer.write(f"{topic.rpartition('/')[0]}/camera_info", CAMERA_INFO, now + 1, found)
            writer.write(image_topic, image_kind, now + 1, image(picture(index, SIZE), header(now, frame)))
            if layout.startswith("RealSense"):  # not registered to the image
                unaligned = raw(millimetres(depth_of(index)), header(now, "camera_depth_optical_frame"), "16UC1")
                writer.write(f"{REALSENSE}/depth/image_rect_raw", IMAGE, now + 2, unaligned)
            if index == 0:
                writer.write("/sam2_ros/prompt", PROMPT, now + 2000, prompt_message("square", (10, 20), now))
            if truth:
                true = np.roll(labels(index, SIZE), shift, axis=1)
                writer.write("/ground_truth", IMAGE, now + 3000, fill_image(SimpleNamespace(header=header(now)), true))
            sensed = (depth_of(index), now, frame)
            sensed = change(index, *sensed) if change else sensed
            if "depth" not in without and sensed is not None:
                values, at, of = sensed
                writer.write(depth_topic, depth_kind, now + LATER, depth(values, header(at, of)))
    return path
