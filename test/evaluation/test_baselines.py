import cv2
import numpy as np
import pytest
from fakes import DirectSession

from sam2_ros.errors import InvalidInput, InvalidPrompt, UnknownStamp
from sam2_ros.evaluation.baselines import FirstMask, OpenCVTracker, box_tracker_name, grab
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.stream.session import Detection
from sam2_ros.types import Frame, Prompt

SIZE = (120, 160)


def scene(index):
    """A red disk that moves to the right over grey noise, and its mask."""
    image = np.random.default_rng(0).integers(90, 120, (*SIZE, 3)).astype(np.uint8)
    mask = cv2.circle(np.zeros(SIZE, np.uint8), (40 + 3 * index, 60), 18, 1, -1).astype(bool)
    image[mask] = (220, 40, 40)
    return Frame(image, index + 1), mask


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt("disk", mask=scene(0)[1]),
        Prompt("disk", box=(20, 40, 60, 80)),
        Prompt("disk", points=np.array([(40, 60)]), labels=np.array([1])),
    ],
    ids=["mask", "box", "click"],
)
def test_the_disk_is_followed_from_every_kind_of_prompt(prompt):
    tracker = OpenCVTracker()
    tracker.track(scene(0)[0])
    assert region_similarity(tracker.prompt(prompt).track.mask, scene(0)[1]) > 0.8
    for index in range(1, 8):
        (track,) = tracker.track(scene(index)[0])
        assert region_similarity(track.mask, scene(index)[1]) > 0.7
    assert (track.id, track.name, track.occluded) == (1, "disk", False)


def test_a_baseline_drives_a_session_as_the_tracker_does_on_the_newest_frame():
    session = DirectSession(FirstMask())
    session.track(scene(0)[0])
    session.prompt(Prompt("disk", mask=scene(0)[1]), 0)
    assert session.click(40, 60, 0).track.name == "disk" and session.click(150, 10, 0).track.name == "object_2"
    assert session.detections([Detection((22, 42, 58, 78))], 1) == [] and not session.is_behind
    with pytest.raises(UnknownStamp, match="newest image only"):
        session.detections([Detection((22, 42, 58, 78))], 10**12)
    session.forget("disk")
    assert [track.name for track in session.view.tracks] == ["object_2"]


def test_the_first_mask_never_moves():
    tracker = FirstMask()
    tracker.track(scene(0)[0])
    tracker.prompt(Prompt("disk", mask=scene(0)[1]))
    for index in range(1, 4):
        (track,) = tracker.track(scene(index)[0])
        assert (track.mask == scene(0)[1]).all()


def test_a_cut_is_the_same_each_time():
    cuts = [grab(scene(0)[0].image, (20, 40, 60, 80), np.zeros(SIZE, bool)) for _ in range(2)]
    assert (cuts[0] == cuts[1]).all()


def test_it_refuses_what_a_tracker_refuses():
    tracker = OpenCVTracker()
    with pytest.raises(UnknownStamp):
        tracker.prompt(Prompt("disk", box=(20, 40, 60, 80)))
    tracker.track(scene(0)[0])
    with pytest.raises(UnknownStamp, match="newest image only"):
        tracker.prompt(Prompt("disk", box=(20, 40, 60, 80)), stamp=99)
    with pytest.raises(InvalidPrompt, match="outside"):
        tracker.prompt(Prompt("disk", box=(500, 500, 600, 600)))


def test_a_box_outside_the_image_holds_nothing():
    assert not grab(scene(0)[0].image, (200, 200, 220, 220), np.zeros(SIZE, bool)).any()


def test_the_box_tracker_has_a_name():
    assert box_tracker_name() in ("CSRT", "MIL")


def test_a_baseline_answers_all_that_a_session_asks_of_a_tracker():
    tracker = FirstMask()
    with pytest.raises(UnknownStamp, match="newest image only"):
        tracker.size(0)
    tracker.track(Frame(np.zeros((40, 60, 3), np.uint8), 5))
    for name, rows in (("under", slice(10, 30)), ("over", slice(20, 35))):
        mask = np.zeros((40, 60), bool)
        mask[rows, 10:20] = True
        tracker.prompt(Prompt(name, mask=mask), 5, later=True)
    assert tracker.size(5) == (40, 60) and [track.name for track in tracker.at(0)] == ["under", "over"]
    places = [(15, 12), (15, 25), (15, 33), (40, 25), (99, 25)]
    assert [tracker.name_at(x, y, 5) for x, y in places] == ["under", "over", "over", "", ""]
    tracker.catch_up()
    assert not tracker.is_behind()
    with pytest.raises(UnknownStamp, match="newest image only"):
        tracker.at(3)
    with pytest.raises(InvalidInput, match="a baseline has no memory"):
        tracker.export("under")
    with pytest.raises(InvalidInput, match="a baseline has no memory"):
        tracker.restore(None)
