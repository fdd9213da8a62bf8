"""Converts ROS messages into the types of ``types``, and images and tracks into messages.

Nothing here imports ROS: any object with the fields of a sensor_msgs/Image will do, whether rclpy, rosbags or a test
made it.  Images become RGB with the same OpenCV conversions, in the same order, as in cv_bridge
(``imgmsg_to_cv2(message, "rgb8")``, and ``cvtColorForDisplay`` for encodings without a colour).  So the pixels are the
same where the node uses cv_bridge itself (see ``ros.bridge``).  rgb8 without row padding is not copied.  ``ranges``
converts 16 bits to 8.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sam2_ros import decoding
from sam2_ros.errors import InvalidImage, InvalidPrompt
from sam2_ros.ranges import FULL, Range
from sam2_ros.types import Frame, Mask, Prompt, Track

NANOSECONDS = 1_000_000_000
#: Another way from a sensor_msgs/Image to (H, W, 3) uint8 RGB; None for a message that it does not know.
ToRgb = Callable[[Any], "np.ndarray | None"]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the pixels of one encoding lie in memory, and the OpenCV code that makes them RGB."""

    dtype: str
    channels: int
    to_rgb: int | None = None


_BAYER = {  # OpenCV names a pattern after the second row's second and third pixel
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}
_LAYOUTS = {
    "rgb8": _Layout("u1", 3),
    "rgb16": _Layout("u2", 3),
    "rgba8": _Layout("u1", 4, cv2.COLOR_RGBA2RGB),
    "rgba16": _Layout("u2", 4, cv2.COLOR_RGBA2RGB),
    "bgr8": _Layout("u1", 3, cv2.COLOR_BGR2RGB),
    "bgr16": _Layout("u2", 3, cv2.COLOR_BGR2RGB),
    "bgra8": _Layout("u1", 4, cv2.COLOR_BGRA2RGB),
    "bgra16": _Layout("u2", 4, cv2.COLOR_BGRA2RGB),
    "mono8": _Layout("u1", 1, cv2.COLOR_GRAY2RGB),
    "mono16": _Layout("u2", 1, cv2.COLOR_GRAY2RGB),
    "yuv422": _Layout("u1", 2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": _Layout("u1", 2, cv2.COLOR_YUV2RGB_YUY2),
    "32FC1": _Layout("f4", 1, cv2.COLOR_GRAY2RGB),
    **{
        f"bayer_{pattern}{bits}": _Layout(dtype, 1, code)
        for pattern, code in _BAYER.items()
        for bits, dtype in ((8, "u1"), (16, "u2"))
    },
}
_LAYOUTS |= {  # other names; an OpenCV type does not name the colours, and then BGR is meant
    "8UC1": _LAYOUTS["mono8"],
    "8UC3": _LAYOUTS["bgr8"],
    "8UC4": _LAYOUTS["bgra8"],
    "16UC1": _LAYOUTS["mono16"],
    "16UC3": _LAYOUTS["bgr16"],
    "16UC4": _LAYOUTS["bgra16"],
    "uyvy": _LAYOUTS["yuv422"],
    "yuyv": _LAYOUTS["yuv422_yuy2"],
}
#: Two pixels share two colour values, one stored with each of them, at this index.
_PAIRED = {cv2.COLOR_YUV2RGB_UYVY: 0, cv2.COLOR_YUV2RGB_YUY2: 1}
#: Independent of earlier images.
_FULL = Range(FULL)
#: Planar: a full-size plane of brightness above a half-size one of colour pairs.
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
#: Every encoding of sensor_msgs/Image that can be read.
ENCODINGS = (*_LAYOUTS, *_PLANAR)
#: Types of the values in images of one channel.
_ONE_CHANNEL = {
    "mono8": "u1",
    "8UC1": "u1",
    "bool": "u1",
    "8SC1": "i1",
    "mono16": "u2",
    "16UC1": "u2",
    "16SC1": "i2",
    "32SC1": "i4",
}
#: Types of the values in depth images: whole units of the camera, mostly millimetres, or metres.
DEPTH_TYPES = {"16UC1": "u2", "mono16": "u2", "32FC1": "f4", "64FC1": "f8"}


# -- stamps --------------------------------------------------------------------------------------


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as nanoseconds."""
    return int(stamp.sec * NANOSECONDS + stamp.nanosec)


def seconds_and_rest(stamp: int) -> tuple[int, int]:
    """Nanoseconds as the ``sec`` and ``nanosec`` of a builtin_interfaces/Time."""
    return divmod(stamp, NANOSECONDS)


# -- images in -----------------------------------------------------------------------------------


def frame_from(message: Any, grey: Range = _FULL, to_rgb: ToRgb | None = None) -> Frame:
    """A sensor_msgs/Image as a Frame; rgb8 without row padding is not copied.

    grey: how the values of the camera's 16-bit and float images become 8 bits; without it 16
    bits by 255/65535, rounded, and 32FC1 from the smallest to the largest finite value of this image.
    to_rgb: tried first, after the checks of size, step and length.
    Raises InvalidImage for a size, step, length or encoding that cannot be read.
    """
    encoding = message.encoding
    if encoding not in ENCODINGS:
        raise InvalidImage(f"encoding {encoding!r} cannot be read; publish one of {', '.join(ENCODINGS)}")
    code: int | None
    if encoding in _PLANAR:
        pixels, code = _planar_pixels(message), _PLANAR[encoding]
    else:
        layout = _LAYOUTS[encoding]
        pixels, code = _pixels(message, layout.dtype, layout.channels), layout.to_rgb
    image = None if to_rgb is None else to_rgb(message)
    if image is None:
        image = _converted(pixels, code, encoding, grey)
    return Frame(image, nanoseconds(message.header.stamp), message.header.frame_id)


def frame_from_compressed(message: Any, grey: Range = _FULL) -> Frame:
    """A sensor_msgs/CompressedImage (JPEG, PNG or another format of OpenCV) as a Frame; grey: as for ``frame_from``.

    The format is read as image_transport writes it: "rgb8; jpeg compressed bgr8" names the
    camera's encoding and how the colours lie in the file; a bare "jpeg" or "png" is an ordinary
    picture file.  A Bayer image stored as one channel is given its colours.
    Raises InvalidImage when the data is not a picture.
    """
    encoding, _, storage = (part.strip() for part in message.format.partition(";"))
    if "compressedDepth" in message.format:
        raise InvalidImage(f"format {message.format!r} is a depth image; subscribe to its colour image instead")
    try:
        # As stored: prompts and masks are in the pixels of the camera, so a rotation in EXIF data is ignored.
        image = decoding.decode(message.data, cv2.IMREAD_UNCHANGED)
    except InvalidImage as error:
        raise InvalidImage(
            f"{len(message.data)} bytes of format {message.format!r} are not a JPEG or PNG image ({error})"
        ) from error
    if image.dtype not in (np.uint8, np.uint16):
        raise InvalidImage(f"a compressed image of {image.dtype} pixels cannot be read; use 8 or 16 bits")
    channels = 1 if image.ndim == 2 else image.shape[2]
    code: int | None
    stored_as_rgb = bool(storage) and "compressed bgr" not in storage and encoding.startswith(("rgb", "bgr"))
    if channels == 1:
        code = _BAYER.get(encoding[6:10], cv2.COLOR_GRAY2RGB) if encoding.startswith("bayer_") else cv2.COLOR_GRAY2RGB
    elif channels == 3:
        code = None if stored_as_rgb else cv2.COLOR_BGR2RGB
    else:
        code = cv2.COLOR_RGBA2RGB if stored_as_rgb else cv2.COLOR_BGRA2RGB
    rgb = _converted(image, code, message.format, grey)
    return Frame(rgb, nanoseconds(message.header.stamp), message.header.frame_id)


def values_from(message: Any, types: Mapping[str, str] = _ONE_CHANNEL) -> np.ndarray:
    """The (H, W) values of an Image of one channel: mono8, mono16, or an OpenCV type of whole numbers.

    types: of the values, by the encodings that are read.  Raises InvalidImage.
    """
    if message.encoding not in types:
        raise InvalidImage(f"encoding {message.encoding!r} is not one of {', '.join(types)}")
    return _pixels(message, types[message.encoding], 1)[:, :, 0]


def _pixels(message: Any, dtype: str, channels: int) -> np.ndarray:
    """The data of an image as (H, W, channels) in this machine's byte order, without row padding."""
    height, width, step = message.height, message.width, message.step
    item = np.dtype(dtype).itemsize
    _check_size(message, rows=height, row_bytes=width * channels * item)
    rows = np.ndarray(
        (height, width, channels),
        np.dtype(dtype).newbyteorder(">" if message.is_bigendian else "<"),
        buffer=_buffer(message),
        strides=(step, channels * item, item),
    )
    return np.ascontiguousarray(rows, dtype)


def _planar_pixels(message: Any) -> np.ndarray:
    """The two planes of an nv12 or nv21 image as one (3/2 H, W) array."""
    if message.height % 2 or message.width % 2:
        raise InvalidImage(f"{message.encoding} needs an even size, got {message.width}x{message.height}")
    rows = message.height * 3 // 2
    _check_size(message, rows=rows, row_bytes=message.width)
    planes = np.ndarray((rows, message.width), np.uint8, buffer=_buffer(message), strides=(message.step, 1))
    return np.ascontiguousarray(planes)


def _check_size(message: Any, rows: int, row_bytes: int) -> None:
    """Raise InvalidImage unless width, height, step and data agree; the last row may be without padding."""
    size = f"{message.width}x{message.height} {message.encoding}"
    if not message.width or not message.height:
        raise InvalidImage(f"a {size} image has no pixels")
    if message.step < row_bytes:
        raise InvalidImage(f"step {message.step} is too small: a row of a {size} image takes {row_bytes} bytes")
    length, needed = memoryview(message.data).nbytes, (rows - 1) * message.step + row_bytes
    if not needed <= length <= rows * message.step:
        raise InvalidImage(
            f"{length} bytes of data for a {size} image with step {message.step}; it takes {rows * message.step}"
        )


def _buffer(message: Any) -> memoryview:
    return memoryview(message.data).cast("B")


def _converted(image: np.ndarray, code: int | None, encoding: str, grey: Range) -> np.ndarray:
    """(H, W, C) pixels as (H, W, 3) uint8 RGB: first the colours, then the depth, as cv_bridge does."""
    if code == cv2.COLOR_GRAY2RGB:
        image = grey.eight_bits(image)  # the same in either order, and there are fewer values
    try:
        if code in _PAIRED and image.shape[1] % 2:
            image = _odd_pairs(image, code)
        else:
            image = image if code is None else cv2.cvtColor(image, code)
    except cv2.error as error:
        height, width = image.shape[:2]
        raise InvalidImage(f"a {width}x{height} image cannot be {encoding}: {error.err}") from error
    return grey.eight_bits(image)


def _odd_pairs(image: np.ndarray, code: int) -> np.ndarray:
    """RGB of colour pairs in rows of odd width: the last pixel takes its second colour value from its neighbour.

    Older versions of OpenCV, and cv_bridge with them, took such rows; newer ones refuse them.
    """
    rows = cv2.copyMakeBorder(image, 0, 0, 0, 1, cv2.BORDER_REPLICATE)
    colour = _PAIRED[code]
    rows[:, -1, colour] = image[:, -2, colour] if image.shape[1] > 1 else 128
    converted: np.ndarray = cv2.cvtColor(rows, code)[:, :-1].copy()
    return converted


# -- prompts in ----------------------------------------------------------------------------------


def prompt_from(message: Any) -> tuple[Prompt, int]:
    """A sam2_ros/Prompt as a Prompt and the stamp of its image in nanoseconds; 0 = the newest image.

    Raises InvalidPrompt for a message that is no valid prompt on any image.
    """
    points = np.array([(point.x, point.y) for point in message.points], np.float64).reshape(-1, 2)
    if (np.abs(points) > np.finfo(np.float32).max).any():
        raise InvalidPrompt(f"points must be finite pixels, got {points.tolist()}")
    boxes = list(message.box)
    if len(boxes) > 1:
        raise InvalidPrompt(f"a prompt has at most one box, got {len(boxes)}; send one prompt for each object")
    box = (boxes[0].x0, boxes[0].y0, boxes[0].x1, boxes[0].y1) if boxes else None
    prompt = Prompt(
        name=message.name,
        points=points,
        labels=np.array(list(message.labels), np.int64),
        box=box,
        mask=mask_from(message.mask),
        replace=bool(message.replace),
    )
    return prompt, nanoseconds(message.header.stamp)


def mask_from(message: Any) -> Mask | None:
    """A one-channel sensor_msgs/Image as an (H, W) bool mask, True where it is not 0; None without data.

    Raises InvalidPrompt if the image cannot be read as a mask.
    """
    if not len(message.data):
        return None
    if message.encoding not in _ONE_CHANNEL:
        raise InvalidPrompt(f"a mask of encoding {message.encoding!r} cannot be read; send mono8, 0 off the object")
    try:
        mask: np.ndarray = values_from(message) != 0
    except InvalidImage as error:
        raise InvalidPrompt(f"the mask of a prompt cannot be read: {error}") from error
    return mask


# -- images and tracks out -----------------------------------------------------------------------


def fill_image(message: Any, image: np.ndarray) -> Any:
    """Write an (H, W) uint8 or uint16 or an (H, W, 3) RGB uint8 array into a sensor_msgs/Image, and return it."""
    message.height, message.width = image.shape[:2]
    message.encoding = encoding_of(image)
    message.step = image.shape[1] * image[:1, :1].nbytes
    message.is_bigendian = int(sys.byteorder == "big")
    message.data = _bytes(image)
    return message


def fill_compressed(message: Any, image: np.ndarray, quality: int | None = None) -> Any:
    """Write an image as ``fill_image`` takes it: with a ``quality`` of 1..100 as a JPEG, otherwise as a PNG.

    message: a sensor_msgs/CompressedImage, which is returned.
    """
    if quality is None:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 1]  # label images are flat: 1 is enough
    else:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, quality]
    # OpenCV takes colours as BGR and then writes an ordinary picture file.
    stored, colours = (cv2.cvtColor(image, cv2.COLOR_RGB2BGR), "bgr8") if image.ndim == 3 else (image, "")
    _, data = cv2.imencode(f".{kind}", stored, options)
    message.format = f"{encoding_of(image)}; {kind} compressed {colours}"
    message.data = _bytes(data)
    return message


def fill_object(message: Any, track: Track) -> Any:
    """Write a track into a sam2_ros/TrackedObject, and return it.

    Its box and centroid stay as they are while the object is not seen.
    """
    message.id, message.name, message.state = track.id, track.name, int(track.state)
    message.occluded = bool(track.occluded)
    message.object_score, message.object_probability = float(track.object_score), track.probability
    message.predicted_iou = float(track.predicted_iou)
    message.object_pointer = array.array("f", np.asarray(track.object_pointer, np.float32).tobytes())
    message.area, box, centroid = track.measured()
    message.frames_since_seen, message.prompted_frames = track.frames_since_seen, track.prompted_frames
    if box is not None and centroid is not None:
        message.box.x0, message.box.y0, message.box.x1, message.box.y1 = map(float, box)
        message.centroid.x, message.centroid.y = centroid
    return message


def encoding_of(image: np.ndarray) -> str:
    """The encoding in which ``fill_image`` writes an image."""
    return "rgb8" if image.ndim == 3 else "mono8" if image.dtype == np.uint8 else "mono16"


def _bytes(values: np.ndarray) -> array.array[int]:
    """As array.array: rclpy takes it without a copy, but converts a numpy array byte by byte (70 ms at VGA)."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return data
