"""A stream has no end: what is forgotten changes nothing, and what is held does not grow."""

import gc
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import EDGETAM_TEST, TEST, tiny_model

from sam2_ros.tracking.memory import MemoryBank
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt


def noise(seed):
    return np.random.RandomState(seed).randint(0, 256, (48, 64, 3), np.uint8)


def click(name, x, y):
    return Prompt(name, points=[(x, y)], labels=[1])


def run(tracker, frames):
    """Logits, pointers and scores of every frame, with new objects and corrections on the way."""
    seen = []
    for n in range(frames):
        tracker.track(Frame(noise(n), n + 1))
        if n in (0, 9):
            tracker.prompt(click(f"object {n}", 20, 20), n + 1)
        if n in (14, 22, 31, 40, 47):
            tracker.prompt(click("object 0", 30, 30), n)  # one frame late
        seen.append(
            [
                (answer.logits.clone(), answer.pointer.clone(), answer.score)
                for answer in (one.estimates[tracker._ring.newest.index] for one in tracker._objects.values())
            ]
        )
    return seen


@pytest.mark.parametrize("size, frames", [(TEST, 60), (EDGETAM_TEST, 30)], ids=["SAM 2.1", "EdgeTAM"])
def test_a_bounded_memory_answers_as_an_unbounded_one_bit_for_bit(size, frames, monkeypatch):
    bounded = run(Tracker(tiny_model(size), TrackerSettings(remembered_frames=2)), frames)
    monkeypatch.setattr(MemoryBank, "prune", lambda *_: None)
    unbounded = run(Tracker(tiny_model(size), TrackerSettings(remembered_frames=1000)), frames)
    for ours, theirs in zip(bounded, unbounded, strict=True):
        for (logits, pointer, score), (their_logits, their_pointer, their_score) in zip(ours, theirs, strict=True):
            assert torch.equal(logits, their_logits)
            assert torch.equal(pointer, their_pointer)
            assert score == their_score


def tensors_held(tracker):
    """Bytes of all tensors that anything of the tracker can reach, the model aside."""
    gc.collect()
    weights = {parameter.data_ptr() for parameter in tracker._model.state_dict().values()}
    storages = {
        thing.untyped_storage().data_ptr(): thing.untyped_storage().nbytes()
        for thing in gc.get_objects()
        if type(thing) is torch.Tensor
    }
    return sum(size for pointer, size in storages.items() if pointer not in weights)


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_memory_stays_flat_over_10000_frames_with_three_objects_coming_and_going():
    tracker, held, resident = Tracker(tiny_model(), TrackerSettings(remembered_frames=8)), [], []
    images = [noise(n) for n in range(8)]
    for n in range(10_000):
        tracker.track(Frame(images[n % 8], n + 1))
        for number in range(3):
            if n % 97 == 10 * number:
                tracker.prompt(click(f"object {number}", 20, 10 * number + 5))
            if n % 291 == 250 + number:
                tracker.forget(f"object {number}")
        if n % 291 == 200:  # three objects, long since corrected: the same point of every round
            held.append(tensors_held(tracker))
            resident.append(resident_bytes())
    assert len(held) == 34 and held[2] == held[-1]
    assert max(resident[3:]) - resident[2] < 16 * 2**20
