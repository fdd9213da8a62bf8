"""The memory rules, checked against a slow, unbounded statement of the official ones."""

import random

import pytest

from sam2_ros.tracking.memory import PROMPTED_TIME_CODE, RECENT_MEMORIES, MemoryBank, Sighting


def filled(frames, prompted=(), **limits):
    bank = MemoryBank(**limits)
    for index in range(frames):
        bank.keep(Sighting(index, index in prompted), f"memory {index}", f"pointer {index}")
    return bank


def official_view(index, prompted, recent, limit, first):
    """The released rules over everything that ever happened, as (memories, pointers)."""
    others = sorted((p for p in prompted if p not in (index, first)), key=lambda p: (abs(p - index), p))
    chosen = sorted(([first] if first != index else []) + others[: limit - (first != index)])
    rest = (set(recent) | set(prompted)) - set(chosen) - {index}
    tokens = [(p, PROMPTED_TIME_CODE) for p in chosen]
    tokens += [(index - d, d - 1) for d in range(6, 0, -1) if index - d in rest]
    pointers = [(p, index - p) for p in chosen if p < index]
    pointers += [(index - d, d) for d in range(1, 16) if index - d in rest]
    return tokens, pointers


def test_the_first_frame_of_an_object_has_no_past():
    bank = filled(1, prompted=[0])
    assert not bank.has_past(0)
    assert bank.has_past(1)
    assert bank.past(0).lengths == (0, 0)


def test_a_recent_frame_is_seen_as_memory_for_six_frames_and_as_pointer_for_fifteen():
    past = filled(40, prompted=[0]).past(40)
    assert past.tokens == [("memory 0", 6)] + [(f"memory {40 - d}", d - 1) for d in range(6, 0, -1)]
    assert past.pointers == [("pointer 0", 40)] + [(f"pointer {40 - d}", d) for d in range(1, 16)]


def test_the_first_prompt_always_takes_part_with_the_nearest_others():
    past = filled(60, prompted=[0, 10, 20, 30, 40], max_prompted=3).past(60)
    assert [memory for memory, code in past.tokens if code == PROMPTED_TIME_CODE] == [
        "memory 0",
        "memory 30",
        "memory 40",
    ]


def test_the_first_prompt_is_the_one_given_first_even_if_a_later_one_is_on_an_older_frame():
    bank = MemoryBank(max_prompted=1)
    bank.keep(Sighting(5, True), "five", "five")
    bank.keep(Sighting(3, True), "three", "three")
    assert bank.past(40).tokens == [("five", PROMPTED_TIME_CODE)]


def test_a_prompted_frame_that_does_not_take_part_is_still_seen_while_it_is_recent():
    bank = filled(20, prompted=[0, 17], max_prompted=1)
    past = bank.past(20)
    assert ("memory 17", 2) in past.tokens
    assert ("pointer 17", 3) in past.pointers


def test_a_frame_never_sees_itself_and_sees_pointers_of_the_past_only():
    bank = filled(30, prompted=[0, 25])
    assert "memory 25" not in [memory for memory, _ in bank.past(25).tokens]
    assert ("memory 25", PROMPTED_TIME_CODE) in bank.past(20).tokens
    assert "pointer 25" not in [pointer for pointer, _ in bank.past(20).pointers]


def test_a_prompt_takes_the_place_of_the_unprompted_memory_of_its_frame():
    bank = filled(10, prompted=[0])
    bank.keep(Sighting(7, True), "corrected", "corrected")
    assert ("memory 7", 2) not in bank.past(10).tokens
    assert ("corrected", PROMPTED_TIME_CODE) in bank.past(10).tokens


def test_forgetting_drops_unprompted_memories_of_the_span_only():
    bank = filled(20, prompted=[0, 12])
    bank.forget_unprompted(10, 15)
    assert [memory for memory, _ in bank.past(18).tokens] == ["memory 0", "memory 12", "memory 16", "memory 17"]


@pytest.mark.parametrize("seed", range(20))
def test_a_pruned_bank_sees_what_an_unpruned_one_would_from_every_remembered_frame(seed):
    chance, ring, limit = random.Random(seed), 8, random.Random(seed).choice([1, 2, 4])
    bank, prompted, recent, first = MemoryBank(max_prompted=limit), set(), set(), None
    for now in range(120):
        wanted = now == 0 or chance.random() < 0.2
        bank.keep(Sighting(now, wanted), now, now)
        first = now if first is None else first
        (prompted if wanted else recent).add(now)
        bank.prune(now - ring)
        for index in range(max(now - ring, 1), now + 2):
            tokens, pointers = official_view(index, prompted, recent, limit, first)
            assert bank.past(index).tokens == tokens
            assert bank.past(index).pointers == pointers


def test_a_rewound_bank_sees_what_was_prompted_from_before_it_and_keeps_it_whatever_is_pruned():
    bank = filled(40, prompted=[0, 8, 16, 24, 32], max_prompted=4)
    bank.rewind()
    assert bank.past(5).tokens == [(f"memory {index}", PROMPTED_TIME_CODE) for index in (0, 8, 16, 24)]
    assert bank.past(5).pointers == [("pointer 0", 5)]
    for index in range(40):
        bank.keep(Sighting(index), "new", "new")
        bank.prune(index)
    assert bank.prompted == [0, 8, 16, 24, 32]
    assert bank.past(40).tokens == [
        *((f"memory {index}", PROMPTED_TIME_CODE) for index in (0, 16, 24, 32)),
        *(("new", distance - 1) for distance in (6, 5, 4, 3, 2, 1)),
    ]
    assert len(bank) <= 5 + RECENT_MEMORIES + 1


def test_what_a_pruned_bank_holds_does_not_grow_with_the_stream():
    bank, sizes = MemoryBank(max_prompted=4), []
    for now in range(500):
        bank.keep(Sighting(now, now % 7 == 0), now, now)
        bank.prune(now - 10)
        sizes.append(len(bank))
    assert max(sizes[100:]) == max(sizes[400:]) < 30
