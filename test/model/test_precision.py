import pytest
import torch

from sam2_ros.model.precision import precision

CUDA = torch.device("cuda:1")


@pytest.mark.parametrize(
    "capability, dtype",
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((8, 7), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability if device == CUDA else (0, 0))
    assert precision("auto", CUDA) == dtype


def test_a_processor_computes_in_float32_and_a_wish_is_granted():
    assert precision("auto", torch.device("cpu")) == torch.float32
    assert precision("float16", CUDA) == torch.float16
