import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
from recordings.bags import (
    COMPRESSED,
    IMAGE,
    PROMPT,
    SIZE,
    STORAGES,
    copy_bag,
    header,
    image_message,
    labels,
    picture,
    prompt_message,
    stamp,
    write_bag,
)
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from sam2_ros import recordings
from sam2_ros.errors import InvalidImage, InvalidInput, RecordingError
from sam2_ros.recordings.bags.bag import labels_from, refuse_unclear_nodes
from sam2_ros.recordings.bags.topics import OBJECTS
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import CameraEvent, DepthEvent, PromptEvent, RemovalEvent, Truth
from sam2_ros.types import Frame


def write(path, listings, *, node="/sam2_ros"):
    """A prompt, then for each image the objects that the node lists: {name: id}."""
    with BagWriter(path, kept_free=0) as writer:
        writer.write("/sam2_ros/prompt/applied", PROMPT, 1, prompt_message("cup", (10, 20)))
        for index, listed in enumerate(listings):
            now = stamp(index)
            writer.write("/camera/image", IMAGE, now, image_message(picture(index), now))
            objects = [SimpleNamespace(name=name, id=number) for name, number in listed.items()]
            writer.write(f"{node}/objects", OBJECTS, now + 9, SimpleNamespace(header=header(now), objects=objects))
    return path


def removals(bag):
    found = [event.content for event in recordings.open(bag).events()]
    return [(one.names, one.stamp) for one in found if isinstance(one, RemovalEvent)]


def test_an_object_that_is_listed_no_more_was_removed_on_that_image(tmp_path):
    bag = write(tmp_path / "bag", [{"cup": 1}, {"cup": 1, "can": 2}, {"can": 2}, {"can": 2}, {}])
    assert removals(bag) == [(("cup",), stamp(2)), (("can",), stamp(4))]


def test_a_reset_removes_all_and_names_may_come_back(tmp_path):
    bag = write(tmp_path / "bag", [{"cup": 1, "can": 2}, {}, {"cup": 3}, {}])
    assert removals(bag) == [(("can", "cup"), stamp(1)), (("cup",), stamp(3))]


def test_a_replaced_object_was_not_removed(tmp_path):
    assert removals(write(tmp_path / "bag", [{"cup": 1}, {"cup": 2}])) == []


def test_what_another_node_lists_says_nothing_about_the_one_that_was_prompted(tmp_path):
    assert removals(write(tmp_path / "bag", [{"cup": 1}, {}], node="/sam2_ros_replay")) == []


def prompted_twice(path):
    """Two cameras and two nodes, whose objects have the same name."""
    with BagWriter(path, kept_free=0) as writer:
        for index in range(2):
            for side in ("left", "right"):
                now = stamp(index)
                writer.write(f"/{side}/image", IMAGE, now, image_message(picture(index), now))
                prompt = prompt_message("object_1", (10 if side == "left" else 50, 20), now)
                writer.write(f"/{side}/prompt/applied", PROMPT, now + 1, prompt)
                objects = [SimpleNamespace(name="object_1", id=1)] if index == 0 or side == "left" else []
                writer.write(f"/{side}/objects", OBJECTS, now + 9, SimpleNamespace(header=header(now), objects=objects))
    return path


def test_prompts_of_several_nodes_are_read_only_when_one_is_named(tmp_path):
    bag = prompted_twice(tmp_path / "bag")

    def given(**named):
        events = [one.content for one in recordings.open(bag, image_topic="/left/image", **named).events()]
        points = {one.prompt.points[0, 0] for one in events if isinstance(one, PromptEvent)}
        return points, [one for one in events if isinstance(one, RemovalEvent)]

    assert given(node="left") == given(node="/left") == ({10.0}, [])
    points, (gone,) = given(node="/right")
    assert points == {50.0} and gone.names == ("object_1",)
    assert given() == (set(), [])
    with pytest.raises(InvalidInput, match="prompts of several nodes: /left, /right; choose with --node"):
        refuse_unclear_nodes(recordings.open(bag, image_topic="/left/image"))
    with pytest.raises(RecordingError, match="no prompts of a node /up; it holds those of: /left, /right"):
        recordings.open(bag, image_topic="/left/image", node="/up")


