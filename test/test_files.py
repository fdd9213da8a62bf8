"""Names of files that other libraries misread, and files that are whole or not there."""

import os
from pathlib import Path

import cv2
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.files import plain_name, shown, write_whole

#: Names that OpenCV or FFmpeg takes for something else, and one that ended the process.
ODD = [
    "12:30:05",
    "50%20off",
    "img_%05d",
    "run #3",
    "what?",
    "[x]*",
    "-r 5",
    "tab\tline\n",
    "T\u00fcr",
    os.fsdecode(b"caf\xe9"),
]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_opencv_writes_and_reads_a_file_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with plain_name(f"{name}.avi") as plain:
        writer = cv2.VideoWriter(plain, cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (32, 32))
    writer.release()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.avi"]
    (tmp_path / f"{name}.avi").write_bytes(b"as it is")
    with plain_name(f"{name}.avi") as plain:
        assert Path(plain).read_bytes() == b"as it is" and plain.endswith(".avi")
        assert plain.isascii() and not set(plain) & set("%:?#*[]\n")


def test_a_file_that_cannot_be_written_leaves_the_former_one_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    write_whole(tmp_path / "result.json", "first")

    def full(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RecordingError, match="cannot write .*result.json: No space left on device"):
        write_whole(tmp_path / "result.json", "second")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "first"


def test_a_name_that_is_no_text_is_written_as_its_bytes_and_shown_as_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    write_whole(tmp_path / "val.txt", name)
    assert (tmp_path / "val.txt").read_bytes() == b"caf\xe9"
    assert shown(name) == r"caf\udce9"
