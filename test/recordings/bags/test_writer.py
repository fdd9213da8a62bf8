"""Bags that are written, also where a disk fails."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from recordings.bags import (
    IMAGE,
    PROMPT,
    image_message,
    picture,
    prompt_message,
    write_bag,
)
from rosbags.interfaces import MessageDefinition
from rosbags.rosbag2 import Reader

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter


def test_a_written_bag_carries_definitions_hashes_and_qualities(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/prompt", PROMPT, 5, prompt_message("cup", (1, 2)))
        writer.write("/model", "std_msgs/msg/String", 6, SimpleNamespace(data="embedded"), latched=True)
    with Reader(tmp_path / "bag") as reader:
        prompt, model = reader.connections
        assert isinstance(prompt.msgdef, MessageDefinition) and "string name" in prompt.msgdef.data
        assert prompt.digest.startswith("RIHS01_")
        assert prompt.ext.offered_qos_profiles[0].durability.name == "VOLATILE"
        assert model.ext.offered_qos_profiles[0].durability.name == "TRANSIENT_LOCAL"
        assert reader.message_count == 2


def test_events_are_copied_as_they_are(tmp_path):
    bag = write_bag(tmp_path / "bag")
    with BagWriter(tmp_path / "copy", kept_free=0) as writer:
        for event in recordings.open(bag, more_topics=("*",)).events():
            writer.copy(event.stored)
    with Reader(bag) as before, Reader(tmp_path / "copy") as after:

        def content(reader):
            return [
                (connection.topic, connection.msgtype, connection.msgdef, time, raw)
                for connection, time, raw in reader.messages()
            ]

        assert content(before) == content(after)


def test_an_existing_bag_is_not_overwritten(tmp_path):
    write_bag(tmp_path / "bag")
    with pytest.raises(RecordingError, match="exists already"):
        BagWriter(tmp_path / "bag")


def test_a_bag_that_cannot_be_begun_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(RecordingError, match="is nearly full .0 MB left.; make room"):
        BagWriter(tmp_path / "bag")
    with pytest.raises(RecordingError, match="its name goes into metadata.yaml, which is UTF-8"):
        BagWriter(tmp_path / os.fsdecode(b"caf\xe9"))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_type_is_refused_with_its_package(tmp_path):
    with (
        BagWriter(tmp_path / "bag", kept_free=0) as writer,
        pytest.raises(RecordingError, match="package nowhere_msgs"),
    ):
        writer.write("/x", "nowhere_msgs/msg/Thing", 1, SimpleNamespace())


def test_a_bag_describes_its_qualities_as_humble_reads_them(tmp_path):
    bag = write_bag(tmp_path / "bag", count=1)
    described = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert described["version"] == 8
    assert all(
        isinstance(topic["topic_metadata"]["offered_qos_profiles"], str)
        for topic in described["topics_with_message_count"]
    )


def test_a_type_that_is_defined_in_idl_alone_is_written(tmp_path, monkeypatch):
    folder = tmp_path / "share" / "drive_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "Speed.idl").write_text(
        "module drive_msgs { module msg { struct Speed { double metres_per_second; }; }; };"
    )
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/speed", "drive_msgs/msg/Speed", 1, SimpleNamespace(metres_per_second=2.5))
    (stored,) = BagReader(tmp_path / "bag").messages({"/speed"}, [])
    assert stored.decode().metres_per_second == 2.5


def test_a_disk_that_is_gone_is_a_sentence(tmp_path, monkeypatch):
    def gone(*_):
        raise OSError(5, "Input/output error")

    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        monkeypatch.setattr(writer._writer, "write", gone)
        monkeypatch.setattr(writer._writer, "abort", gone)
        with pytest.raises(RecordingError, match="Input/output error.*nor end it"):
            writer.write("/image", IMAGE, 2, image_message(picture(0), 2))


def test_an_exception_inside_the_block_leaves_a_whole_bag(tmp_path):
    with pytest.raises(KeyboardInterrupt), BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        raise KeyboardInterrupt
    recording = recordings.open(tmp_path / "bag")
    assert len(list(recording)) == 1 and recording.lost == []


def test_a_nearly_full_disk_ends_the_bag_while_there_is_room(tmp_path, monkeypatch):
    free = [10**9]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free[0]))
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        free[0] = 2**20
        with pytest.raises(RecordingError, match="nearly full"):
            for index in range(2000):
                writer.write("/image", IMAGE, index + 2, image_message(picture(0), index + 2))
        with pytest.raises(RecordingError, match="closed already"):
            writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
    recording = recordings.open(tmp_path / "bag")
    assert len(list(recording)) == writer.written["/image"] > 100
    assert recording.lost == []


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
sys.path.insert(0, sys.argv[2])
from recordings.bags import write_bag
from sam2_ros.errors import RecordingError
try:
    write_bag(sys.argv[1], count=300, noise=True, truth=False, size=(120, 160))
except RecordingError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of the file size")
def test_a_write_that_fails_leaves_a_file_that_standard_readers_read(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "bag"), str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert "ended after its last whole part" in result.stdout
    file = tmp_path / "bag" / "bag.mcap"
    with Reader(file) as reader:
        count = reader.message_count
        assert count == sum(1 for _ in reader.messages())
    assert 60 < count < 90  # 57.6 kB each
    recording = recordings.open(tmp_path / "bag")
    assert len(list(recording)) in (count - 1, count - 2)  # less the prompt and the camera_info
