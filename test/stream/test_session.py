import numpy as np
import pytest
from fakes import BLUE, GREEN, RED, ColourModel, DirectSession, picture

from sam2_ros.errors import InvalidInput, InvalidPrompt, UnknownObject, UnknownStamp
from sam2_ros.stream.session import Detection, Session
from sam2_ros.stream.settings import SessionSettings
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt, State

MILLISECOND = 1_000_000


@pytest.fixture
def session():
    return made()


def made(settings=SessionSettings(), on_applied=lambda prompt, applied: None, **tracker):
    return DirectSession(Tracker(ColourModel(), TrackerSettings(**tracker)), settings, on_applied)


def show(session, stamp, squares):
    return session.track(Frame(picture(squares), stamp, "camera"))


def click(name, x, y):
    return Prompt(name, points=np.array([[x, y]]), labels=np.array([1]))


def names(session):
    return [track.name for track in session.view.tracks]


def test_an_image_becomes_the_view_with_its_own_stamp_and_frame_id(session):
    show(session, 7, {RED: (0, 0)})
    assert session.view.frame.stamp == 7 and session.view.frame.frame_id == "camera" and session.newest == 7


def test_the_answer_to_a_prompt_carries_the_stamp_and_frame_id_of_the_prompted_image(session):
    show(session, 1, {RED: (0, 0)})
    show(session, 2, {RED: (32, 0)})
    applied = session.prompt(click("cup", 8, 8), 1)
    assert applied.stamp == 1 and applied.frame_id == "camera"
    assert applied.track.centroid[0] < 16 < session.view.tracks[0].centroid[0]
    assert session.view.frame.stamp == 2
    assert applied.sentence == "cup is object 1"


def test_a_prompt_on_a_dropped_image_goes_to_the_nearest_one_and_says_so(session):
    show(session, 1000 * MILLISECOND, {RED: (0, 0)})
    show(session, 1100 * MILLISECOND, {RED: (32, 0)})
    applied = session.prompt(click("cup", 8, 8), 1030 * MILLISECOND)
    assert applied.stamp == 1000 * MILLISECOND
    assert "1.000 s, 0.030 s before the stamp of the prompt" in applied.sentence


def test_a_prompt_beyond_the_tolerance_is_refused_and_changes_nothing(session):
    show(session, 1000 * MILLISECOND, {RED: (0, 0)})
    with pytest.raises(UnknownStamp, match="older than the oldest"):
        session.prompt(click("cup", 8, 8), 500 * MILLISECOND)
    with pytest.raises(UnknownStamp, match="newer than the newest"):
        session.prompt(click("cup", 8, 8), 1101 * MILLISECOND)
    assert names(session) == []


def test_a_click_with_a_strange_stamp_is_made_on_the_newest_image(session):
    show(session, 5, {RED: (0, 0)})
    assert session.click(8, 8, 12_345_678_901_234).stamp == 5


def test_a_click_corrects_the_object_under_it_and_elsewhere_starts_one(session):
    show(session, 1, {RED: (0, 0), BLUE: (32, 32)})
    first = session.click(8, 8, 0)
    again = session.click(4, 4, 0)
    other = session.click(40, 40, 0)
    assert first.track.id == again.track.id != other.track.id
    assert len(names(session)) == 2


def test_a_click_on_an_older_image_is_for_the_object_that_was_under_it_then(session):
    show(session, 1, {RED: (0, 0)})
    cup = session.click(8, 8, 0)
    show(session, 2, {RED: (40, 40), BLUE: (0, 0)})
    assert session.click(4, 4, 1).track.id == cup.track.id
    assert len(names(session)) == 1


def test_clicks_go_to_the_object_that_the_parameter_names():
    session = made(SessionSettings(click_object="target"))
    show(session, 1, {RED: (0, 0), BLUE: (32, 32)})
    session.click(8, 8, 0)
    session.click(40, 40, 0)
    assert names(session) == ["target"]


def test_negative_clicks_take_away_from_the_object_under_them_and_start_none():
    given = []
    session = made(on_applied=lambda prompt, applied: given.append((prompt.name, prompt.labels.tolist())))
    show(session, 1, {RED: (0, 0)})
    session.click(8, 8, 0)
    given.clear()
    session.configure(SessionSettings(click_negative=True), TrackerSettings())
    assert session.click(4, 4, 0).sentence == "object_1, object 1, is corrected"
    assert given == [("object_1", [0])]
    with pytest.raises(InvalidPrompt, match="click on a mask, or name the object in click_object"):
        session.click(60, 60, 0)
    session.configure(SessionSettings(click_negative=True, click_object="object_1"), TrackerSettings())
    session.click(60, 60, 0)
    assert given[1:] == [("object_1", [0])] and names(session) == ["object_1"]


