import gc
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from recordings.bags import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    PROMPT,
    header,
    image_message,
    labels,
    picture,
    prompt_message,
    stamp,
    write_bag,
)
from rosbags.interfaces import MessageDefinition, QosDurability
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import CameraEvent, DepthEvent, PromptEvent, Truth
from sam2_ros.types import Frame

STRING = "std_msgs/msg/String"


def copy_bag(source, target, *, plugin=StoragePlugin.SQLITE3, compression=CompressionMode.NONE, version=9):
    """The same messages in another storage."""
    writer = Writer(target, version=version, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer, Reader(source) as reader:
        connections = {
            connection.id: writer.add_connection(
                connection.topic,
                connection.msgtype,
                msgdef=connection.msgdef.data,
                rihs01=connection.digest or "RIHS01_" + "0" * 64,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )
            for connection in reader.connections
        }
        for connection, time, raw in reader.messages():
            writer.write(connections[connection.id], time, raw)
    return target


def cut(bag, share, *, metadata=True):
    """Keep the first part of the storage file, and perhaps the metadata."""
    file = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    if not metadata:
        (bag / "metadata.yaml").unlink()
    return bag


STORAGES = {
    "mcap": {"plugin": StoragePlugin.MCAP},
    "mcap with compressed chunks": {"plugin": StoragePlugin.MCAP, "compression": CompressionMode.STORAGE},
    "sqlite3": {},
    "sqlite3 with compressed messages": {"compression": CompressionMode.MESSAGE},
    "compressed sqlite3 file": {"compression": CompressionMode.FILE},
    "an older version of the metadata": {"version": 8},
}


@pytest.mark.parametrize("storage", STORAGES)
def test_every_storage_gives_the_same_events_in_time_order(tmp_path, storage):
    bag = copy_bag(write_bag(tmp_path / "original"), tmp_path / "bag", **STORAGES[storage])
    recording = recordings.open(bag, more_topics=("/camera/camera_info",))
    events = list(recording.events())
    assert [event.time for event in events] == sorted(event.time for event in events)
    kinds = [type(event.content) for event in events]
    assert [kinds.count(kind) for kind in (Frame, Truth, PromptEvent, CameraEvent)] == [10, 10, 1, 1]
    frames = list(recording)
    assert all((frame.image == picture(index)).all() for index, frame in enumerate(frames))
    assert [frame.stamp for frame in frames] == [stamp(index) for index in range(10)]
    assert recording.frames == 10 and recording.has_truth and recording.lost == []


def test_what_the_events_say(tmp_path):
    recording = recordings.open(write_bag(tmp_path / "bag"), more_topics=("/camera/camera_info",))
    of = {type(event.content): event for event in recording.events()}
    assert of[Frame].topic == "/camera/image"
    assert (of[Truth].content.masks[1] == labels(9).astype(bool)).all()
    assert of[PromptEvent].content.stamp == stamp(0)
    assert of[PromptEvent].content.prompt.points.tolist() == [[10, 20]]
    assert of[CameraEvent].content.matrix[0, 0] == 5 and of[CameraEvent].content.size == (48, 64)


def test_compressed_images_are_found_beside_nothing_else(tmp_path):
    recording = recordings.open(write_bag(tmp_path / "bag", compressed=True))
    assert recording.image_topic == "/camera/image/compressed"
    assert (next(iter(recording)).image == picture(0)).all()


def test_a_storage_file_alone_is_a_bag(tmp_path):
    bag = write_bag(tmp_path / "bag")
    file = shutil.move(bag / "bag.mcap", tmp_path / "alone.mcap")
    assert len(list(recordings.open(file))) == 10


def test_an_image_without_a_stamp_gets_the_time_of_its_recording(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 777, image_message(picture(0), 0))
    assert next(iter(recordings.open(tmp_path / "bag"))).stamp == 777


# -- choosing topics -------------------------------------------------------------------------------


def two_cameras(path):
    with BagWriter(path, kept_free=0) as writer:
        for topic in ("/left/image", "/right/image"):
            writer.write(topic, IMAGE, 1, image_message(picture(0), 1))
            writer.write(f"{topic}/compressed", COMPRESSED, 1, image_message(picture(0), 1, compressed=True))
        writer.write("/sam2_ros/masks", IMAGE, 2, image_message(labels(0), 1))
        writer.write("/empty_of_images", CAMERA_INFO, 3, SimpleNamespace(header=header(1)))
    return path


def test_two_cameras_must_be_told_apart(tmp_path):
    bag = two_cameras(tmp_path / "bag")
    with pytest.raises(RecordingError, match=r"several image topics.*/left/image \(Image, 1 messages\)"):
        recordings.open(bag)
    assert recordings.open(bag, image_topic="/right/image").frames == 1


def test_a_missing_topic_lists_those_of_its_type(tmp_path):
    with pytest.raises(RecordingError, match=r"no image topic /up/image.*/left/image.*/sam2_ros/masks") as refusal:
        recordings.open(two_cameras(tmp_path / "bag"), image_topic="/up/image")
    assert "/empty_of_images" not in str(refusal.value)


def test_a_bag_without_images_says_so(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/info", CAMERA_INFO, 3, SimpleNamespace(header=header(1)))
    with pytest.raises(RecordingError, match="holds no images; its topics: /info"):
        recordings.open(tmp_path / "bag")


def test_more_topics_are_read_when_asked_for(tmp_path):
    bag = two_cameras(tmp_path / "bag")
    recording = recordings.open(bag, image_topic="/left/image", more_topics=("/sam2_ros/masks",))
    masks = [event for event in recording.events() if event.topic == "/sam2_ros/masks"]
    assert [event.stored.decode().encoding for event in masks] == ["mono8"]


def test_every_topic_is_read_when_all_are_asked_for(tmp_path):
    recording = recordings.open(two_cameras(tmp_path / "bag"), image_topic="/left/image", more_topics=("*",))
    assert len({event.topic for event in recording.events()}) == 6


# -- messages --------------------------------------------------------------------------------------


def test_unreadable_images_are_left_out_and_counted(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for index in range(4):
            message = image_message(picture(index), stamp(index))
            message.step = 1 if index in (1, 2) else message.step
            writer.write("/image", IMAGE, stamp(index), message)
    recording = recordings.open(tmp_path / "bag")
    assert [frame.stamp for frame in recording] == [stamp(0), stamp(3)]
    assert len(recording.lost) == 1
    assert recording.lost[0].startswith("2 messages on /image could not be read; the first: step 1 is too small")


def test_a_prompt_of_an_older_definition_is_read_as_it_was(tmp_path):
    store = get_typestore(Stores.LATEST)
    old = "std_msgs/Header header\nstring name\ngeometry_msgs/Point[] points\nuint8[] labels\n"
    store.register(get_types_from_msg(old, PROMPT))
    bag = write_bag(tmp_path / "images", prompts=False)
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    with writer, Reader(bag) as reader:
        connection = writer.add_connection("/prompt", PROMPT, typestore=store)
        images = writer.add_connection("/image", IMAGE, typestore=store)
        types = store.types
        time = types["builtin_interfaces/msg/Time"](0, 5)
        message = types[PROMPT](
            types["std_msgs/msg/Header"](time, ""),
            "cup",
            [types["geometry_msgs/msg/Point"](3.0, 4.0, 0.0)],
            np.array([1], np.uint8),
        )
        writer.write(connection, 1, store.serialize_cdr(message, PROMPT))
        for stored, stamp_, raw in reader.messages():
            if stored.topic == "/camera/image":
                writer.write(images, stamp_, raw)
    first = next(event.content for event in recordings.open(tmp_path / "bag").events())
    assert isinstance(first, PromptEvent)
    assert (first.prompt.name, first.prompt.points.tolist(), first.stamp) == ("cup", [[3, 4]], 5)
    assert first.prompt.mask is None and first.prompt.box is None and not first.prompt.replace


def test_types_that_a_bag_does_not_define_are_those_of_its_distribution(tmp_path):
    bag = copy_bag(write_bag(tmp_path / "original"), tmp_path / "bag")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("UPDATE schema SET schema_version = 3")
        database.execute("DELETE FROM message_definitions")
    database.close()
    events = list(recordings.open(bag).events())
    assert sum(isinstance(event.content, PromptEvent) for event in events) == 1
    assert sum(isinstance(event.content, Frame) for event in events) == 10


def compressed_depth(depth, scale=None):
    import cv2

    head = b"\0" * 4 + np.array(scale or (0, 0), np.float32).tobytes()
    return np.frombuffer(head + cv2.imencode(".png", depth)[1].tobytes(), np.uint8)


def test_compressed_depth_is_read_in_both_of_its_forms(tmp_path):
    millimetres = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    metres = np.random.default_rng(0).uniform(0.5, 5, (48, 64)).astype(np.float32)
    inverse = np.round(100 / metres + 2).astype(np.uint16)
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        for topic, kind, data in (
            ("/a/compressedDepth", "16UC1", compressed_depth(millimetres)),
            ("/b/compressedDepth", "32FC1", compressed_depth(inverse, (100, 2))),
        ):
            message = SimpleNamespace(header=header(1), format=f"{kind}; compressedDepth png", data=data)
            writer.write(topic, COMPRESSED, 2, message)
    recording = recordings.open(tmp_path / "bag", more_topics=("/a/compressedDepth", "/b/compressedDepth"))
    depths = {
        event.topic[1]: event.content.depth for event in recording.events() if isinstance(event.content, DepthEvent)
    }
    assert (depths["a"] == millimetres).all()
    np.testing.assert_allclose(depths["b"], metres, rtol=0.03)


@pytest.mark.parametrize(("values", "ids"), [((0, 255), {1}), ((0, 1, 2, 255), {1, 2}), ((0, 300), {300})])
def test_label_images_of_every_width_are_truth(tmp_path, values, ids):
    truth = np.zeros((48, 64), np.uint16 if max(values) > 255 else np.uint8)
    for row, value in enumerate(values):
        truth[row] = value
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(picture(0), 1))
        writer.write("/scene/ground_truth", IMAGE, 2, image_message(truth, 1))
    content = [event.content for event in recordings.open(tmp_path / "bag").events()][1]
    assert set(content.masks) == ids
    assert (content.ignore is not None) == (values == (0, 1, 2, 255))


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


def test_a_missing_part_of_a_bag_is_said(tmp_path):
    bag = write_bag(tmp_path / "bag")
    text = (bag / "metadata.yaml").read_text().replace("- bag.mcap", "- bag.mcap\n  - bag_1.mcap")
    (bag / "metadata.yaml").write_text(text)
    recording = recordings.open(bag)
    assert len(list(recording)) == 10
    assert any("bag_1.mcap" in sentence for sentence in recording.lost)


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
        writer.write("/tf_static", STRING, 2, SimpleNamespace(data="where the camera is"), latched=True)
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


# -- writing ---------------------------------------------------------------------------------------


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
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "bag"), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "ended after its last whole part" in result.stdout
    file = tmp_path / "bag" / "bag.mcap"
    with Reader(file) as reader:
        count = reader.message_count
        assert count == sum(1 for _ in reader.messages())
    assert 60 < count < 90  # 57.6 kB each
    recording = recordings.open(tmp_path / "bag")
    assert len(list(recording)) in (count - 1, count - 2)  # less the prompt and the camera_info


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