def test_prompts_that_several_nodes_were_asked_for_are_told_apart_as_well(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/left/image", IMAGE, stamp(0), image_message(picture(0), stamp(0)))
        for number, side in enumerate(("left", "right")):
            writer.write(f"/{side}/prompt", PROMPT, stamp(0) + 1, prompt_message("object_1", (number, 20), stamp(0)))
    assert recordings.open(tmp_path / "bag").unclear_nodes == ("/left", "/right")
    events = [one.content for one in recordings.open(tmp_path / "bag", node="right").events()]
    assert [one.prompt.points[0, 0] for one in events if isinstance(one, PromptEvent)] == [1.0]


def test_reading_a_bag_twice_finds_the_same_removals(tmp_path):
    recording = recordings.open(write(tmp_path / "bag", [{"cup": 1}, {}]))
    first, second = (
        [event.content for event in recording.events() if isinstance(event.content, RemovalEvent)] for _ in range(2)
    )
    assert len(first) == len(second) == 1


def with_images(path, *topics):
    with BagWriter(path, kept_free=0) as writer:
        for topic in topics:
            image = labels(0) if "truth" in topic else picture(0)
            writer.write(topic, IMAGE, 1, image_message(image, 1))
    return path


CAMERAS = "/cam1/image", "/cam2/image"


@pytest.mark.parametrize(
    ("truths", "chosen"),
    [
        (["/cam1/truth", "/cam2/truth"], "/cam2/truth"),
        (["/cam1/truth", "/cam2/ground_truth/labels", "/ground_truth"], "/cam2/ground_truth/labels"),
        (["/cam1/truth", "/ground_truth"], "/ground_truth"),
        (["/sim/truth"], "/sim/truth"),
        (["/sim/truth", "/sim/truth/compressed"], "/sim/truth"),
        (["/cam1/truth"], ""),
    ],
)
def test_the_truth_of_a_camera_is_that_of_its_namespace_and_never_that_of_another_camera(tmp_path, truths, chosen):
    bag = with_images(tmp_path / "bag", *CAMERAS, *truths)
    assert recordings.open(bag, image_topic="/cam2/image").truth_topic == chosen


def test_of_several_truths_that_may_be_meant_none_is_taken(tmp_path):
    bag = with_images(tmp_path / "bag", *CAMERAS, "/sim/a/truth", "/sim/b/truth")
    recording = recordings.open(bag, image_topic="/cam2/image")
    assert (recording.truth_topic, recording.unclear_truths) == ("", ("/sim/a/truth", "/sim/b/truth"))
    chosen = recordings.open(bag, image_topic="/cam2/image", truth_topic="/sim/b/truth")
    assert (chosen.truth_topic, chosen.unclear_truths) == ("/sim/b/truth", ())


@pytest.mark.parametrize(("later", "shown"), [(7, [[], [7], []]), (255, [[1], [1], [1]])])
def test_255_in_label_images_means_the_same_in_all_of_a_bag(tmp_path, later, shown):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for index, value in enumerate([255, later, 255]):  # hidden, seen, hidden again
            image = np.zeros(SIZE, np.uint8)
            image[:5], image[5:9] = 255, value
            writer.write("/camera/image", IMAGE, stamp(index), image_message(picture(index), stamp(index)))
            writer.write("/ground_truth", IMAGE, stamp(index) + 1, image_message(image, stamp(index)))
    found = [event.content for event in recordings.open(tmp_path / "bag").events() if isinstance(event.content, Truth)]
    assert [list(truth.masks) for truth in found] == shown


def test_images_of_a_twelve_bit_camera_keep_their_grey_levels(tmp_path):
    values = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/camera/image", IMAGE, stamp(0), image_message(values, stamp(0)))
    assert [len(np.unique(frame.image)) > 200 for frame in recordings.open(tmp_path / "bag")] == [True]
    assert [len(np.unique(frame.image)) > 20 for frame in recordings.open(tmp_path / "bag", image_range="full")] == [
        False
    ]


def test_the_rate_of_a_bag_is_that_of_its_camera(tmp_path):
    assert recordings.open(write_bag(tmp_path / "bag")).rate == 10.0
    assert recordings.open(write_bag(tmp_path / "short", count=1)).rate is None


def test_a_damaged_compressed_label_image_is_our_own_error():
    for data in (b"", b"no picture", b"GIF89a" + b"\x30\x75" * 2 + bytes(20)):
        with pytest.raises(InvalidImage):
            labels_from(SimpleNamespace(format="png", data=data))


# -- events ----------------------------------------------------------------------------------------


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


def test_an_image_without_a_stamp_gets_the_time_of_its_recording(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        writer.write("/image", IMAGE, 777, image_message(picture(0), 0))
    assert next(iter(recordings.open(tmp_path / "bag"))).stamp == 777


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
