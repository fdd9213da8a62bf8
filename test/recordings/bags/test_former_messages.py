"""A bag that was recorded before a TrackedObject had positions: six images, two objects, one of them removed."""

from pathlib import Path

import pytest

pytest.importorskip("rosbags")

from fakes import ColourModel

from sam2_ros import recordings
from sam2_ros.file_processing.result_bag import write_results
from sam2_ros.recordings.bags.changed_types import Converter
from sam2_ros.recordings.bags.message_types import known_types
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import PromptEvent, RemovalEvent
from sam2_ros.stream.replay import replay
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame

BAG = Path(__file__).parent / "former" / "objects_without_positions"
OBJECTS = "sam2_ros/msg/TrackedObjectArray"


def test_the_definitions_differ():
    message = next(BagReader(BAG).messages({"/sam2_ros/objects"}, []))
    assert not hasattr(message.decode().objects[0], "has_position")
    assert "has_position" in dict(known_types().fielddefs["sam2_ros/msg/TrackedObject"][1])


def test_it_is_read_as_it_was_recorded():
    recording = recordings.open(BAG)
    contents = [event.content for event in recording.events()]
    assert sum(isinstance(one, Frame) for one in contents) == 6 and recording.lost == []
    assert [one.prompt.name for one in contents if isinstance(one, PromptEvent)] == ["red", "blue"]
    assert [one.names for one in contents if isinstance(one, RemovalEvent)] == [("blue",)]


def test_its_objects_are_converted_for_subscribers_without_positions():
    said = []
    (first, *_) = Converter(said.append).convert(BagReader(BAG).messages({"/sam2_ros/objects"}, []))
    red = known_types().deserialize_cdr(first.raw, OBJECTS).objects[0]
    assert red.name == "red" and red.area == 144 and not red.has_position and red.position_age == 0
    assert len(said) == 1 and "is converted" in said[0]


def test_it_is_replayed(tmp_path):
    recording = recordings.open(BAG)
    with BagWriter(tmp_path / "again", kept_free=0) as writer:
        written = write_results(replay(recording, Tracker(ColourModel())), recording, writer)
    assert (written.images, written.prompts, written.lost, written.refused) == (6, 2, [], [])
    reader = BagReader(tmp_path / "again")
    former = next(reader.messages({"/sam2_ros/objects"}, [])).decode().objects[0]
    again = next(reader.messages({"/sam2_ros_replay/objects"}, [])).decode().objects[0]
    # A file holds one definition of a type, so what was copied has the new fields, too.
    assert former.area == 144 == again.area and not again.has_position and not former.has_position