def test_images_that_repeat_a_stamp_are_counted(session):
    for stamp in (5, 5, 6, 0, 0):
        show(session, stamp, {RED: (0, 0)})
    assert session.counts.repeated == 1


def test_changed_parameters_take_effect_on_the_next_prompt(session):
    show(session, 1, {RED: (0, 0)})
    session.configure(SessionSettings(), TrackerSettings(visible_margin=3.0))
    session.prompt(click("cup", 8, 8), 0)
    assert session._tracker.settings.visible_margin == 3.0


def test_a_detection_starts_an_object_and_the_next_one_of_it_does_nothing(session):
    show(session, 1, {RED: (8, 8)})
    (applied,) = session.detections([Detection((9, 9, 22, 22), label="cup")], 1)
    assert applied.track.name == "cup_1"
    show(session, 2, {RED: (12, 8)})
    assert session.detections([Detection((13, 9, 26, 22), label="cup")], 2) == []
    assert names(session) == ["cup_1"]


def test_detections_are_compared_with_the_masks_of_their_own_image(session):
    show(session, 1, {RED: (0, 8)})
    session.prompt(click("cup", 8, 16), 0)
    show(session, 2, {RED: (0, 8)})
    show(session, 3, {RED: (40, 8)})
    assert session.detections([Detection((2, 10, 13, 21))], 2) == []  # it was there then
    assert names(session) == ["cup"]


def test_a_slow_detector_does_not_start_an_object_again_on_every_image(session):
    for stamp in range(1, 6):
        show(session, stamp, {RED: (4 * stamp, 8)})
    for stamp in (1, 2, 3):
        session.detections([Detection((4 * stamp + 2, 10, 4 * stamp + 13, 21))], stamp)
    assert len(names(session)) == 1


def test_two_boxes_on_one_new_object_start_it_once(session):
    show(session, 1, {RED: (8, 8)})
    assert len(session.detections([Detection((7, 7, 24, 24)), Detection((8, 8, 24, 24))], 1)) == 1


def test_detections_that_share_an_id_are_objects_of_their_own(session):
    show(session, 1, {RED: (0, 0), BLUE: (40, 40)})
    boxes = [Detection((0, 0, 15, 15), name="person"), Detection((40, 40, 55, 55), name="person")]
    assert len(session.detections(boxes, 1)) == 2
    assert names(session) == ["person_1", "person_2"]
    show(session, 2, {RED: (0, 0), BLUE: (40, 40)})
    assert session.detections(boxes, 2) == [] and len(names(session)) == 2


def test_that_no_object_can_be_started_any_more_is_said(session):
    show(session, 1, {RED: (8, 8)})
    session._tracker._next_id = 65536
    with pytest.raises(InvalidPrompt, match="ids are used up; restart the tracker"):
        session.detections([Detection((8, 8, 23, 23))], 1)


def test_a_detection_outside_the_image_is_left_out_and_the_others_count(session):
    show(session, 1, {RED: (8, 8)})
    assert len(session.detections([Detection((100, 100, 120, 120)), Detection((8, 8, 24, 24))], 1)) == 1
    assert session.counts.left_out == {"outside the image": 1}


def test_detections_start_no_more_objects_than_allowed():
    session = made(SessionSettings(max_detected_objects=1))
    show(session, 1, {RED: (0, 0), BLUE: (40, 40)})
    assert len(session.detections([Detection((0, 0, 15, 15)), Detection((40, 40, 55, 55))], 1)) == 1
    assert session.counts.left_out == {"without room (max_detected_objects)": 1}


def test_a_detection_takes_the_place_of_a_lost_one_but_never_of_an_object_that_a_person_started():
    session = made(SessionSettings(max_detected_objects=2), lost_after_frames=1)
    show(session, 1, {RED: (0, 0), BLUE: (40, 40)})
    session.prompt(click("mine", 8, 8), 1)
    session.detections([Detection((40, 40, 55, 55), label="box")], 1)
    show(session, 2, {GREEN: (20, 20)})
    assert [track.state for track in session.view.tracks] == [State.LOST, State.LOST]
    (applied,) = session.detections([Detection((20, 20, 35, 35), label="can")], 2)
    assert names(session) == ["mine", "can_1"] and applied.track.id == 3
    assert session.detections([Detection((50, 0, 60, 10), label="can")], 2) == []


