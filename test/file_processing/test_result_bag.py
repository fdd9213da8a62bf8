import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from recordings.bags import COMPRESSED, IMAGE, PROMPT, header, image_message, picture, prompt_message, stamp, write_bag
from recordings.bags.depth_bags import NEAR, write_depth_bag
from recordings.bags.test_mcap_file import channel, schema, write
from recordings.bags.test_mcap_file import message as mcap_message
from rosbags.rosbag2 import Reader
from run_command import run_command

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.file_processing import result_bag
from sam2_ros.model import checkpoint
from sam2_ros.recordings.bags import writer as bag_writer
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.labels import read_labels
from sam2_ros.recordings.recording import StoredMessage


def run(source, out, weights, *more):
    return run_command("replay", source, "--out", out, "--model", weights, "--threads", "1", *more)


def messages(bag):
    source = BagReader(bag)
    return list(source.messages({topic.name for topic in source.topics}, []))


def rows(bag):
    return [(one.topic, one.type, one.time, one.raw) for one in messages(bag)]


def topics_in(bag):
    return [one.topic for one in messages(bag)]


RESULTS, ABOUT = ("/sam2_ros/masks", "/sam2_ros/objects"), "/sam2_ros/about"


def test_results_lie_beside_what_was_recorded(tmp_path, weights):
    bag = write_bag(tmp_path / "bag", count=6)
    assert run(bag, tmp_path / "out", weights) == 0
    assert rows(bag) == [row for row in rows(tmp_path / "out") if row[0] not in (*RESULTS, ABOUT)]
    after = messages(tmp_path / "out")
    masks, objects = ([one.decode() for one in after if one.topic == topic] for topic in RESULTS)
    assert [len(one.objects) for one in objects] == [1] * 6
    assert objects[2].objects[0].name == "square" and objects[2].objects[0].id == 1
    assert [one.header.stamp.sec * 10**9 + one.header.stamp.nanosec for one in objects] == [stamp(i) for i in range(6)]
    assert {one.header.frame_id for one in objects} == {"camera"}
    assert (masks[0].encoding, masks[0].height, masks[0].width) == ("mono8", 48, 64)
    assert len(objects[0].objects[0].object_pointer) > 8


def test_a_replay_notes_the_model_and_the_engine_that_computed_it(tmp_path, weights):
    bag = write_bag(tmp_path / "bag", count=2)
    assert run(bag, tmp_path / "out", weights, "--engine", "torch") == 0
    (noted,) = (json.loads(one.decode().data)["model"] for one in messages(tmp_path / "out") if one.topic == ABOUT)
    assert noted["engine"] == "PyTorch, float32" and noted["sha256"] == checkpoint.identify(weights).sha256


def test_two_replays_write_the_same_bytes(tmp_path, weights):
    bag = write_bag(tmp_path / "bag", count=6)
    for name in ("first", "second"):
        run(bag, tmp_path / name / "out", weights, "--labels", tmp_path / name / "labels")
    first, second = tmp_path / "first", tmp_path / "second"
    for file in ("out/out.mcap", "out/metadata.yaml", *(f"labels/{index:05d}.png" for index in range(6))):
        assert (first / file).read_bytes() == (second / file).read_bytes()


def with_odd_messages(path, readable=4):
    """Images of which the last two cannot be read, depth that cannot, and a topic that goes on without the camera."""
    with BagWriter(path, kept_free=0) as writer:
        writer.write("/tf_static", "std_msgs/msg/String", 5, SimpleNamespace(data="where it is"), latched=True)
        for index in range(readable + 2):
            message = image_message(picture(index), stamp(index))
            message.step = message.step if index < readable else 1
            writer.write("/image", IMAGE, stamp(index), message)
            depth = SimpleNamespace(header=header(stamp(index)), format="16UC1; compressedDepth png", data=[1, 2, 3])
            writer.write("/depth/compressedDepth", COMPRESSED, stamp(index) + 1, depth)
        for number in range(50):
            writer.write("/lidar", "std_msgs/msg/String", stamp(10) + number, SimpleNamespace(data="x" * 1000))
    return path


def test_what_cannot_be_read_is_copied_all_the_same_and_said(tmp_path, weights, capsys):
    bag = with_odd_messages(tmp_path / "bag")
    assert run(bag, tmp_path / "out", weights) == 0
    assert rows(bag) == [row for row in rows(tmp_path / "out") if row[0] not in (*RESULTS, ABOUT)]
    assert "2 messages on /image could not be read" in capsys.readouterr().out
    assert BagReader(tmp_path / "out").latched == {"/tf_static", ABOUT}


