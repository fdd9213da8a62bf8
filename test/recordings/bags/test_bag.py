from types import SimpleNamespace

import numpy as np
import pytest
from recordings.bags import (
    IMAGE,
    PROMPT,
    SIZE,
    header,
    image_message,
    labels,
    picture,
    prompt_message,
    stamp,
    write_bag,
)

from sam2_ros import recordings
from sam2_ros.errors import InvalidImage, InvalidInput, RecordingError
from sam2_ros.recordings.bags import OBJECTS, refuse_unclear_nodes
from sam2_ros.recordings.bags.bag import labels_from
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import PromptEvent, RemovalEvent, Truth


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
