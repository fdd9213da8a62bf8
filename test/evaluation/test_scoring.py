import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.metrics import EVERY_FRAME
from sam2_ros.evaluation.scoring import Scorer, meant
from sam2_ros.recordings.moments import Moment
from sam2_ros.recordings.recording import Truth
from sam2_ros.stream.replay import Given, Step
from sam2_ros.types import Frame, Prompt, State, Track

SIZE = (20, 30)


def square(x, y=5, side=8):
    mask = np.zeros(SIZE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


EMPTY = np.zeros(SIZE, bool)


def track(name, mask, number=1, occluded=False):
    state = State.OCCLUDED if occluded else State.VISIBLE
    return Track(number, name, state, occluded, mask, 5.0, 0.9, np.zeros(4, np.float32), 0, 1)


def step(index, tracks, truth=None, complete=True, given=()):
    truth = None if truth is None else Truth(index + 1, truth, complete=complete)
    moment = Moment(index, Frame(np.zeros((*SIZE, 3), np.uint8), index + 1), index, truth)
    return Step(moment, tuple(tracks), given=tuple(given))


def scores(steps, **options):
    scorer = Scorer(**options)
    for one in steps:
        scorer.add(one)
    return scorer, scorer.objects()


def test_a_track_whose_name_is_a_true_id_is_that_object():
    _, (first, second) = scores(
        [step(0, [track("2", square(1)), track("1", square(15), 2)], {1: square(15), 2: square(1)})]
    )
    assert (first.j[0], second.j[0]) == (1.0, 1.0)
    assert first.matched[0] == 1


def test_in_a_recording_digits_are_only_a_name():
    truth = {1: square(15), 2: square(1)}
    given = [Given("2", Prompt("2", mask=square(15)), 1), Given("1", Prompt("1", box=(1, 5, 8, 12)), 1)]
    steps = [step(0, [track("2", square(15)), track("1", square(1), 2)], truth, given=given)]
    _, objects = scores(steps, every_object=False)
    assert [(one.id, one.name, one.j[0]) for one in objects] == [(1, "2", 1.0), (2, "1", 1.0)]
    _, objects = scores([step(0, [track("7", square(15))], truth)], every_object=False)
    assert [(one.id, one.name) for one in objects] == [(1, "7")], "by its first mask"


def test_a_track_of_another_name_is_the_object_under_its_first_mask():
    scorer, objects = scores(
        [
            step(0, [track("cup", square(14), 7)], {3: square(15), 4: square(1)}),
            step(1, [track("cup", square(1), 7)], {3: square(15), 4: square(1)}),
        ],
        every_object=False,
    )
    assert [one.name for one in objects] == ["cup"]
    assert objects[0].id == 3
    assert objects[0].j[0] > 0.5 and objects[0].j[1] == 0.0
    assert objects[0].matched.tolist() == [3, 4], "it went over to the other object"
    assert scorer.unprompted() == [4]


def test_an_object_that_nobody_prompts_counts_as_missed_in_a_benchmark():
    _, objects = scores([step(0, [], {1: square(3)})])
    assert objects[0].result(EVERY_FRAME).j_and_f == 0.0


def test_an_object_that_appears_late_was_absent_before():
    _, (_, late) = scores([step(0, [], {1: square(3)}), step(1, [], {1: square(3), 2: square(20)})])
    assert late.absent.tolist() == [True, False]
    assert late.j.tolist() == [1.0, 0.0]


def test_an_object_that_was_not_annotated_before_has_no_score_there():
    _, (first, second) = scores(
        [step(0, [], {1: square(3)}, complete=False), step(1, [], {2: square(3)}, complete=False), step(2, [], None)]
    )
    assert first.j.tolist()[0] == 0.0 and np.isnan(first.j[1:]).all()
    assert np.isnan(second.j[-1])


def test_occlusion_is_judged_only_while_an_object_is_followed():
    _, (one,) = scores(
        [
            step(0, [], {1: EMPTY}),
            step(1, [track("1", square(3))], {1: square(3)}),
            step(2, [track("1", EMPTY, occluded=True)], {1: EMPTY}),
        ]
    )
    result = one.result(EVERY_FRAME)
    assert (result.occlusion.absent_frames, result.occlusion.recall) == (1, 1.0)


def test_truth_of_another_size_is_refused():
    with pytest.raises(InvalidInput, match="10x10"):
        Scorer().add(step(0, [], {1: np.ones((10, 10), bool)}))


PROMPTS = {
    "point": Prompt("cup", points=np.array([(18, 9)]), labels=np.array([1])),
    "box": Prompt("cup", box=(14, 4, 23, 13)),
    "mask": Prompt("cup", mask=square(15)),
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_a_prompt_says_which_object_is_meant_though_its_mask_is_empty(kind):
    truth = {3: square(15), 4: square(1), 5: np.ones(SIZE, bool)}
    given = [Given("cup", PROMPTS[kind], 1)]
    _, objects = scores([step(0, [], truth), step(1, [track("cup", EMPTY)], truth, given=given)], every_object=False)
    assert [(one.id, one.name) for one in objects] == [(3, "cup")]
    assert np.isnan(objects[0].j[0]) and objects[0].j[1] == 0.0


def test_in_a_recording_an_object_counts_from_its_first_prompt_to_its_removal():
    truth, empty = {3: square(15)}, [step(index, [], {3: square(15)}) for index in (0, 3)]
    given = [Given("cup", PROMPTS["box"], 2)]
    steps = [
        empty[0],
        step(1, [track("cup", square(15))], truth, given=given),
        step(2, [track("cup", EMPTY)], truth),
        empty[1],
    ]
    _, (one,) = scores(steps, every_object=False)
    assert np.isnan(one.j[[0, 3]]).all() and one.j[1:3].tolist() == [1.0, 0.0]
    assert one.result(EVERY_FRAME).j.mean == 0.5


def test_a_prompt_beside_every_object_means_none():
    nowhere = Prompt("cup", points=np.array([(28, 1)]), labels=np.array([1]))
    assert meant(nowhere, {3: square(15)}) == 0
    assert meant(Prompt("cup", points=np.array([(18, 9)]), labels=np.array([0])), {3: square(15)}) == 0


CUP, BOWL = {3: square(15)}, {4: square(1)}


def test_a_name_that_is_prompted_anew_elsewhere_is_another_object():
    given = [Given("cup", Prompt("cup", box=(15, 5, 22, 12), replace=True), 2)]
    steps = [
        step(0, [track("cup", square(1))], CUP | BOWL),
        step(1, [track("cup", square(15), 2)], CUP | BOWL, given=given),
        step(2, [track("cup", square(15), 2)], CUP | BOWL),
    ]
    scorer, objects = scores(steps, every_object=False)
    assert [(one.id, one.name) for one in objects] == [(3, "cup"), (4, "cup")]
    assert objects[0].j[1:].tolist() == [1.0, 1.0], "the cup, once it was meant"
    assert objects[1].j[0] == 1.0 and np.isnan(objects[1].j[1:]).all(), "the bowl, until then"
    assert scorer.values() == {1: 4, 2: 3}


def test_a_click_that_is_taken_back_on_its_own_image_does_not_count():
    given = [
        Given("cup", Prompt("cup", box=(1, 5, 8, 12)), 1),
        Given("cup", Prompt("cup", box=(15, 5, 22, 12), replace=True), 1),
    ]
    _, objects = scores([step(0, [track("cup", square(15), 2)], CUP | BOWL, given=given)], every_object=False)
    assert [one.id for one in objects] == [3]


def test_an_object_that_was_removed_may_be_prompted_under_another_name():
    steps = [
        step(0, [track("object_1", square(15))], CUP),
        step(1, [], CUP),
        step(2, [track("object_2", square(15), 2)], CUP),
    ]
    scorer, (one,) = scores(steps, every_object=False)
    assert one.id == 3 and np.array_equal(one.j, [1.0, np.nan, 1.0], equal_nan=True)
    assert scorer.values() == {1: 3, 2: 3}


def test_a_track_that_is_no_true_object_gets_a_value_of_its_own():
    scorer, _ = scores([step(0, [track("cup", square(15)), track("wall", EMPTY, 3)], CUP | BOWL)])
    assert scorer.names() == {"cup": 3, "wall": 5}


def test_pixels_that_are_unclear_for_one_object_count_for_the_others():
    mask, unclear = square(5), square(9)
    truth = Truth(1000, {1: mask & ~unclear, 2: mask & ~unclear}, ignores={1: unclear})
    scorer = Scorer()
    rows = scorer.add(
        Step(
            Moment(0, Frame(np.zeros((*mask.shape, 3), np.uint8), 1000), 1000, truth),
            (track("1", mask, 1), track("2", mask, 2)),
        )
    )
    assert rows[0].j == 1.0 and rows[1].j == 0.5
