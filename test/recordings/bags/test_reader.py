"""Bags whose files, metadata.yaml and channels are not as rosbag2 leaves them."""

import gc
import os
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest
from recordings.bags import IMAGE, STORAGES, copy_bag, cut, image_message, picture, stamp, write_bag
from recordings.bags.test_mcap_file import channel, chunk, message, schema, write
from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import Reader

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.storage_file import zstd
from sam2_ros.recordings.bags.writer import BagWriter


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
        "/pose (json, 2 messages) was not recorded by ROS 2 and is left out",
        "/proto (protobuf, 1 messages) was not recorded by ROS 2 and is left out",
        "/raw (no type, 1 messages) was not recorded by ROS 2 and is left out",
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
    said = ["bag lacks 1 files (bag_1.mcap), which its metadata.yaml lists"]
    assert read(bag) == (10, said)
    recording = recordings.open(bag)
    assert len(list(recording)) == 4 and recording.lost == said


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
    "import sys; sys.modules['rosbags'] = None; import sam2_ros.file_processing.segment; "
    "from sam2_ros import recordings; print(recordings.open(sys.argv[1]).frames)"
)


def test_only_a_bag_needs_the_rosbags_library(bag, data_set):
    def opened(path: Path) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True)

    assert opened(data_set / "JPEGImages" / "short").stdout == "5\n"
    refused = opened(bag).stderr
    assert "ModuleNotFoundError" in refused and "rosbags" in refused.splitlines()[-1]


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", ["mcap", "mcap with compressed chunks", "sqlite3"])
@pytest.mark.parametrize("metadata", [True, False])
def test_a_bag_that_was_cut_off_gives_its_whole_messages_and_says_what_was_lost(tmp_path, storage, metadata):
    original = write_bag(tmp_path / "original", count=60, noise=True, truth=False, prompts=False, size=(120, 160))
    bag = cut(copy_bag(original, tmp_path / "bag", **STORAGES[storage]), 0.6, metadata=metadata)
    recording = recordings.open(bag)
    frames = list(recording)
    assert 10 < len(frames) < 45
    assert [frame.stamp for frame in frames] == [stamp(index) for index in range(len(frames))]
    assert any("damaged" in sentence for sentence in recording.lost)


def test_a_whole_file_without_metadata_is_read_in_full(tmp_path):
    bag = write_bag(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    assert len(list(recordings.open(bag))) == 10


def test_a_damaged_chunk_is_left_out_and_those_after_it_are_read(tmp_path):
    original = write_bag(tmp_path / "original", count=80, noise=True, truth=False, prompts=False, size=(120, 160))
    bag = copy_bag(original, tmp_path / "bag", **STORAGES["mcap with compressed chunks"])
    data = bytearray((bag / "bag.mcap").read_bytes())
    chunk = data.index(b"\x28\xb5\x2f\xfd", len(data) // 2)
    data[chunk : chunk + 64] = bytes(64)
    (bag / "bag.mcap").write_bytes(data)
    recording = recordings.open(bag)
    stamps = [frame.stamp for frame in recording]
    assert stamps[0] == stamp(0) and stamps[-1] == stamp(79)
    assert 40 < len(stamps) < 80 and stamps == sorted(set(stamps))
    assert any("chunk" in sentence for sentence in recording.lost)


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
@pytest.mark.parametrize("content", [b"", b"nothing of the kind", b"\x89MCAP0\r\n"])
def test_a_file_of_which_nothing_is_left_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match="nothing of the bag"):
        recordings.open(tmp_path / name)


def test_reading_a_long_bag_needs_little_memory(tmp_path):
    bag = write_bag(tmp_path / "bag", count=150, noise=True, truth=False, size=(240, 320))  # 35 MB
    gc.collect()
    tracemalloc.start()
    assert sum(1 for _ in recordings.open(bag)) == 150
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_bags_of_other_writers_are_read(tmp_path):
    folder = os.environ.get("SAM2_ROS_TEST_BAGS")
    if not folder:
        pytest.skip("SAM2_ROS_TEST_BAGS names no folder of bags")
    for bag in sorted(Path(folder).iterdir()):
        source = BagReader(bag)
        lost: list[str] = []
        messages = list(source.messages({topic.name for topic in source.topics}, lost))
        assert len(messages) == sum(topic.count for topic in source.topics) > 0
        assert all(message.decode() is not None for message in messages)
        assert lost == []
        for share in (0.1, 0.5, 0.7, 0.9):
            copy = shutil.copytree(bag, tmp_path / f"{bag.name}{share}", copy_function=shutil.copyfile)
            copy.chmod(0o755)
            try:
                part = BagReader(cut(copy, share))
            except RecordingError as error:
                assert "nothing of the bag" in str(error)
                continue
            lost = []
            assert 0 < len(list(part.messages({topic.name for topic in part.topics}, lost))) <= len(messages)


@pytest.mark.parametrize(
    "storage", ["mcap", "mcap with compressed chunks", "sqlite3", "an older version of the metadata"]
)
@pytest.mark.parametrize("damaged", [False, True])
def test_latched_topics_are_known_and_copied_as_such(tmp_path, storage, damaged):
    with BagWriter(tmp_path / "original", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        writer.write("/tf_static", "std_msgs/msg/String", 2, SimpleNamespace(data="where the camera is"), latched=True)
        for time in range(3, 400):
            writer.write("/image", IMAGE, time, image_message(picture(0), time))
    bag = copy_bag(tmp_path / "original", tmp_path / "bag", **STORAGES[storage])
    source = BagReader(cut(bag, 0.99, metadata=False) if damaged else bag)
    assert source.latched == {"/tf_static"}
    with BagWriter(tmp_path / "copy", kept_free=0) as writer:
        for event in recordings.open(bag, more_topics=("*",)).events():
            writer.copy(event.stored)
    with Reader(tmp_path / "copy") as reader:
        kinds = {found.topic: found.ext.offered_qos_profiles[0].durability for found in reader.connections}
    assert kinds == {"/image": QosDurability.VOLATILE, "/tf_static": QosDurability.TRANSIENT_LOCAL}
