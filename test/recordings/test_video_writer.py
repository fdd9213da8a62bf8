"""Videos that are written: their codec, their names, and what is said when the disk is full."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.files import plain_name
from sam2_ros.recordings import video_writer
from sam2_ros.recordings.video_writer import VideoWriter


def images(count: int = 6, side: int = 64) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (side, side, 3)).astype(np.uint8) for _ in range(count)]


def read(path: Path) -> tuple[int, str]:
    """Number of images and codec of a video."""
    with plain_name(path) as name:
        capture = cv2.VideoCapture(name)
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode().lower()
    count = 0
    while capture.read()[0]:
        count += 1
    return count, codec


@pytest.mark.parametrize("name", ["12:30:05.mp4", "50%d.mp4", os.fsdecode(b"caf\xe9.mp4")], ids=ascii)
def test_a_video_of_any_name_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path(name), 10.0) as writer:
        for image in images():
            writer.write(image)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert read(tmp_path / name)[0] == 6


def test_a_video_is_h264_where_opencv_writes_it_and_mpeg_4_elsewhere(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 10.0) as writer:
        writer.write(images()[0])
    assert writer.codec == ("avc1" if video_writer.writes_h264() else "mp4v")
    assert read(tmp_path / "a.mp4")[1] in ({"h264", "avc1"} if video_writer.writes_h264() else {"fmp4", "mp4v"})


def test_a_codec_that_is_refused_for_the_size_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_writer, "writes_h264", lambda: True)
    monkeypatch.setattr(video_writer, "H264", "none")
    with VideoWriter(tmp_path / "a.mp4", 10.0) as writer:
        writer.write(images()[0])
    assert writer.codec == "mp4v" and read(tmp_path / "a.mp4")[0] == 1


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingError, match="file: "), VideoWriter(tmp_path / "file" / "a.mp4", 10.0) as writer:
        writer.write(images()[0])


FULL_DISK = """
import resource, sys
from recordings.test_video_writer import images
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.video_writer import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with VideoWriter(sys.argv[1], 10.0) as writer:
        for image in images(30, 256):
            writer.write(image)
except RecordingError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of the file size")
def test_a_video_that_is_not_whole_because_the_disk_is_full_is_a_sentence(tmp_path: Path) -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "a.mp4")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert "is the folder writable and the disk not full?" in result.stdout, result.stderr
