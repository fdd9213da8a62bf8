"""The tracker on a GPU that is not there: nothing is on the wrong device, and the processor waits seldom."""

import logging

import numpy as np
import pytest
import torch
from fake_cuda import CUDA, fake_cuda, on_gpu
from tiny_models import FAMILIES

from sam2_ros.model.full_memory import FULL_MEMORY
from sam2_ros.model.interface import WrappedModel
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.tracking import batches
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.types import Frame, Prompt


@pytest.mark.parametrize("family", FAMILIES)
def test_a_frame_goes_up_once_and_its_answers_are_waited_for_once(family):
    size = FAMILIES[family]
    model, side = SAM2(size).eval(), size.image_size
    with fake_cuda(torch.bfloat16) as transfers:
        tracker = Tracker(on_gpu(model))
        tracker.track(frame(1, side))
        tracker.prompt(Prompt("clicked", points=[(20, 20)], labels=[1]))
        tracker.prompt(Prompt("boxed", box=(5, 5, 30, 30)))
        tracker.prompt(Prompt("masked", mask=np.ones((side, side), bool)))
        tracker.track(frame(2, side))
        tracker.prompt(Prompt("clicked", points=[(25, 25)], labels=[0]), stamp=1)  # late
        transfers.counts.clear()
        tracks = tracker.track(frame(3, side))
    assert [track.name for track in tracks] == ["clicked", "boxed", "masked"]
    assert tracks[0].mask.shape == (side, side) and tracks[0].object_pointer.shape == (size.hidden_dim,)
    # Up: the image; time codes and distances of two groups, as the late click made one memory shorter.
    assert transfers.counts["up without waiting"] in (3, 5)
    # Down: scores of all objects, then pointers and masks, which have come when the latter are there.
    assert transfers.counts["down without waiting"] == transfers.counts["awaited"] == 3
    assert not transfers.counts["up"] and not transfers.counts["down"]


def test_the_start_measures_on_the_gpu_without_recordings_and_in_the_precision_of_the_tracker(monkeypatch, caplog):
    monkeypatch.setattr(batches, "TRIED", (1, 2))
    monkeypatch.setattr(batches, "BUDGET", 600.0)
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    model = SAM2(TEST).eval()
    with fake_cuda(torch.bfloat16), caplog.at_level(logging.INFO):
        wrapped = Watched(on_gpu(model))
        tracker = Tracker(wrapped)
        tracker.warm_up(measured=False)
        assert not waited and set(wrapped.seen) == {torch.bfloat16}
        tracker.warm_up()
    assert waited == 2 * batches.ROUNDS * [CUDA]
    assert "objects are followed at once" in caplog.text


class Watched(WrappedModel):
    """Notes what it computes in."""

    def __init__(self, model):
        super().__init__(model)
        self.seen = []

    def attend(self, features, memories):
        if memories is not None:
            self.seen.append(torch.get_autocast_dtype("cuda"))
            assert memories.tokens.shape[1] < FULL_MEMORY[0]  # none of those that are timed
        return super().attend(features, memories)


def frame(stamp: int, side: int) -> Frame:
    return Frame(np.zeros((side, side, 3), np.uint8), stamp)