def test_a_replay_is_written_in_the_order_of_time_and_only_images_wait_in_memory(tmp_path, weights, monkeypatch):
    times, moments = [], []
    write, step = BagWriter._write, result_bag._write_step
    monkeypatch.setattr(BagWriter, "_write", lambda *rest: (times.append(rest[3]), write(*rest)))
    monkeypatch.setattr(result_bag, "_write_step", lambda *rest: (moments.append(rest[0].moment), step(*rest)))
    bag = with_odd_messages(tmp_path / "bag")
    times.clear()
    run(bag, tmp_path / "out", weights)
    assert times == sorted(times)
    assert {event.topic for moment in moments for event in moment.events} == {"/image"}


def test_a_bag_of_which_no_image_can_be_read_leaves_no_bag_behind(tmp_path, weights):
    with pytest.raises(RecordingError, match="no image on /image of .* can be read: 2 messages on /image"):
        run(with_odd_messages(tmp_path / "bag", readable=0), tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()


def test_a_replay_that_ends_early_leaves_nothing_that_blocks_the_next_try(tmp_path, weights, monkeypatch):
    bag = write_bag(tmp_path / "bag", count=3)
    with monkeypatch.context() as patched:
        free = [10**9, 0]  # enough to begin
        patched.setattr(
            bag_writer.shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop(0) if len(free) > 1 else 0)
        )
        patched.setattr(BagWriter, "_check_room", _every_time(BagWriter._check_room))
        with pytest.raises(RecordingError, match="nearly full"):
            run(bag, tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()
    assert run(bag, tmp_path / "out", weights) == 0


def _every_time(check):
    """Look at the free space for each message."""

    def checked(writer, size):
        writer._unchecked = 0 if size == 0 else 2**22
        check(writer, size)

    return checked


OLD_IMAGE = f"""std_msgs/Header header
uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data
{"=" * 80}
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
{"=" * 80}
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec"""


def test_foreign_channels_of_a_recording_are_named_and_not_written_as_messages_of_ros(tmp_path, weights, capsys):
    images = [one for one in messages(write_bag(tmp_path / "bag", count=2)) if one.topic == "/camera/image"]
    write(
        tmp_path / "a.mcap",
        schema(1, IMAGE, definition=OLD_IMAGE),
        channel(1, 1, "/camera/image"),
        schema(2, "Pose", "jsonschema", "{}"),
        channel(2, 2, "/pose", "json"),
        mcap_message(2, 5, b"{}"),
        *(mcap_message(1, one.time, one.raw) for one in images),
    )
    assert run(tmp_path / "a.mcap", tmp_path / "out", weights) == 0
    assert capsys.readouterr().out.count("/pose (json, 1 messages) was not recorded by ROS 2 and is left out") == 1
    assert set(topics_in(tmp_path / "out")) == {"/camera/image", *RESULTS, ABOUT}


def test_positions_are_those_of_the_depth_in_the_bag(tmp_path, weights, colour_model):
    bag = write_depth_bag(tmp_path / "bag", change=lambda index, *rest: rest if index < 4 else None)
    assert run(bag, tmp_path / "out", weights) == 0
    found = [one.decode().objects[0] for one in messages(tmp_path / "out") if one.topic == "/sam2_ros/objects"]
    assert [one.has_position for one in found] == [True] * 4 + [False] * 2
    assert [one.position_age for one in found] == pytest.approx([0, 0, 0, 0, 0.1, 0.2])
    assert [one.position.z for one in found] == pytest.approx([NEAR] * 6)
    assert found[0].depth_pixels > 50 and found[0].oriented_box_size.x > 0.1
    assert run(bag, tmp_path / "off", weights, "--set", "depth_transport=off") == 0
    found = [one.decode().objects[0] for one in messages(tmp_path / "off") if one.topic == "/sam2_ros/objects"]
    assert not any(one.has_position for one in found)


def test_the_results_of_a_live_run_are_kept_apart_from_new_ones(tmp_path, weights):
    run(write_bag(tmp_path / "bag", count=3), tmp_path / "live", weights)
    run(tmp_path / "live", tmp_path / "again", weights, "--image-topic", "/camera/image")
    assert {"/sam2_ros/masks", "/sam2_ros_replay/masks"} <= set(topics_in(tmp_path / "again"))


def test_a_replay_of_a_replay_has_a_place_of_its_own(tmp_path, weights):
    run(write_bag(tmp_path / "0", count=2), tmp_path / "1", weights)
    for number in (1, 2):
        run(tmp_path / str(number), tmp_path / str(number + 1), weights, "--image-topic", "/camera/image")
    found = [topic for topic in topics_in(tmp_path / "3") if topic.endswith("/masks")]
    assert sorted(found) == sorted([f"/sam2_ros{more}/masks" for more in ("", "_replay", "_replay_2")] * 2)


def test_types_that_nobody_defines_are_copied_all_the_same(tmp_path, weights, monkeypatch):
    bag = write_bag(tmp_path / "bag", count=2)
    known = bag_writer._described
    with BagWriter(tmp_path / "humble", kept_free=0) as writer:  # bags of Humble hold no definitions
        monkeypatch.setattr(bag_writer, "_described", lambda *_: ("", f"RIHS01_{'0' * 64}"))
        for one in messages(bag):
            kind = {"/camera/image": IMAGE, "/sam2_ros/prompt": PROMPT}.get(one.topic, "maker_msgs/msg/Extrinsics")
            writer.copy(StoredMessage(one.time, one.topic, kind, one.raw, lambda: None))
    monkeypatch.setattr(bag_writer, "_described", known)
    run(tmp_path / "humble", tmp_path / "out", weights)
    before, after = rows(tmp_path / "humble"), rows(tmp_path / "out")
    assert any(kind == "maker_msgs/msg/Extrinsics" for _, kind, _, _ in before)
    assert before == [row for row in after if not row[0].endswith(("/masks", "/objects", ABOUT))]


def test_on_the_clock_results_are_stamped_when_they_were_ready(tmp_path, weights):
    run(write_bag(tmp_path / "bag", count=5), tmp_path / "out", weights, "--on-clock")
    arrivals = {stamp(index): stamp(index) + 1 for index in range(5)}
    objects = [one for one in messages(tmp_path / "out") if one.topic == "/sam2_ros/objects"]
    for one in objects:
        content = one.decode()
        assert one.time > arrivals[content.header.stamp.sec * 10**9 + content.header.stamp.nanosec]
        assert content.processing_time > 0


def test_a_folder_of_pictures_becomes_a_bag(tmp_path, weights, data_set):
    run(data_set / "JPEGImages" / "short", tmp_path / "out", weights)
    frames = list(recordings.open(tmp_path / "out"))
    assert all((frame.image == picture(index)).all() for index, frame in enumerate(frames))
    with Reader(tmp_path / "out") as reader:
        assert {connection.topic: connection.msgcount for connection in reader.connections} == {
            "/camera/image": 5,
            ABOUT: 1,
            "/sam2_ros/masks": 5,
            "/sam2_ros/objects": 5,
        }


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_images_of_more_than_eight_bits_that_become_eight_in_the_bag_are_said(tmp_path, weights, capsys, depth):
    (tmp_path / "clip").mkdir()
    cv2.imwrite(str(tmp_path / "clip" / "0.png"), np.arange(48 * 64, dtype=depth).reshape(48, 64))
    run(tmp_path / "clip", tmp_path / "out", weights)
    assert ("have more than 8 bits" in capsys.readouterr().out) == (depth is np.uint16)


def test_label_images_have_the_size_of_the_pictures(tmp_path, weights):
    run(write_bag(tmp_path / "bag", count=2), tmp_path / "out", weights, "--labels", tmp_path / "labels")
    assert read_labels(tmp_path / "labels" / "00001.png").shape == (48, 64)


def test_prompts_that_are_refused_or_missing_are_said(tmp_path, weights, capsys):
    bag = write_bag(tmp_path / "bag", count=3)
    with BagWriter(tmp_path / "odd", kept_free=0) as writer:
        for event in recordings.open(bag).events():
            writer.copy(event.stored)
        writer.write("/sam2_ros/prompt", PROMPT, stamp(2) + 50, prompt_message("far", (900, 2), stamp(2)))
    run(tmp_path / "odd", tmp_path / "out", weights)
    output = capsys.readouterr().out
    assert "far: " in output and "3 images, 0 dropped, 1 prompts" in output
    run(write_bag(tmp_path / "silent", count=2, prompts=False), tmp_path / "nothing", weights)
    assert "no prompt was given, so nothing was followed" in capsys.readouterr().out


def test_a_missing_recording_leaves_no_bag_behind(tmp_path, weights):
    with pytest.raises(Exception, match="does not exist"):
        run(tmp_path / "nothing", tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()
