from types import SimpleNamespace

from evaluation.bags import IMAGE, PROMPT, header, image_message, picture, prompt_message, stamp

from sam2_ros.evaluation import recordings
from sam2_ros.evaluation.bags import OBJECTS
from sam2_ros.evaluation.events import RemovalEvent
from sam2_ros.evaluation.recordings import BagWriter


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


def test_reading_a_bag_twice_finds_the_same_removals(tmp_path):
    recording = recordings.open(write(tmp_path / "bag", [{"cup": 1}, {}]))
    first, second = ([event.content for event in recording.events() if isinstance(event.content, RemovalEvent)]
                     for _ in range(2))
    assert len(first) == len(second) == 1