def test_a_detection_outside_the_image_takes_nobodys_place():
    session = made(SessionSettings(max_detected_objects=1), lost_after_frames=1)
    show(session, 1, {BLUE: (40, 40)})
    session.detections([Detection((40, 40, 55, 55), label="box")], 1)
    show(session, 2, {})
    assert session.detections([Detection((400, 400, 420, 420), label="can")], 2) == []
    assert names(session) == ["box_1"]


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_a_click_that_is_not_finite_is_refused(session, x):
    show(session, 1, {BLUE: (40, 40)})
    with pytest.raises(InvalidPrompt, match="finite"):
        session.click(x, 3, 0)


def test_a_detector_with_names_brings_back_an_object_that_is_out_of_sight(session):
    show(session, 1, {RED: (8, 8)})
    session.detections([Detection((8, 8, 23, 23), name="17")], 1)
    show(session, 2, {GREEN: (8, 8)})
    assert session.view.tracks[0].state == State.OCCLUDED
    session.detections([Detection((8, 8, 23, 23), name="17")], 2)
    assert [(track.id, track.state) for track in session.view.tracks] == [(1, State.VISIBLE)]


def test_forgetting_updates_the_view(session):
    show(session, 1, {RED: (0, 0), BLUE: (32, 32)})
    session.click(8, 8, 0)
    session.click(40, 40, 0)
    session.forget(names(session)[0])
    assert len(session.view.tracks) == 1
    with pytest.raises(UnknownObject):
        session.forget("nobody")


def test_after_a_reset_nothing_is_tracked_and_no_image_is_remembered(session):
    show(session, 1, {RED: (0, 0)})
    session.click(8, 8, 0)
    assert session.reset() == 1
    assert session.view.tracks == () and session.newest is None
    with pytest.raises(UnknownStamp, match="no image has arrived"):
        session.prompt(click("cup", 8, 8), 0)


def test_time_that_goes_back_is_reported(session):
    assert show(session, 5_000 * MILLISECOND, {RED: (0, 0)}) == 0
    assert show(session, 6_000 * MILLISECOND, {RED: (0, 0)}) == 0
    assert show(session, 1_000 * MILLISECOND, {RED: (0, 0)}) == 5_000 * MILLISECOND
    assert show(session, 1_000 * MILLISECOND, {RED: (0, 0)}) == 0
    assert show(session, 0, {RED: (0, 0)}) == 0


def test_an_image_that_comes_too_late_is_counted_and_changes_nothing(session):
    for stamp in (5_000, 5_066, 5_133):
        show(session, stamp * MILLISECOND, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 0)
    before = session.view
    assert show(session, 5_100 * MILLISECOND, {}) == 0
    assert session.counts.late == 1 and session.view is before and session.newest == 5_133 * MILLISECOND
    assert session.prompt(click("cup", 8, 8), 5_000 * MILLISECOND).stamp == 5_000 * MILLISECOND
    assert session.prompt(click("cup", 8, 8), 5_100 * MILLISECOND).stamp == 5_133 * MILLISECOND, "the nearest one"


def test_a_repeated_stamp_with_another_size_keeps_the_image_that_its_masks_belong_to(session):
    show(session, 5, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 0)
    session.track(Frame(np.zeros((32, 48, 3), np.uint8), 5))
    assert session.view.frame.size == session.view.tracks[0].mask.shape == (64, 64)


def test_an_image_without_a_stamp_leaves_the_others_within_reach_of_prompts(session):
    for stamp in (5_000, 0, 5_100, 0):
        show(session, stamp * MILLISECOND, {RED: (0, 0)})
    assert session.newest == 5_100 * MILLISECOND
    assert session.prompt(click("cup", 8, 8), 5_000 * MILLISECOND).stamp == 5_000 * MILLISECOND


def test_a_prompt_on_a_dropped_image_of_a_slow_camera_goes_to_the_nearest_one(session):
    for stamp in (1_000, 1_250, 1_750, 2_000):
        show(session, stamp * MILLISECOND, {RED: (0, 0)})
    assert session.prompt(click("cup", 8, 8), 1_500 * MILLISECOND).stamp == 1_250 * MILLISECOND
    with pytest.raises(UnknownStamp, match="newer than the newest"):
        session.prompt(click("cup", 8, 8), 2_600 * MILLISECOND)


