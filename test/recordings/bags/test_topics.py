"""Which topic of a bag is the camera's, and which others are read."""

from types import SimpleNamespace

import pytest
from recordings.bags import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    header,
    image_message,
    labels,
    picture,
)

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings.bags.writer import BagWriter


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
