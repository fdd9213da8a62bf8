"""Bags with depth give positions in a replay, by the rules of the node."""

import numpy as np
import pytest

pytest.importorskip("rosbags")

from fakes import ColourModel
from recordings.bags import STORAGES, copy_bag
from recordings.bags.depth_bags import FAR, LAYOUTS, NEAR, REALSENSE, depth_of, place, write_depth_bag
from stream.test_replay import Clock

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.geometry.settings import DepthSettings
from sam2_ros.recordings.moments import LOOK_AHEAD
from sam2_ros.stream.replay import ReplaySettings, replay
from sam2_ros.tracking.tracker import Tracker

CAMERA = f"{REALSENSE}/color/image_raw"


def steps_of(bag, topics=None, depth=DepthSettings()):
    recording = recordings.open(bag, **(topics or {}))
    steps = list(replay(recording, Tracker(ColourModel()), settings=ReplaySettings(depth=depth)))
    return steps, recording.lost


def positions(steps):
    """Of the one object on each image; None where it was not measured on this image."""
    known = [next(iter(step.located.positions.values()), None) for step in steps]
    return [None if one is None or one.age else one.surface.position for one in known]


def measured(steps):
    return [position is not None for position in positions(steps)]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_depth_as_drivers_lay_it_out_gives_positions(tmp_path, layout, storage):
    bag = write_depth_bag(tmp_path / "bag", layout)
    if storage == "sqlite3":
        bag = copy_bag(bag, tmp_path / "copy", **STORAGES["sqlite3"])
    steps, lost = steps_of(bag)
    assert lost == [] and all(measured(steps))
    for index, position in enumerate(positions(steps)):
        assert position[2] == pytest.approx(NEAR, abs=0.005)
        assert position[:2] == pytest.approx(place(index)[:2], abs=0.03)  # the masks of this model are coarse


