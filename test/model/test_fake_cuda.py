"""No GPU is needed to find out that every method of a model stays on one, and that nothing is waited for."""

import dataclasses

import numpy as np
import pytest
import torch
from engines.methods import Case, answers
from fake_cuda import CUDA, fake_cuda, on_gpu
from tiny_models import EDGETAM_TEST

from sam2_ros.model import pixels
from sam2_ros.model.interface import Memories
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, TEST

SAM2_0 = dataclasses.replace(TEST, name="test_2_0", version_2_1=False)
EMBEDDED = EMBEDDED_LITE.at(64)
#: One small size of every family, with a number of objects, memories and pointers, and what is computed in.
CASES = [
    (SAM2_0, Case(1, 1, 1, 1), torch.float32),
    (TEST, Case(3, 7, 16, 2), torch.bfloat16),
    (EDGETAM_TEST, Case(2, 7, 16, 3), torch.bfloat16),
    (EMBEDDED, Case(2, 2, 5, 2), torch.bfloat16),
]


class Watched:
    """A model on a GPU none of whose methods may copy from or to the processor."""

    def __init__(self, model, transfers):
        self.size, self.device = model.size, model.device
        self._model, self._transfers = model, transfers

    def __getattr__(self, name):
        def call(*args, **options):
            before = dict(self._transfers.counts)
            result = getattr(self._model, name)(*args, **options)
            assert dict(self._transfers.counts) == before, f"{name} copies"
            return result

        return call


@pytest.mark.parametrize("size, case, dtype", CASES, ids=lambda one: getattr(one, "name", None))
def test_every_method_stays_on_the_gpu_and_copies_nothing(size, case, dtype):
    model = SAM2(size).eval()
    with fake_cuda() as transfers, torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        found = answers.__wrapped__(Watched(on_gpu(model), transfers), case)
    assert {value.device for value in found.values()} == {CUDA}


def test_what_is_on_the_wrong_device_is_found():
    model = SAM2(TEST).eval()
    with fake_cuda():
        features = on_gpu(model).encode_image(torch.zeros(1, 3, TEST.image_size, TEST.image_size, device=CUDA))
        tokens = torch.zeros(1, 1, TEST.grid**2, TEST.memory_dim, device=CUDA)
        pointers, distance = torch.zeros(1, 1, TEST.hidden_dim, device=CUDA), torch.ones(1, 1)
        with pytest.raises(RuntimeError, match="device"):
            model.attend(
                features, Memories(tokens, torch.zeros(1, 1, dtype=torch.int64, device=CUDA), pointers, distance)
            )


def test_an_image_goes_up_once_as_bytes_and_is_not_waited_for():
    with fake_cuda() as transfers:
        image = pixels.normalise(np.zeros((48, 64, 3), np.uint8), 128, CUDA)
    assert image.device == CUDA and image.dtype == torch.float32
    assert transfers.counts == {"up without waiting": 1}


@pytest.mark.parametrize("exclusive", [True, False])
def test_masks_of_any_number_of_objects_come_down_in_one_piece(exclusive):
    with fake_cuda() as transfers:
        masks = pixels.to_masks(torch.zeros(3, 1, 16, 16, device=CUDA), (48, 61), exclusive)
    assert masks.shape == (3, 48, 61) and masks.dtype == np.bool_
    assert transfers.counts == {"down without waiting": 1, "awaited": 1}


def test_small_holes_are_filled_on_the_gpu_and_larger_ones_with_the_help_of_the_processor():
    with fake_cuda() as transfers:
        logits = torch.zeros(2, 1, 16, 16, device=CUDA)
        assert pixels.fill_holes(logits, 8).device == CUDA
        assert not transfers.counts
        assert pixels.fill_holes(logits, 4096).device == CUDA
        assert transfers.waits == 1
