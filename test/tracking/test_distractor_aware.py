"""The distractor-aware rule: by hand, against an unbounded one, and behind a tracker."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import RED, ColourModel, frame

from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.tracking.distractor_aware import DistractorAwareMemory
from sam2_ros.tracking.memory import PROMPTED_TIME_CODE, Sighting
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

SIDE = 16
NOTHING = torch.full((3, SIDE, SIDE), -1.0)


def masks(*others, own=(4, 8)):
    """Logits of three candidates: the first covers columns ``own``, the others (x0, x1) or the same."""
    logits = NOTHING.clone()
    for place, (start, end) in enumerate((own, *others, own, own)[:3]):
        logits[place, 4:8, start:end] = 1.0
    return logits


ALONE, ALIKE = masks(), masks((11, 14))


def seen(index, logits=ALONE, *, prompted=False, ious=(0.9, 0.5, 0.5)):
    return Sighting(index, prompted, None, 5.0, ious, 0, logits)


def hidden(index):
    return Sighting(index, False, None, -5.0, (0.9, 0.5, 0.5), 0, NOTHING)


def remembered(sightings, **limits):
    bank = DistractorAwareMemory(**limits)
    for one in sightings:
        bank.keep(one, f"memory {one.index}", f"pointer {one.index}")
    return bank


def followed(frames, alike=(), absent=(), prompted=(0,), **limits):
    """An object on ``frames`` frames, with a look-alike on some, hidden on others."""
    return remembered(
        [
            hidden(n) if n in absent else seen(n, ALIKE if n in alike else ALONE, prompted=n in prompted)
            for n in range(frames)
        ],
        **limits,
    )


def frames_of(bank, index):
    """The frames that are seen from one, as {frame: time code}."""
    return {int(memory.split()[1]): code for memory, code in bank.past(index).tokens}


def test_the_newest_frame_and_every_fifth_before_it_are_seen_as_seven_memories_with_the_prompt():
    assert frames_of(followed(43), 43) == {0: PROMPTED_TIME_CODE, 20: 5, 25: 4, 30: 3, 35: 2, 40: 1, 42: 0}


def test_the_fifth_frames_are_counted_from_the_first_prompt():
    assert frames_of(followed(43, prompted=(2,), absent=(0, 1)), 43) == {2: 6, 17: 5, 22: 4, 27: 3, 32: 2, 37: 1, 42: 0}


def test_frames_on_which_the_object_was_hidden_are_not_seen_however_long_it_was():
    bank = followed(200, absent=range(33, 200))
    assert frames_of(bank, 200) == {0: 6, 10: 5, 15: 4, 20: 3, 25: 2, 30: 1, 32: 0}
    assert bank.past(200).pointers == [("pointer 0", 200)]
    assert bank.past(40).pointers == [("pointer 0", 40)] + [(f"pointer {40 - d}", d) for d in range(8, 16)]


def test_a_frame_with_a_look_alike_is_seen_for_ever_in_place_of_a_recent_one():
    assert frames_of(followed(100, alike=[13]), 100) == {0: 6, 13: 6, 80: 4, 85: 3, 90: 2, 95: 1, 99: 0}
    assert ("pointer 13", 87) in followed(100, alike=[13]).past(100).pointers


def test_at_most_the_three_nearest_anchors_take_part_and_fewer_beside_several_prompts():
    alike = (11, 21, 31, 41)
    assert frames_of(followed(60, alike), 60) == {0: 6, 21: 6, 31: 6, 41: 6, 50: 2, 55: 1, 59: 0}
    bank = followed(60, alike, prompted=(0, 2, 52), max_prompted=4)
    assert [n for n, code in frames_of(bank, 60).items() if code == 6] == [0, 2, 41, 52]


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("unsure", {"ious": (0.8, 0.5, 0.5)}),
        ("too large", {"logits": masks((11, 14), own=(4, 9))}),
        ("too small", {"logits": masks((11, 14), own=(5, 8))}),
        ("a part of the same thing", {"logits": masks((5, 7))}),
        ("an edge that is off", {"logits": masks((4, 9))}),
        ("no other candidate", {"logits": ALIKE[:1], "ious": (0.9,)}),
    ],
)
def test_a_frame_is_no_anchor_when_it_is(why, change):
    sightings = [*(seen(n, prompted=n == 0) for n in range(12)), replace(seen(12, ALIKE), **change)]
    assert 12 not in frames_of(remembered([*sightings, *(seen(n) for n in range(13, 50))]), 50)
    anchors = remembered([*sightings[:-1], seen(12, ALIKE), *(seen(n) for n in range(13, 50))])
    assert 12 in frames_of(anchors, 50), "but for that it would be one"


def test_anchors_are_more_than_five_frames_apart():
    assert [n for n, code in frames_of(followed(30, range(10, 17)), 30).items() if code == 6] == [0, 10, 16]


def test_the_usual_area_is_that_of_the_newest_ten_frames_with_any():
    small, large = masks((11, 14), own=(4, 6)), masks((11, 14), own=(4, 8))
    sightings = [seen(n, large[[0, 0, 0]], prompted=n == 0) for n in range(20)]
    sightings += [seen(n, small[[0, 0, 0]]) for n in range(20, 26)] + [hidden(26), seen(27, small)]
    assert frames_of(remembered(sightings), 60)[27] == PROMPTED_TIME_CODE
    fewer = [*sightings[:22], *(hidden(n) for n in range(22, 27)), seen(27, small)]
    assert frames_of(remembered(fewer), 60)[27] == 0, "the newest one and no anchor"


def test_a_correction_drops_all_anchors_and_a_new_prompt_those_after_it():
    corrected, prompted = followed(60, alike=(11, 21, 51)), followed(60, alike=(11, 21, 51))
    corrected.forget_stale(40, corrected=True)
    prompted.forget_stale(40, corrected=False)
    assert frames_of(corrected, 41) == {0: 6, 10: 5, 15: 4, 20: 3, 25: 2, 30: 1, 32: 0}
    assert frames_of(prompted, 41) == {0: 6, 11: 6, 21: 6, 25: 3, 30: 2, 35: 1, 39: 0}


def test_what_is_prompted_is_no_anchor_any_more():
    bank = followed(30, alike=(11,))
    bank.keep(seen(11, ALIKE, prompted=True), "clicked", "clicked")
    assert bank.past(30).tokens[:2] == [("memory 0", 6), ("clicked", 6)] and len(bank.past(30).tokens) == 7


def test_hidden_since_a_prompt_that_does_not_take_part_an_object_still_sees_a_memory_and_a_pointer():
    bank = remembered([seen(50, prompted=True), seen(20, prompted=True)], max_prompted=1)
    for index in range(21, 49):
        bank.keep(hidden(index), "hidden", "hidden")
    assert bank.has_past(48) and bank.past(48).tokens == [("memory 50", 6)]
    assert bank.past(48).pointers == [("pointer 20", 28)]


@pytest.mark.parametrize("seed", range(20))
def test_a_pruned_bank_sees_what_an_unpruned_one_would_from_every_remembered_frame(seed):
    chance, ring = random.Random(seed), 8
    limit = chance.choice([1, 2, 4])
    pruned, whole = DistractorAwareMemory(max_prompted=limit), DistractorAwareMemory(max_prompted=limit)
    compared, anchors = 0, set()
    for now in range(160):
        sighting = hidden(now) if chance.random() < 0.3 else seen(now, chance.choice([ALONE, ALIKE]))
        prompt = now if now == 0 or chance.random() < 0.02 else None
        late = now - chance.randrange(ring) if now > ring and chance.random() < 0.03 else prompt
        for bank in (pruned, whole):
            bank.keep(replace(sighting, prompted=now == prompt), f"memory {now}", f"pointer {now}")
            if late is not None:
                bank.keep(seen(late, prompted=True), f"prompted {late}", f"prompted {late}")
                bank.forget_stale(late, corrected=now > 0)
                for again in range(late + 1, now + 1):
                    bank.keep(seen(again), f"memory {again}", f"pointer {again}")
        pruned.prune(now - ring)
        for index in range(max(now - ring, 1), now + 2):
            assert pruned.past(index) == whole.past(index)
            compared += len(whole.past(index).tokens) == 7
        anchors |= set(whole._anchors)
    assert compared > 500 and len(anchors) > 3, "views that show nothing"
    assert len(pruned) < 40 and len(pruned._areas) < 40


def test_what_a_pruned_bank_holds_does_not_grow_with_the_stream():
    bank, sizes = DistractorAwareMemory(max_prompted=4), []
    for now in range(600):
        bank.keep(seen(now, ALIKE, prompted=now % 50 == 0), now, now)
        bank.prune(now - 10)
        sizes.append(len(bank) + len(bank._areas) + len(bank._anchors) + len(bank._pointers))
    assert max(sizes[200:300]) == max(sizes[500:]) < 90


def test_a_rewound_bank_sees_what_was_prompted_alone():
    bank = followed(60, alike=(11, 21))
    bank.rewind()
    assert bank.past(5).tokens == [("memory 0", PROMPTED_TIME_CODE)]
    assert bank.past(30).pointers == [("pointer 0", 30)]


def test_what_is_exported_is_seen_alike_where_it_is_restored_also_at_other_indices():
    bank, other = followed(87, alike=(11, 31, 51, 80)), DistractorAwareMemory()
    other.restore(bank.export(86), 102)
    for number in range(3):
        assert other.past(103 + number) == bank.past(87 + number)
        for one, index in ((bank, 87), (other, 103)):
            one.keep(seen(index + number, ALIKE), f"new {number}", f"new {number}")


# -- behind a tracker -------------------------------------------------------------------------

DISTRACTOR_AWARE = TrackerSettings(memory_rule="distractor_aware")


def noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = SAM2(TEST).eval()
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(1.0)
    return model


def walk(tracker, numbers):
    found = []
    for number in numbers:
        tracks = tracker.track(Frame(noise(number), number + 1))
        found.append([(track.object_score, track.mask.tobytes()) for track in tracks])
        if number == 0:
            tracker.prompt(Prompt("cup", points=[(20, 20)], labels=[1]))
    return found


def test_a_tracker_follows_by_the_rule_that_its_settings_name_and_keeps_it(model):
    tracker = Tracker(model, DISTRACTOR_AWARE)
    other = walk(Tracker(model), range(12))
    assert walk(tracker, range(12)) != other, "the rule changes what is found"
    assert tracker.export("cup").rule == "distractor_aware"
    with pytest.raises(Exception, match="memory_rule cannot change while a tracker runs"):
        tracker.settings = TrackerSettings()


def test_a_late_prompt_and_a_correction_bring_the_newer_frames_up_to_date():
    tracker = Tracker(ColourModel(), DISTRACTOR_AWARE)
    for stamp in range(1, 20):
        tracker.track(frame(stamp, {RED: (stamp, 8)}))
        if stamp == 1:
            tracker.prompt(Prompt("cup", points=[(5, 16)], labels=[1]))
    prompted = tracker.prompt(Prompt("cup", points=[(14, 16)], labels=[1]), 10)
    assert prompted.stamp == 10 and prompted.newest[0].mask[16, 24]
    assert tracker.objects == {"cup": 1} and prompted.newest[0].prompted_frames == 2


def test_a_restored_object_is_followed_as_the_original_is(model):
    original, other = Tracker(model, DISTRACTOR_AWARE), Tracker(model, DISTRACTOR_AWARE)
    walk(original, range(23))
    other.track(Frame(noise(99), 1))
    other.restore(original.export("cup"))
    assert walk(other, range(30, 42)) == walk(original, range(30, 42))


def test_a_bounded_memory_answers_as_an_unbounded_one_bit_for_bit(model, monkeypatch):
    bounded = walk(Tracker(model, replace(DISTRACTOR_AWARE, remembered_frames=2)), range(50))
    monkeypatch.setattr(DistractorAwareMemory, "prune", lambda *_: None)
    assert bounded == walk(Tracker(model, replace(DISTRACTOR_AWARE, remembered_frames=1000)), range(50))


def test_what_is_kept_of_one_object_does_not_hold_the_memories_of_the_others(model):
    tracker = Tracker(model, DISTRACTOR_AWARE)
    tracker.track(Frame(noise(0), 1))
    for x in (10, 20, 30, 40):
        tracker.prompt(Prompt("", points=[(x, 20)], labels=[1]))
    tracker.track(Frame(noise(1), 2))
    (kept,) = next(iter(tracker._objects.values())).bank._tokens.values()
    assert kept.untyped_storage().nbytes() == kept.nbytes
