"""Videos written by OpenCV, with images overwritten in the file; what OpenCV cannot write is played by a fake."""

import json
import re
import struct

import cv2
import numpy as np
import pytest
from recordings.test_folders import truths

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings import coco_rle, videos
from sam2_ros.recordings.video_headers import Container, container_of

COUNT, SIZE = 40, (48, 64)


def write_video(path, codec, count=COUNT, rate=10.0):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, SIZE[::-1])
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    noise = np.random.default_rng(0).integers(0, 255, (count, 6, 8, 3)).astype(np.uint8)
    for image in noise:
        writer.write(cv2.resize(image, SIZE[::-1], interpolation=cv2.INTER_NEAREST))
    writer.release()
    return path


def overwrite(path, numbers, fill=0):
    """Overwrite the data of images, found by what they start with."""
    data = bytearray(path.read_bytes())
    start = {".avi": rb"00d[cb](?=....(?:\xff\xd8|\x89PNG))", ".mp4": rb"\0\0\x01\xb6"}[path.suffix]
    places = [match.start() for match in re.finditer(start, bytes(data), re.DOTALL)]
    for number in numbers:
        first = places[number] + (8 if path.suffix == ".avi" else 0)
        last = places[number + 1]
        data[first:last] = bytes([fill]) * (last - first)
    path.write_bytes(data)
    return path


def without_a_part(path):
    """Overwrite an eighth of the file from its middle on with zeros."""
    data = path.read_bytes()
    middle, part = len(data) // 2, len(data) // 8
    path.write_bytes(data[:middle] + bytes(part) + data[middle + part :])
    return path


def read(path):
    recording = recordings.open(path)
    return list(recording), recording.lost


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
@pytest.mark.parametrize("numbers", [(10,), (0, 1), (7, 8, 9, 20, 30), (38,)])
@pytest.mark.parametrize("fill", [0, 255])
def test_reading_goes_on_behind_damaged_images_and_says_how_many_were_lost(tmp_path, name, codec, numbers, fill):
    path = write_video(tmp_path / name, codec)
    whole = {frame.stamp for frame in read(path)[0]}
    frames, lost = read(overwrite(path, numbers, fill))
    assert len(frames) == COUNT - len(numbers)
    assert {frame.stamp for frame in frames} < whole, "each keeps its own time"
    assert lost == [f"{len(numbers)} of about {COUNT} images could not be decoded; the file is damaged"]


@pytest.mark.parametrize("codec", ["MJPG", "XVID"])
def test_a_zeroed_part_of_an_avi_file_loses_no_image_silently(tmp_path, codec):
    path = write_video(tmp_path / "a.avi", codec)
    frames, lost = read(without_a_part(path))
    assert 10 < len(frames) < COUNT
    assert lost == [f"{COUNT - len(frames)} of about {COUNT} images could not be decoded; the file is damaged"]


def test_an_image_that_a_camera_left_out_of_an_avi_file_is_no_damage(tmp_path):
    path = write_video(tmp_path / "a.avi", "MJPG")
    data = path.read_bytes()
    first = data.index(b"movi") + 4
    length = 8 + struct.unpack_from("<I", data, first + 4)[0]
    data = data[:first] + b"00dc" + bytes(4) + b"JUNK" + struct.pack("<I", length - 16) + data[first + 16 :]
    path.write_bytes(data.replace(b"idx1", b"JUNK"))
    frames, lost = read(path)
    assert len(frames) == COUNT - 1 and not lost


def test_images_that_a_program_stream_has_lost_are_counted_by_its_times(tmp_path):
    path = write_video(tmp_path / "a.mpg", "PIM1", rate=25.0)
    assert len(read(path)[0]) == COUNT and not read(path)[1], "whatever number the length of the file suggests"
    frames, lost = read(without_a_part(path))
    assert 10 < len(frames) < COUNT
    assert lost == [f"{COUNT - len(frames)} of about {COUNT} images could not be decoded; the file is damaged"]


def test_reading_goes_on_where_damage_swallows_what_follows(tmp_path):
    path = overwrite(write_video(tmp_path / "a.avi", "png "), [12])
    frames, lost = read(path)
    assert len(frames) > COUNT // 2, "OpenCV goes back sixteen images to go on"
    assert lost == [f"{COUNT - len(frames)} of about {COUNT} images could not be decoded; the file is damaged"]
    stamps = [frame.stamp for frame in frames]
    assert stamps == sorted(set(stamps)), "no image comes twice"


