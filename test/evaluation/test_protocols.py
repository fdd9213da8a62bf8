from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from fakes import BLUE, GREEN, RED, ColourModel, picture
from stream.test_replay import Script, tracker
from torch.nn import functional

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.choices import FIRST_PROMPTS
from sam2_ros.evaluation.metrics import region_similarity
from sam2_ros.evaluation.protocols import FirstFrame, Offline, Online, TrueObject, click, segment_images
from sam2_ros.recordings.moments import moments_of
from sam2_ros.recordings.recording import Event, Truth
from sam2_ros.stream.replay import replay
from sam2_ros.tracking.memory import PROMPTED_TIME_CODE, RECENT_MEMORIES
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt


def seen(image, colour):
    """What the model of colours makes of a square: it loses two pixels on each side."""
    return cv2.erode((image == colour).all(axis=2).astype(np.uint8), np.ones((5, 5))).astype(bool)


def scene(count=6, blue_from=0, swap_at=None):
    """A red and, from some image on, a blue square; at ``swap_at`` the truth of object 1 moves from red to green."""
    script = []
    for index in range(count):
        stamp = 1000 * (index + 1)
        squares = {RED: (8, 8), GREEN: (8, 40)} | ({BLUE: (40, 40)} if index >= blue_from else {})
        image = picture(squares)
        first = GREEN if swap_at is not None and index >= swap_at else RED
        masks = {1: seen(image, first)}
        if index >= blue_from:
            masks[2] = seen(image, BLUE)
        script += [Event(stamp, "image", Frame(image, stamp)), Event(stamp + 1, "truth", Truth(stamp, masks))]
    return Script(script=script, truth=True)


def run(recording, user, **settings):
    return list(replay(recording, tracker(**settings), user, recorded_prompts=False))


def iou(step, number):
    found = {track.name: track.mask for track in step.tracks}
    return region_similarity(found[str(number)], step.moment.truth.masks[number])


@pytest.mark.parametrize("kind", FIRST_PROMPTS)
def test_every_first_prompt_finds_each_object_where_it_first_appears(kind):
    steps = run(scene(blue_from=3), FirstFrame(kind))
    assert [step.prompted for step in steps] == [("1",), (), (), ("2",), (), ()]
    assert min(iou(steps[-1], 1), iou(steps[-1], 2)) == 1.0


def test_clicks_stop_where_there_is_nothing_to_correct():
    steps = run(scene(), FirstFrame("5-click"))
    assert steps[0].clicks == 2, "one click for each object was enough"


def test_an_unknown_first_prompt_is_refused():
    with pytest.raises(InvalidInput, match="mask, box, 1-click"):
        FirstFrame("7-click")


def test_an_object_of_one_row_of_pixels_can_be_boxed():
    mask = np.zeros((64, 64), bool)
    mask[63, 5:9] = True
    events = [Event(1, "image", Frame(picture({}), 1)), Event(2, "truth", Truth(1, {1: mask}))]
    assert run(Script(script=events, truth=True), FirstFrame("box"))[0].prompted == ("1",)


def test_an_online_user_steps_in_only_where_a_mask_is_bad():
    user = Online(most_frames=3)
    steps = run(scene(swap_at=3), user)
    assert user.frames == {1: [0, 3, 4], 2: [0]}
    assert [step.prompted for step in steps] == [("1", "2"), (), (), ("1",), ("1",), ()]


def test_a_restart_forgets_what_the_object_was():
    user = Online(method="restart")
    steps = run(scene(swap_at=3), user)
    assert user.frames[1] == [0, 3], "after it the tracker follows the new colour alone"
    assert iou(steps[-1], 1) == 1.0
    assert steps[-1].tracks[-1].prompted_frames == 1


def test_the_baseline_gives_the_mask_of_a_single_image_to_the_tracker():
    given = []
    user = Online(method="sam", segmenter=tracker())

    def watching(moment, tracks, give):
        def note(prompt):
            given.append(prompt)
            return give(prompt)

        user(moment, tracks, note)

    run(scene(swap_at=3), watching)
    assert all(prompt.mask is not None and not len(prompt.points) for prompt in given)
    assert given[0].mask.sum() == 12 * 12


def test_the_baseline_needs_a_segmenter():
    with pytest.raises(InvalidInput, match="segmenter"):
        Online(method="sam")