def test_two_replays_give_the_same_positions(tmp_path):
    bag = write_depth_bag(tmp_path / "bag")
    first, second = (positions(steps_of(bag)[0]) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_recording_without_depth_has_no_positions_and_nothing_is_said(tmp_path):
    steps, lost = steps_of(write_depth_bag(tmp_path / "bag", "ZED", without=["depth"]))
    assert not any(measured(steps)) and lost == []


def test_depth_is_not_read_where_it_is_switched_off(tmp_path):
    bag = write_depth_bag(tmp_path / "bag")
    steps, lost = steps_of(bag, depth=DepthSettings(depth_transport="off"))
    assert not any(measured(steps)) and lost == []
    assert not any(measured(steps_of(bag, depth=DepthSettings(depth_transport="compressed"))[0]))


def test_depth_that_comes_later_than_the_timeout_is_not_used(tmp_path):
    bag = write_depth_bag(tmp_path / "bag")
    assert all(measured(steps_of(bag, depth=DepthSettings(depth_timeout=0.03))[0]))
    steps, (sentence,) = steps_of(bag, depth=DepthSettings(depth_timeout=0.01))
    assert not any(measured(steps)) and "none of 6 depth images belongs to an image" in sentence


def test_depth_of_another_rate_belongs_to_the_images_of_its_stamps(tmp_path):
    steps, lost = steps_of(write_depth_bag(tmp_path / "bag", change=lambda n, *rest: rest if n % 3 == 0 else None))
    assert measured(steps) == [True, False, False] * 2 and lost == []
    assert next(iter(steps[2].located.positions.values())).age == pytest.approx(0.2)


def test_stamps_may_differ_by_less_than_the_tolerance(tmp_path):
    def shifted(index, depth, at, frame):
        return depth, at + 10_000_000, frame

    bag = write_depth_bag(tmp_path / "bag", change=shifted)
    assert all(measured(steps_of(bag)[0]))
    steps, (sentence,) = steps_of(bag, depth=DepthSettings(depth_tolerance=0.005))
    assert not any(measured(steps)) and "0.005 s or more (setting depth_tolerance)" in sentence


def test_a_depth_camera_that_stops_leaves_the_last_position_which_grows_older(tmp_path):
    bag = write_depth_bag(tmp_path / "bag", count=12, change=lambda n, *rest: rest if n < 2 else None)
    steps, lost = steps_of(bag)
    ages = [next(iter(step.located.positions.values())).age for step in steps]
    assert ages == pytest.approx([0, 0, *(0.1 * n for n in range(1, 11))]) and lost == []


def test_on_the_clock_images_that_are_dropped_have_no_positions(tmp_path):
    clock = Clock(0.25)
    recording = recordings.open(write_depth_bag(tmp_path / "bag", count=9))
    steps = list(replay(recording, clock.slow(Tracker(ColourModel())), on_clock=True, clock=clock))
    assert {step.dropped for step in steps} == {True, False}
    assert measured(steps) == [not step.dropped for step in steps]


def test_images_wait_for_depth_within_a_bound(tmp_path):
    bag = write_depth_bag(tmp_path / "bag", count=20, change=lambda n, *rest: rest if n == 0 else None)
    recording = recordings.open(bag)
    steps = replay(recording, Tracker(ColourModel()), settings=ReplaySettings(depth=DepthSettings(depth_timeout=5.0)))
    first = next(steps)
    assert first.moment.index == 0 and measured([first]) == [True]
    assert len(list(steps)) == 19 and LOOK_AHEAD < 19


def test_depth_of_half_or_twice_the_size_is_used(tmp_path):
    def larger(index, depth, at, frame):
        return depth_of(index, (128, 128)), at, frame

    steps, lost = steps_of(write_depth_bag(tmp_path / "bag", change=larger))
    assert all(measured(steps)) and lost == []


def unregistered(index, depth, at, frame):
    return depth, at, "elsewhere"


def narrow(index, depth, at, frame):
    return depth[:, :40], at, frame


REFUSED = {
    "no camera_info": ({"without": ["camera_info"]}, "but no camera_info"),
    "no calibration": ({"info": {"k": [0.0] * 9}}, "holds no calibration"),
    "camera_info of another size": (
        {"info": {"width": 100}},
        "camera_info is for images of 100x64, but they are 64x64",
    ),
    "another frame": ({"change": unregistered, "layout": "ZED"}, "depth is in the frame 'elsewhere'"),
    "other proportions": ({"change": narrow}, "depth of 40x64 does not show the same as an image of 64x64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_depth_that_cannot_be_used_is_named_and_masks_are_as_without_it(tmp_path, case):
    options, words = REFUSED[case]
    steps, (sentence,) = steps_of(write_depth_bag(tmp_path / "bag", **options))
    plain, _ = steps_of(write_depth_bag(tmp_path / "plain", without=["depth"]))
    assert not any(measured(steps))
    assert sentence.startswith("no positions on 6 images: ") and words in sentence
    assert all((one.tracks[0].mask == other.tracks[0].mask).all() for one, other in zip(steps, plain))


def test_images_that_are_rectified_go_through_the_projection_of_camera_info(tmp_path):
    bag = write_depth_bag(tmp_path / "bag", info={"k": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1]})
    right, _ = steps_of(bag, depth=DepthSettings(image_is_rectified=True))
    assert positions(right)[0][:2] == pytest.approx(place(0)[:2], abs=0.03)
    wrong, _ = steps_of(bag)
    assert abs(positions(wrong)[0][0]) > 1


def test_another_unit_of_depth_is_a_setting(tmp_path):
    steps, _ = steps_of(write_depth_bag(tmp_path / "bag"), depth=DepthSettings(depth_scale=0.002))
    assert positions(steps)[0][2] == pytest.approx(2 * NEAR, abs=0.001) and FAR > NEAR


# -- which topic ---------------------------------------------------------------------------------


def test_a_topic_may_be_named_with_or_without_its_transport(tmp_path):
    bag = write_depth_bag(tmp_path / "bag", "RealSense, compressed")
    for name in ("image_raw", "image_raw/compressedDepth"):
        topics = {"depth_topic": f"{REALSENSE}/aligned_depth_to_color/{name}"}
        assert all(measured(steps_of(bag, topics)[0]))


def test_depth_that_is_named_is_taken_even_if_its_name_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setitem(
        LAYOUTS,
        "OAK",
        ("/oak/rgb/image_raw", *LAYOUTS["RealSense"][1:3], "/oak/stereo/image_raw", *LAYOUTS["RealSense"][4:]),
    )
    bag = write_depth_bag(tmp_path / "bag", "OAK")
    steps, _ = steps_of(bag, {"depth_topic": "/oak/stereo/image_raw"})
    assert all(measured(steps))
    with pytest.raises(RecordingError, match="several image topics"):
        recordings.open(bag)


@pytest.mark.parametrize(
    "option, words", [("depth_topic", "has no depth /nothing"), ("camera_info_topic", "no camera_info on /nothing")]
)
def test_a_topic_that_is_not_there_is_refused_with_those_that_are(tmp_path, option, words):
    bag = write_depth_bag(tmp_path / "bag")
    with pytest.raises(RecordingError, match=f"{words}.*{REALSENSE}"):
        recordings.open(bag, **{option: "/nothing"})


def test_where_several_topics_may_be_meant_that_is_said_and_masks_go_on(tmp_path, monkeypatch):
    bag = write_depth_bag(tmp_path / "bag", change=unregistered)
    steps, (sentence,) = steps_of(bag)
    assert not any(measured(steps)) and len(steps) == 6
    assert "several depth images that may be those of" in sentence and "--depth-topic" in sentence


def test_a_camera_info_may_be_named(tmp_path):
    bag = write_depth_bag(tmp_path / "bag", "ZED")
    steps, lost = steps_of(bag, {"camera_info_topic": "/zed/zed_node/depth/camera_info"})
    assert all(measured(steps)) and lost == []