def test_masks_stay_with_their_images_behind_damaged_ones(tmp_path):
    path = overwrite(write_video(tmp_path / "a.mp4", "mp4v"), [5, 6, 21])
    masks = [np.zeros(SIZE, bool) for _ in range(10)]
    for place, mask in enumerate(masks):
        mask[place] = True
    (tmp_path / "a_manual.json").write_text(json.dumps({"masklet": [[coco_rle.encode(mask)] for mask in masks]}))
    found = truths(recordings.open(path))
    assert [(round(truth.stamp / 1e8) - 1, int(np.argmax(truth.masks[1].any(axis=1)))) for truth in found] == [
        (4 * place, place) for place in range(10)
    ]


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_file_that_is_cut_off_says_so(tmp_path, name):
    path = write_video(tmp_path / name, "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    frames, lost = read(path)
    assert 10 < len(frames) < COUNT
    assert f"of about {COUNT} images {len(frames)} could be decoded" in lost[0] and "bytes are missing" in lost[0]


class Fake:
    """An OpenCV that announces more images than the file has, as it guesses from the length of a Matroska file."""

    def __init__(self, name):
        self.place, self.values = 0, {cv2.CAP_PROP_FPS: 24.0, cv2.CAP_PROP_FRAME_COUNT: 31.0}

    def isOpened(self):  # noqa: N802
        return True

    def get(self, what):
        return self.values.get(what, [0.0, 0.0, 42.0, 83.0, 1250.0][min(self.place, 4)])

    def set(self, what, value):
        self.place = 4 if what == cv2.CAP_PROP_POS_FRAMES else 0
        return True

    def grab(self):
        self.place += 1
        return self.place <= 4

    def read(self):
        return self.grab(), np.zeros((8, 8, 3), np.uint8)

    def release(self):
        pass


def test_a_count_that_is_a_guess_raises_no_alarm(tmp_path, monkeypatch):
    (tmp_path / "a.mkv").write_bytes(b"")
    monkeypatch.setattr(videos.cv2, "VideoCapture", Fake)
    frames, lost = read(tmp_path / "a.mkv")
    assert len(frames) == 4 and not lost


def test_a_video_without_images_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.mkv").write_bytes(b"")
    monkeypatch.setattr(videos.cv2, "VideoCapture", Fake)
    monkeypatch.setattr(Fake, "grab", lambda self: False)
    with pytest.raises(RecordingError, match="no image of"):
        read(tmp_path / "a.mkv")


# -- containers ----------------------------------------------------------------------------------


def box(name, content=b""):
    return struct.pack(">I4s", 8 + len(content), name) + content


def chunk(name, content=b""):
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def riff(content):
    return chunk(b"RIFF", b"AVI " + content)


HEADER = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 2500))
LONG_HEADER = box(b"mvhd", struct.pack(">IQQIQ", 1 << 24, 0, 0, 1000, 2500))
BLOCK = b"\xa3\x84abcd"
MATROSKA = b"\x1a\x45\xdf\xa3\x81x" + b"\x18\x53\x80\x67"


def clusters(*blocks):
    content = b"".join(blocks)
    return b"\x1f\x43\xb6\x75" + bytes([0x80 | len(content)]) + content


def segment(content, missing=0):
    return MATROSKA + bytes([0x80 | len(content) + missing]) + content


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (box(b"ftyp", b"isom") + box(b"moov", HEADER) + box(b"mdat", b"1234"), Container(seconds=2.5)),
        (
            box(b"ftyp", b"isom") + box(b"moov", LONG_HEADER) + struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(90),
            Container(10, seconds=2.5),
        ),
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat"), Container()),
        (box(b"ftyp", b"isom") + box(b"moov", b"mvhd"), Container(broken=True)),
        (b"RIFF" + struct.pack("<I", 100) + b"AVI LIST", Container(92)),
        (riff(chunk(b"LIST", b"movi" + chunk(b"00dc", b"odd") + chunk(b"00dc"))), Container()),
        (riff(chunk(b"LIST", b"movi" + bytes(8) + chunk(b"00dc", b"1234"))), Container(broken=True)),
        (riff(chunk(b"LIST", b"movi" + chunk(b"00dc", b"1234")[:-2])), Container(broken=True)),
        (b"RIFF" + bytes(4) + b"AVI LIST" + bytes(4) + b"movi" + chunk(b"00dc", b"1234"), Container()),  # unfinished
        (b"RIFF\0", Container(broken=True)),
        (segment(clusters(BLOCK, BLOCK) + clusters(BLOCK)), Container()),
        (segment(clusters(BLOCK, bytes(6)) + clusters(BLOCK)), Container(broken=True)),
        (segment(clusters(BLOCK), missing=9), Container(9)),
        (MATROSKA + b"\x01" + b"\xff" * 7 + clusters(BLOCK), Container()),  # as a live stream is written
        (MATROSKA, Container(broken=True)),
        (b"", Container()),
        (b"something", Container()),
    ],
)
def test_what_a_container_says_of_itself(tmp_path, content, expected):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert container_of(path) == expected
