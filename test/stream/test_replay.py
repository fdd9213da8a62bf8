import numpy as np
from fakes import GREEN, RED, ColourModel
from recordings.bags import PERIOD, PROMPT, prompt_message, stamp, write_bag
from recordings.script import Script, click, image, removal

from sam2_ros import recordings
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.stream.replay import replay
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Prompt


def tracker(**settings):
    return Tracker(ColourModel(), TrackerSettings(**settings))


class Clock:
    """A clock that only the model moves: by a number of seconds for each image encoded."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.now = 0.0

    def __call__(self):
        return self.now

    def slow(self, followed):
        encode = followed._model.encode_image

        def slowly(images):
            self.now += self.seconds
            return encode(images)

        followed._model.encode_image = slowly
        return followed


# -- offline ---------------------------------------------------------------------------------------


def test_recorded_prompts_are_given_on_their_images():
    script = [image(0), image(1), click(0), image(2)]
    steps = list(replay(Script(script=script), tracker()))
    assert [len(step.tracks) for step in steps] == [0, 1, 1]
    assert steps[1].prompted == ("red",) and steps[1].clicks == 1
    assert steps[2].tracks[0].mask[24, 12]


def test_a_prompt_for_an_image_that_is_still_to_come_waits_for_it():
    script = [image(0), click(1, at=(12, 24), arrival=stamp(0) + 5), image(1), image(2)]
    steps = list(replay(Script(script=script), tracker()))
    assert [step.prompted for step in steps] == [(), ("red",), ()]


def test_a_prompt_recorded_before_the_first_image_is_given_on_it():
    steps = list(replay(Script(script=[click(0, on=0, arrival=1), image(0), image(1)]), tracker()))
    assert [len(step.tracks) for step in steps] == [1, 1]


def test_a_prompt_that_is_too_old_is_refused_and_said():
    script = [image(index) for index in range(6)] + [click(0)]
    steps = list(replay(Script(script=script), tracker(remembered_frames=2)))
    assert "older than the oldest remembered image" in steps[-1].refused[0]
    assert steps[-1].prompted == ()


def test_recorded_prompts_can_be_left_out_and_a_user_prompts_instead():
    def user(moment, tracks, prompt):
        if moment.index == 1:
            prompt(Prompt("mine", points=np.array([(8, 24)]), labels=np.array([1])))

    script = [image(0), click(0), image(1), image(2)]
    steps = list(replay(Script(script=script), tracker(), user, recorded_prompts=False))
    assert [[track.name for track in step.tracks] for step in steps] == [[], ["mine"], ["mine"]]
    assert steps[1].prompted == ("mine",)


def noting(calls):
    """A tracker that notes the stamps of the frames that it prepares and tracks."""
    followed = tracker()
    for name in ("prepare", "track"):
        method = getattr(followed, name)
        setattr(followed, name, lambda one, name=name, method=method: calls.append((name, one)) or method(one))
    return followed


def test_every_frame_but_the_first_is_prepared_before_the_one_in_front_of_it_is_tracked():
    calls, script = [], [image(0), image(1), image(2)]
    list(replay(Script(script=script), noting(calls)))
    first, second, third = (event.content for event in script)
    assert calls == [("prepare", second), ("track", first), ("prepare", third), ("track", second), ("track", third)]


def test_on_the_clock_nothing_is_prepared_as_in_the_node():
    calls, script = [], [image(0), image(1), image(2)]
    list(replay(Script(script=script), noting(calls), on_clock=True))
    assert {name for name, _ in calls} == {"track"}


def test_two_runs_over_a_bag_agree_to_the_bit(tmp_path):
    bag = write_bag(tmp_path / "bag", count=20)

    def run():
        return [
            (track.mask.tobytes(), track.object_score, track.object_pointer.tobytes(), step.moment.frame.stamp)
            for step in replay(recordings.open(bag), tracker())
            for track in step.tracks
        ]

    first = run()
    assert len(first) == 20
    assert first == run()


def test_a_correction_in_a_bag_is_replayed(tmp_path):
    bag = write_bag(tmp_path / "bag", count=12)
    with BagWriter(tmp_path / "corrected", kept_free=0) as writer:
        for event in recordings.open(bag).events():
            writer.copy(event.stored)
        writer.write("/sam2_ros/prompt", PROMPT, stamp(6) + 50, prompt_message("square", (2, 2), stamp(5), label=0))
    steps = list(replay(recordings.open(tmp_path / "corrected"), tracker()))
    assert [step.prompted for step in steps].count(("square",)) == 2
    assert steps[-1].tracks[0].prompted_frames == 2


# -- removals --------------------------------------------------------------------------------------


def test_an_object_that_was_removed_is_forgotten_at_its_place():
    script = [image(0), click(0), image(1), removal(1, "red", "never heard of"), image(2)]
    steps = list(replay(Script(script=script), tracker()))
    assert [len(step.tracks) for step in steps] == [1, 0, 0]


def test_an_object_that_is_prompted_again_after_its_removal_is_a_new_one():
    again = click(1, at=(12, 24), arrival=stamp(1) + 9)
    script = [image(0), click(0), image(1), removal(1, "red"), again, image(2)]
    steps = list(replay(Script(script=script), tracker()))
    assert [[track.id for track in step.tracks] for step in steps] == [[1], [2], [2]]


def test_on_the_clock_a_removal_on_a_dropped_frame_is_done_on_the_next_one():
    clock = Clock(2.5 * PERIOD / 1e9)
    script = [image(0), click(0), image(1), removal(1, "red"), *(image(index) for index in range(2, 5))]
    steps = list(replay(Script(script=script), clock.slow(tracker()), on_clock=True, clock=clock))
    assert [step.dropped for step in steps][:3] == [False, True, False]
    assert [len(step.tracks) for step in steps][:3] == [1, 1, 0]


def test_removals_are_left_out_with_the_recorded_prompts():
    def user(moment, tracks, prompt):
        if moment.index == 0:
            prompt(Prompt("red", points=np.array([(8, 24)]), labels=np.array([1])))

    script = [image(0), removal(0, "red"), image(1)]
    steps = list(replay(Script(script=script), tracker(), user, recorded_prompts=False))
    assert [len(step.tracks) for step in steps] == [1, 1]


# -- on the clock ----------------------------------------------------------------------------------


def test_a_tracker_that_is_fast_enough_drops_nothing():
    clock = Clock(0.9 * PERIOD / 1e9)
    steps = list(
        replay(Script(script=[image(index) for index in range(10)]), clock.slow(tracker()), on_clock=True, clock=clock)
    )
    assert not any(step.dropped for step in steps)
    assert [round(step.delay_ms) for step in steps] == [90] * 10


def test_a_slow_tracker_takes_the_newest_frame_and_drops_those_between():
    clock = Clock(2.5 * PERIOD / 1e9)
    steps = list(
        replay(
            Script(script=[image(0), click(0), *(image(index) for index in range(1, 10))]),
            clock.slow(tracker()),
            on_clock=True,
            clock=clock,
        )
    )
    # Busy until 2.5 periods after image 0, then with image 2 until 5.0: image 5 has just come.
    assert [step.moment.index for step in steps if not step.dropped] == [0, 2, 5, 7, 9]
    assert [step.moment.index for step in steps] == list(range(10))
    assert round(steps[2].delay_ms) == 300, "it waited half a period and took two and a half"
    assert all(step.tracks == steps[2].tracks for step in steps[3:5]), "a dropped frame keeps what was known"


def test_the_prompts_of_dropped_frames_are_given_later():
    clock = Clock(2.5 * PERIOD / 1e9)
    script = [image(0), image(1), click(1, at=(12, 24)), image(2), image(3), image(4)]
    steps = list(replay(Script(script=script), clock.slow(tracker()), on_clock=True, clock=clock))
    assert [step.dropped for step in steps][:3] == [False, True, False]
    assert steps[2].prompted == ("red",)


def test_a_prompt_on_a_dropped_frame_goes_to_the_nearest_that_was_tracked_however_slow_the_model():
    clock = Clock(6.0 * PERIOD / 1e9)
    script = [
        image(0),
        *(image(index) for index in range(1, 5)),
        click(4, at=(24, 24)),
        *(image(index) for index in (5, 6, 7)),
    ]
    steps = list(replay(Script(script=script), clock.slow(tracker()), on_clock=True, clock=clock))
    assert [step.moment.index for step in steps if not step.dropped] == [0, 6, 7]
    assert steps[6].prompted == ("red",) and steps[6].given[0].stamp == stamp(6)


def test_time_spent_on_prompts_counts_too():
    clock = Clock(0.0)
    slow = clock.slow(tracker())
    decode = slow._model.decode

    def slowly(view, features, prompt=None, **options):
        clock.now += 2.5 * PERIOD / 1e9 * (prompt is not None)
        return decode(view, features, prompt, **options)

    slow._model.decode = slowly
    script = [image(0), click(0), *(image(index) for index in range(1, 6))]
    steps = list(replay(Script(script=script), slow, on_clock=True, clock=clock))
    assert [step.dropped for step in steps][:4] == [False, True, False, False]
    assert round(steps[0].prompt_ms) == 250


def test_an_unseen_colour_is_an_occluded_object():
    script = [image(0, {RED: (0, 16), GREEN: (40, 16)}), click(0), image(1, {GREEN: (40, 16)}), image(2)]
    steps = list(replay(Script(script=script), tracker()))
    assert [track.occluded for step in steps for track in step.tracks] == [False, True, False]


# -- images out of order ---------------------------------------------------------------------------


def test_an_image_that_comes_too_late_is_dropped_and_the_prompts_after_it_land_on_their_images():
    order = [0, 1, 2, 4, 3, 5, 6]
    script = [image(index, arrival=stamp(place)) for place, index in enumerate(order)] + [click(1, at=(12, 24))]
    steps = list(replay(Script(script=script), tracker()))
    assert [step.moment.index for step in steps if step.dropped] == [4]
    assert steps[-1].given[0].stamp == stamp(1)


def test_on_the_clock_an_older_image_does_not_replace_a_newer_one_that_waits():
    clock = Clock(2.5 * PERIOD / 1e9)
    order = [0, 2, 1, 3, 4, 5, 6]
    script = [image(index, arrival=stamp(place)) for place, index in enumerate(order)]
    steps = list(replay(Script(script=script), clock.slow(tracker()), on_clock=True, clock=clock))
    assert [step.moment.frame.stamp for step in steps if not step.dropped][:2] == [stamp(0), stamp(2)]
    assert sorted(step.moment.index for step in steps) == list(range(7))


def test_a_prompt_far_from_every_image_is_refused_as_in_the_node():
    script = [image(0), image(1), image(50), click(25)]
    steps = list(replay(Script(script=script), tracker()))
    assert "was never tracked" in steps[-1].refused[0]


def test_prompts_whose_images_never_come_are_named():
    recording = Script(script=[image(0), click(9), image(1)])
    list(replay(recording, tracker()))
    (sentence,) = recording.lost
    assert sentence == "prompts that were not given, since their images never came: 1 (red)"
