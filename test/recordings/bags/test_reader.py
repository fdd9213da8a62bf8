"""Bags whose files, metadata.yaml and channels are not as rosbag2 leaves them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recordings.bags import IMAGE, write_bag
from recordings.bags.test_mcap_file import channel, chunk, message, schema, write

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.storage_file import zstd


def read(path: Path) -> tuple[int, list[str]]:
    """How many messages a bag holds, and what is said of it."""
    source, lost = BagReader(path), []
    return len(list(source.messages({topic.name for topic in source.topics}, lost))), lost


@pytest.fixture
def bag(tmp_path):
    return write_bag(tmp_path / "bag", count=4)  # 10 messages


def change(bag: Path, old: str, new: str) -> None:
    text = (bag / "metadata.yaml").read_text()
    assert old in text
    (bag / "metadata.yaml").write_text(text.replace(old, new))


def test_foreign_channels_are_named_and_left_out(tmp_path):
    path = write(
        tmp_path / "a.mcap",
        chunk(
            1,
            9,
            b"".join(
                [
                    schema(1, "std_msgs/msg/String"),
                    channel(1, 1, "/text"),
                    message(1, 1),
                    schema(2, "Pose", "jsonschema", "{}"),
                    channel(2, 2, "/pose", "json"),
                    message(2, 2, b"{}"),
                    message(2, 3, b"{}"),
                    schema(3, "Pose", "protobuf", "x"),
                    channel(3, 3, "/proto", "protobuf"),
                    message(3, 4, b"x"),
                    channel(4, 0, "/raw", "cdr"),
                    message(4, 5),
                ]
            ),
        ),
    )
    count, lost = read(path)
    assert count == 1 and [str(topic) for topic in BagReader(path).topics] == ["/text (String, 1 messages)"]
    assert lost == [
        "/pose (json, 2 messages) is not as ROS 2 records and is left out",
        "/proto (protobuf, 1 messages) is not as ROS 2 records and is left out",
        "/raw (no type, 1 messages) is not as ROS 2 records and is left out",
    ]


def test_a_bag_of_ros_1_is_refused_with_what_converts_it(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(RecordingError, match="is a bag of ROS 1; convert it first: rosbags-convert"):
        recordings.open(tmp_path / "old.bag")
    path = write(
        tmp_path / "a.mcap", schema(1, "sensor_msgs/Image", "ros1msg"), channel(1, 1, "/image", "ros1"), message(1, 1)
    )
    with pytest.raises(RecordingError, match="holds nothing that ROS 2 recorded.*ROS 1 did"):
        recordings.open(path)


def test_counts_of_the_metadata_that_differ_from_the_files_are_said(bag):
    assert read(bag) == (10, [])
    change(bag, "message_count: 10", "message_count: 12")
    assert read(bag) == (10, ["metadata.yaml of bag counts 12 messages, but there are 10 in its files"])


def test_a_part_that_is_missing_is_named(bag):
    change(bag, "  - bag.mcap\n", "  - bag.mcap\n  - bag_1.mcap\n")
    assert read(bag) == (10, ["bag lacks 1 files (bag_1.mcap), which its metadata.yaml lists"])


def test_a_file_that_is_not_listed_is_named_and_left_out(bag):
    shutil.copyfile(bag / "bag.mcap", bag / "bag_2.mcap")
    assert read(bag) == (10, ["bag has 1 files (bag_2.mcap), which its metadata.yaml does not list; left out"])


def test_a_file_that_was_given_another_name_is_read_in_its_place(bag):
    (bag / "bag.mcap").rename(bag / "kitchen.mcap")
    assert read(bag) == (
        10,
        [
            "bag lacks 1 files (bag.mcap), which its metadata.yaml lists",
            "bag has 1 files (kitchen.mcap), which its metadata.yaml does not list; read in their place",
        ],
    )


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe\x00", b"rosbag2_bagfile_information: 3", b"a: &a [*a]"], ids=ascii
)
def test_metadata_that_cannot_be_read_is_said_and_the_files_are(bag, text):
    (bag / "metadata.yaml").write_bytes(text)
    count, lost = read(bag)
    assert count == 10 and len(lost) == 1 and "metadata.yaml of bag cannot be read" in lost[0]


def test_a_file_that_was_compressed_as_a_whole_is_read_without_its_metadata_too(bag):
    file = bag / "bag.mcap"
    packed = zstd().compress(file.read_bytes())
    (bag / "bag.mcap.zstd").write_bytes(packed)
    file.unlink()
    (bag / "metadata.yaml").unlink()
    assert read(bag) == (10, []) and read(bag / "bag.mcap.zstd") == (10, [])
    assert recordings.open(bag / "bag.mcap.zstd").name == "bag"
    (bag / "bag.mcap.zstd").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(RecordingError, match="nothing of the bag .* can only be unpacked in part"):
        BagReader(bag)


@pytest.mark.parametrize(
    "name", ["run #3", "50%20off", "a:b", "[x]*", "two\nlines", os.fsdecode(b"caf\xe9")], ids=ascii
)
def test_a_bag_in_a_folder_of_any_name_is_read(bag, tmp_path, name):
    folder = bag.rename(tmp_path / name)
    assert read(folder) == (10, [])
    assert recordings.open(folder, image_topic="/camera/image").frames == 4
    assert {topic.type for topic in BagReader(folder).topics} >= {IMAGE}


def test_a_bag_has_the_whole_name_of_its_folder_or_file(bag):
    folder = bag.rename(bag.with_name("kit.12.30"))
    assert recordings.open(folder).name == "kit.12.30"
    assert recordings.open((folder / "bag.mcap").rename(folder / "kit.12.45.mcap")).name == "kit.12.45"


OPEN = (
    "import sys; sys.modules['rosbags'] = None; import sam2_ros.offline.segment; from sam2_ros import recordings; "
    "print(recordings.open(sys.argv[1]).frames)"
)


def test_only_a_bag_needs_the_rosbags_library(bag, data_set):
    def opened(path: Path) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True)

    assert opened(data_set / "JPEGImages" / "short").stdout == "5\n"
    assert "ModuleNotFoundError" in opened(bag).stderr and "rosbags" in opened(bag).stderr.splitlines()[-1]