def test_each_offline_pass_adds_the_worst_frame():
    first = Offline(clicks=1)
    run(scene(swap_at=4), first)
    assert first.plan == {1: [0], 2: [0]}
    assert first.iou[1][3] == 1.0 and first.iou[1][4] == 0.0
    followed = tracker()
    second = first.revise(scene(swap_at=4), followed)
    assert second.plan == {1: [0, 4], 2: [0]}, "nothing was wrong with the second object"
    steps = list(replay(scene(swap_at=4), followed, second, recorded_prompts=False))
    assert [step.prompted for step in steps] == [("1", "2"), (), (), (), ("1",), ()]
    assert steps[4].given[0].prompt is second.given[1, 4][0], "the clicks of an earlier pass are given again"


class Remembering(ColourModel):
    """Finds every colour that its prompted memories have, whether they lie behind or ahead."""

    def encode_memory(self, features, mask_logits, object_score, *, binarize):
        inside = functional.interpolate((mask_logits > 0).float(), size=features.stride4.shape[-2:])
        colour = (features.stride4 * inside).sum(dim=(2, 3)) / inside.sum(dim=(2, 3)).clamp(min=1)
        return functional.pad(colour, (0, 1))[:, None].expand(-1, 16, -1).clone()

    def attend(self, features, memories):
        self.seen = [] if memories is None else memories.tokens[0, memories.time_code[0] == PROMPTED_TIME_CODE]
        return super().attend(features, memories)

    def decode(self, view, features, prompt=None, **options):
        if prompt is not None:
            return super().decode(view, features, prompt, **options)
        views = [tokens[0][None, :, None, None].expand_as(view) for tokens in self.seen]
        found = [super(Remembering, self).decode(one, features, prompt, **options) for one in views]
        return replace(found[0], logits=torch.stack([one.logits for one in found]).amax(dim=0))


def changing(count=8):
    """An object that is red, then red and green, and in the last image green alone."""
    script = []
    for index in range(count):
        stamp, colours = 1000 * (index + 1), [RED][: index < count - 1] + [GREEN][: index > 0]
        image = picture({colour: {RED: (8, 8), GREEN: (40, 40)}[colour] for colour in colours})
        masks = {1: np.logical_or.reduce([seen(image, colour) for colour in colours])}
        script += [Event(stamp, "image", Frame(image, stamp)), Event(stamp + 1, "truth", Truth(stamp, masks))]
    return Script(script=script, truth=True)


def test_a_correction_on_a_late_frame_helps_the_frames_before_it_in_the_next_pass():
    recording, followed, user = changing(), Tracker(Remembering()), Offline(clicks=1)

    def scores():
        return [iou(step, 1) for step in replay(recording, followed, user, recorded_prompts=False)]

    assert scores() == [1, *[0.5] * 6, 0]
    user = user.revise(recording, followed)
    assert user.plan == {1: [0, 7]}
    assert scores() == [1] * 8


def test_passes_over_a_recording_hold_no_more_memories_than_it_was_prompted_and_recent_ones():
    recording, followed, user = scene(count=60, swap_at=30), tracker(remembered_frames=4), Offline(clicks=1)
    held = []
    for _ in range(6):
        for _ in replay(recording, followed, user, recorded_prompts=False):
            held.append(max([len(one.bank) for one in followed._objects.values()], default=0))
        user = user.revise(recording, followed)
    assert len(user.plan[1]) == 7
    assert max(held) <= 7 + RECENT_MEMORIES + 4


def test_single_images_are_scored_after_each_number_of_clicks():
    result = segment_images(moments_of(scene(count=5)), tracker(), clicks=(1, 3), every=2)
    assert result.iou.shape == (6, 2), "three images, two objects"
    assert result.mean == {1: 1.0, 3: 1.0}


def test_clicks_go_to_the_largest_error_that_is_left():
    followed, image = tracker(), picture({RED: (8, 8), GREEN: (40, 40)})
    followed.track(Frame(image, 1))
    given = []

    def give(prompt: Prompt):
        given.append(prompt)
        return followed.prompt(prompt)

    click(TrueObject("both", image.any(axis=2)), None, 2, give)
    assert [prompt.points[0].tolist() for prompt in given] == [[15, 15], [47, 47]]
    assert [int(prompt.labels[0]) for prompt in given] == [1, 1]
