"""What is opened as which kind of recording."""

import os
import shutil
from pathlib import Path

import pytest
from recordings.bags import (
    write_bag,
)

from sam2_ros import recordings
from sam2_ros.errors import RecordingError


def test_a_storage_file_alone_is_a_bag(tmp_path):
    bag = write_bag(tmp_path / "bag")
    file = shutil.move(bag / "bag.mcap", tmp_path / "alone.mcap")
    assert len(list(recordings.open(file))) == 10


def test_what_is_no_file_and_no_folder_is_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe.mcap")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    for path, sentence in (
        (tmp_path / "pipe.mcap", "neither a file nor a folder"),
        (Path(os.devnull), "neither a file"),
        (tmp_path / "loop.mp4", "cannot open .*loop"),
        (tmp_path / ("x" * 300), "cannot open"),
    ):
        with pytest.raises(RecordingError, match=sentence):
            recordings.find(path)


def test_a_folder_that_cannot_be_opened_keeps_its_whole_name(tmp_path):
    (tmp_path / "kit.12.30").mkdir()
    (tmp_path / "clip.2.mp4").write_bytes(b"")
    assert recordings.name_of(tmp_path / "kit.12.30") == "kit.12.30"
    assert recordings.name_of(tmp_path / "clip.2.mp4") == "clip.2"