def test_changed_settings_reach_the_tracker_with_the_next_image(session):
    show(session, 1, {RED: (0, 0)})
    session.configure(SessionSettings(), TrackerSettings(lost_after_frames=1))
    show(session, 2, {RED: (0, 0)})
    session.click(8, 8, 0)
    show(session, 3, {})
    assert session.view.tracks[0].state == State.LOST


def test_prompts_without_a_name_do_not_start_objects_without_end():
    session = made(SessionSettings(max_objects=3))
    show(session, 1, {RED: (0, 0)})
    for _ in range(3):
        session.prompt(click("", 8, 8), 0)
    with pytest.raises(
        InvalidPrompt, match=r"3 objects are tracked already \(parameter max_objects is 3\).*remove one"
    ):
        session.prompt(click("", 8, 8), 0)
    session.prompt(click("object_1", 8, 8), 0)
    assert session.detections([Detection((40.0, 40.0, 60.0, 60.0))], 1) == []
    assert session.counts.left_out == {"without room (max_objects)": 1} and len(names(session)) == 3
    session.forget("object_2")
    assert session.prompt(click("cup", 8, 8), 0).track.name == "cup"


def test_restarts_of_time_are_counted_for_the_status(session):
    for seconds in (20, 5, 21, 6):
        show(session, seconds * 10**9, {RED: (0, 0)})
    assert (session.counts.restarts, session.counts.late) == (2, 0)


def test_a_click_on_an_older_image_brings_the_objects_up_to_date_in_parts(session):
    for stamp in range(1, 7):
        show(session, stamp, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 1)
    *parts, applied = Session.click(session, 8, 8, 5)
    assert parts == [None] * 4  # images 2 to 5
    assert applied.track.name == "cup" and applied.stamp == 5


def test_a_session_that_does_not_work_in_parts_brings_objects_up_to_date_with_each_prompt():
    session = Session(Tracker(ColourModel()), in_parts=False)
    for stamp in range(1, 7):
        show(session, stamp, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 1)
    assert not session.is_behind
    assert all(len(session._tracker.at(stamp)) == 1 for stamp in range(1, 7))


def test_what_a_running_tracker_cannot_change_is_refused_once_and_the_old_settings_stay(session):
    with pytest.raises(InvalidInput, match="remembered_frames cannot change while a tracker runs"):
        session.configure(SessionSettings(max_objects=1), TrackerSettings(remembered_frames=5))
    show(session, 1, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 0)
    show(session, 2, {RED: (32, 0)})
    assert names(session) == ["cup"] and session.view.frame.stamp == 2
    assert session.settings == SessionSettings() and session._tracker.settings == TrackerSettings()


def finished(parts):
    """What a request in parts answers, and how many parts came before."""
    count = 0
    while True:
        try:
            next(parts)
        except StopIteration as ended:
            return ended.value, count
        count += 1


def test_an_exported_object_is_followed_in_another_session_under_another_name(session):
    show(session, 1, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 0)
    memory, parts = finished(session.export("cup"))
    assert (memory.name, parts) == ("cup", 0) and names(session) == ["cup"]
    other = made(SessionSettings())
    show(other, 1, {BLUE: (0, 0)})
    assert other.restore(memory, "mug") == 1
    assert names(other) == []
    show(other, 2, {RED: (40, 40)})
    assert names(other) == ["mug"] and other.view.tracks[0].mask[44, 44]


def test_an_object_is_exported_after_it_was_brought_up_to_date_an_image_a_part(session):
    for stamp in range(1, 7):
        show(session, stamp, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 1)
    with pytest.raises(UnknownObject, match="'mug'"):
        finished(session.export("mug"))
    assert session.is_behind
    memory, parts = finished(session.export("cup"))
    assert parts == 5 and not session.is_behind  # images 2 to 6
    assert sorted(memory.contents["tokens"]) == [-4, -3, -2, -1, 0]


def test_restoring_counts_as_a_new_object(session):
    show(session, 1, {RED: (0, 0)})
    session.prompt(click("cup", 8, 8), 0)
    memory, _ = finished(session.export("cup"))
    with pytest.raises(InvalidInput, match="cup is followed already"):
        session.restore(memory)
    full = made(SessionSettings(max_objects=1))
    assert full.restore(memory) == 1
    with pytest.raises(InvalidPrompt, match=r"parameter max_objects is 1\); remove one"):
        full.restore(memory, "mug")
