"""Messages of somebody else: images, prompts, calibrations and boxes with any values in any field."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from fakes import RED, ColourModel, DirectSession, frame, picture
from fuzz.doors import damaged, door, floats, fuzz, small, texts
from hypothesis import given
from hypothesis import strategies as st

from sam2_ros.messages import ENCODINGS, frame_from, frame_from_compressed, prompt_from
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame

SIZE = (48, 64)
IMAGE = picture({RED: (8, 8)}, SIZE)
FORMATS = [
    "jpeg",
    "png",
    "",
    "rgb8; jpeg compressed bgr8",
    "rgb8; png compressed ",
    "bayer_rggb8; jpeg compressed mono8",
    "16UC1; compressedDepth",
    ";;",
    "bayer_",
    "mono16; png compressed",
]

stamps = st.builds(
    SimpleNamespace, sec=st.sampled_from([0, 1, 5, 2**31 - 1, -1]), nanosec=st.sampled_from([0, 1, 2**32 - 1])
)
headers = st.builds(SimpleNamespace, stamp=stamps, frame_id=texts)


CHANNELS = {
    "rgb8": 3,
    "bgr8": 3,
    "8UC3": 3,
    "rgba8": 4,
    "bgra8": 4,
    "8UC4": 4,
    "rgb16": 6,
    "bgr16": 6,
    "16UC3": 6,
    "rgba16": 8,
    "bgra16": 8,
    "16UC4": 8,
    "mono16": 2,
    "16UC1": 2,
    "16SC1": 2,
    "32FC1": 4,
    "32SC1": 4,
    "yuv422": 2,
    "yuv422_yuy2": 2,
    "uyvy": 2,
    "yuyv": 2,
}


def image_messages(encodings):
    """Fields of a sensor_msgs/Image: in half of the cases they agree with each other, but for one."""
    whole = st.just((48, 64))
    sizes = st.one_of(whole, whole, whole, st.tuples(small, small), st.just((2**32 - 1, 2**32 - 1)))

    @st.composite
    def build(draw):
        encoding = draw(encodings)
        height, width = (max(side, 0) for side in draw(sizes))
        step = width * (CHANNELS.get(encoding, 2 if encoding.endswith("16") else 1)) + draw(
            st.sampled_from([0, 0, 0, 4])
        )
        length = step * (height * 3 // 2 if encoding in ("nv12", "nv21") else height)
        if draw(st.integers(0, 4)) == 0:
            step = draw(small.map(abs))
        if draw(st.integers(0, 3)) == 0:
            length = draw(st.integers(0, 5000))
        length = min(length, 2**20)
        filling = draw(st.binary(min_size=1, max_size=16))
        return SimpleNamespace(
            header=draw(headers),
            height=height,
            width=width,
            step=step,
            encoding=encoding,
            is_bigendian=draw(st.sampled_from([0, 1, 7])),
            data=(filling * (length // len(filling) + 1))[:length],
        )

    return build()


def pictures_as_files():
    """One file of each kind that OpenCV writes."""
    kinds = {".jpg": IMAGE, ".png": IMAGE, ".bmp": IMAGE, ".webp": IMAGE, ".tiff": IMAGE, ".ppm": IMAGE}
    files = [cv2.imencode(suffix, image)[1].tobytes() for suffix, image in kinds.items()]
    grey16 = IMAGE[..., 0].astype(np.uint16) * 257
    alpha = np.dstack([IMAGE, IMAGE[..., 0]])
    files += [cv2.imencode(".png", image)[1].tobytes() for image in (grey16, alpha, IMAGE[..., 0])]
    files.append(cv2.imencode(".jpg", IMAGE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    return files


def assert_is_frame(found):
    assert found.image.dtype == np.uint8 and found.image.ndim == 3 and found.image.shape[2] == 3


@fuzz(2)
@given(
    image_messages(st.one_of(st.sampled_from(ENCODINGS), st.sampled_from(ENCODINGS), st.sampled_from(ENCODINGS), texts))
)
def test_an_image_becomes_a_frame_or_is_refused(message) -> None:
    with door("image message"):
        assert_is_frame(frame_from(message))


@fuzz(4)
@given(damaged(pictures_as_files()), st.one_of(st.sampled_from(FORMATS), texts), headers)
def test_a_compressed_image_becomes_a_frame_or_is_refused(data, kind, header) -> None:
    with door("compressed image message"):
        assert_is_frame(frame_from_compressed(SimpleNamespace(header=header, format=kind, data=data)))


inside = st.floats(0, 47)
coordinates = st.one_of(inside, inside, inside, floats)
points = st.builds(SimpleNamespace, x=coordinates, y=coordinates, z=floats)
boxes = st.builds(SimpleNamespace, x0=coordinates, y0=coordinates, x1=coordinates, y1=coordinates)


whole_boxes = st.tuples(st.floats(0, 20), st.floats(0, 20), st.floats(21, 47), st.floats(21, 47)).map(
    lambda box: SimpleNamespace(x0=box[0], y0=box[1], x1=box[2], y1=box[3])
)
no_masks = st.builds(
    SimpleNamespace, data=st.just(b""), encoding=texts, height=small, width=small, step=small, is_bigendian=small
)


@st.composite
def prompt_messages(draw):
    """Fields of a sam2_ros/Prompt, most of them good."""
    clicked = draw(st.lists(points, max_size=3))
    labels = [draw(st.integers(0, 3)) and 1 for _ in clicked]
    if draw(st.integers(0, 9)) == 0:
        labels = draw(st.lists(st.integers(-2, 255), max_size=5))
    masks = image_messages(st.sampled_from(["mono8", "8SC1", "16UC1", "32SC1", "bool", "rgb8", ""]))
    mask = draw(st.one_of(no_masks, no_masks, masks))
    box = draw(st.one_of(st.just([]), whole_boxes.map(lambda one: [one]), st.lists(boxes, max_size=2)))
    newest = SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0), frame_id="")
    return SimpleNamespace(
        header=draw(st.one_of(st.just(newest), st.just(newest), headers)),
        name=draw(texts),
        points=clicked,
        labels=labels,
        box=box,
        mask=mask,
        replace=draw(st.booleans()),
    )


@pytest.fixture(scope="module")
def tracker():
    return Tracker(ColourModel())


@fuzz(4)
@given(prompt_messages())
def test_a_prompt_is_applied_or_refused_and_the_tracker_goes_on(tracker, message) -> None:
    newest = tracker.newest_stamp or 0
    tracker.track(frame(newest + 1, {RED: (8, 8)}, SIZE))
    with door("prompt message"):
        prompt, stamp = prompt_from(message)
        tracker.prompt(prompt, stamp if stamp < 10**9 else 0)
    for track in tracker.track(frame(newest + 2, {RED: (10, 8)}, SIZE)):
        assert track.mask.shape == SIZE
    if len(tracker.objects) > 8:
        tracker.reset()


def test_prompts_of_all_values_have_left_a_tracker_that_answers(tracker) -> None:
    tracker.reset()
    tracker.track(frame(2**62, {RED: (8, 8)}, SIZE))
    prompt, _ = prompt_from(
        SimpleNamespace(
            header=SimpleNamespace(stamp=SimpleNamespace(sec=0, nanosec=0)),
            name="cup",
            labels=[1],
            box=[],
            replace=False,
            points=[SimpleNamespace(x=16.0, y=16.0, z=0.0)],
            mask=SimpleNamespace(data=b""),
        )
    )
    assert tracker.prompt(prompt).track.area > 100


@st.composite
def calibrations(draw):
    """Fields of a sensor_msgs/CameraInfo."""
    good = [300.0, 0.0, 32.0, 0.0, 300.0, 24.0, 0.0, 0.0, 1.0]
    k = draw(st.one_of(st.just(good), st.lists(floats, min_size=9, max_size=9)))
    p = draw(
        st.one_of(
            st.just([*good[:3], 0.0, *good[3:6], 0.0, *good[6:], 0.0]), st.lists(floats, min_size=12, max_size=12)
        )
    )
    model = st.one_of(st.sampled_from(["plumb_bob", "rational_polynomial", "equidistant", "fisheye", ""]), texts)
    roi = SimpleNamespace(x_offset=abs(draw(small)), y_offset=abs(draw(small)), height=0, width=0, do_rectify=False)
    return SimpleNamespace(
        k=k,
        p=p,
        d=draw(st.lists(floats, max_size=15)),
        distortion_model=draw(model),
        roi=roi,
        binning_x=abs(draw(small)),
        binning_y=abs(draw(small)),
        header=draw(headers),
        height=48,
        width=64,
    )


@fuzz(4)
@given(calibrations(), st.tuples(floats, floats, floats), st.booleans())
def test_a_point_in_space_becomes_a_finite_pixel_or_is_refused(info, position, rectified) -> None:
    clicks = pytest.importorskip("sam2_ros.ros.clicks")
    with door("calibration"):
        assert np.isfinite(clicks.project(np.array(position), info, rectified)).all()


@st.composite
def detection_arrays(draw):
    """Fields of a vision_msgs/Detection2DArray."""
    centres = st.builds(
        SimpleNamespace, theta=floats, position=st.builds(SimpleNamespace, x=coordinates, y=coordinates)
    )
    bounds = st.builds(SimpleNamespace, center=centres, size_x=floats, size_y=floats)
    guesses = st.builds(SimpleNamespace, hypothesis=st.builds(SimpleNamespace, class_id=texts, score=floats))
    one = st.builds(SimpleNamespace, bbox=bounds, id=texts, results=st.lists(guesses, max_size=3))
    return SimpleNamespace(header=draw(headers), detections=draw(st.lists(one, max_size=5)))


@pytest.fixture(scope="module")
def session():
    return DirectSession(Tracker(ColourModel()))


@fuzz(2)
@given(message=detection_arrays())
def test_boxes_of_a_detector_start_objects_or_are_left_out(session, message) -> None:
    detections = pytest.importorskip("sam2_ros.ros.detections")
    session.track(Frame(IMAGE, (session.newest or 0) + 10_000_000))
    with door("detections"):
        session.detections(detections.read(message, 0.5), 0)
    assert all(track.mask.shape == SIZE for track in session.view.tracks)
