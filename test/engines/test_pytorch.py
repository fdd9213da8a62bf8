"""The precision of PyTorch on a CPU: bfloat16 where the processor has it, the model gains and a trial is right."""

import dataclasses
import logging

import pytest
import torch
from tiny_models import FAMILIES, tiny_model

from sam2_ros.engines import choice, pytorch
from sam2_ros.model import checkpoint
from sam2_ros.model.precision import InPrecision, computed_in
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED, EMBEDDED_LITE, TINY
from sam2_ros.stream.tracker_setup import TrackerSetup

CPU = torch.device("cpu")


def processor(monkeypatch, *instructions):
    """A processor that has these of the instructions for bfloat16, and no others."""
    for name in pytorch.INSTRUCTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda found=name in instructions: found, raising=False)


@pytest.mark.parametrize("instructions", [(name,) for name in pytorch.INSTRUCTIONS])
@pytest.mark.parametrize("name", FAMILIES)
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, instructions, name):
    processor(monkeypatch, *instructions)
    found = choice.with_engine(tiny_model(FAMILIES[name]), "torch")
    assert isinstance(found, InPrecision) and found.dtype == torch.bfloat16
    assert choice.engine_of(found) == "PyTorch, bfloat16"


def test_auto_is_float32_without_it_and_where_torch_is_too_old_to_say(monkeypatch):
    model = tiny_model()
    processor(monkeypatch)
    assert choice.with_engine(model, "torch") is model
    for name in pytorch.INSTRUCTIONS:
        monkeypatch.delattr(torch.cpu, name)
    assert choice.with_engine(model, "torch") is model


@pytest.mark.parametrize("size", [EMBEDDED, EMBEDDED_LITE], ids=lambda size: size.name)
def test_auto_leaves_a_model_in_float32_that_gains_little(monkeypatch, size):
    processor(monkeypatch, *pytorch.INSTRUCTIONS)
    assert pytorch.tried("auto", CPU, size.name) == torch.float32
    assert pytorch.tried("bfloat16", CPU, size.name) == torch.bfloat16
    assert pytorch.tried("auto", CPU, TINY.name) == torch.bfloat16


def test_what_is_chosen_is_computed_on_any_processor(monkeypatch, caplog):
    model = tiny_model()
    processor(monkeypatch)
    assert choice.with_engine(model, "torch", "bfloat16").dtype == torch.bfloat16
    assert "this processor has no instructions for it; float32 is much faster" in caplog.text
    processor(monkeypatch, *pytorch.INSTRUCTIONS)
    assert choice.with_engine(model, "torch", "float32") is model


@pytest.mark.parametrize(
    "method, spoil, words",
    [
        ("encode_image", lambda found: dataclasses.replace(found, stride8=found.stride8 * 1.1), "encoder is off by 1"),
        (
            "encode_image",
            lambda found: dataclasses.replace(found, stride4=found.stride4 * torch.nan),
            "encoder is off by nan",
        ),
        ("attend", lambda found: found * float("nan"), "attention is off by nan"),
        ("encode_memory", lambda found: found * float("inf"), "memory_encoder is off by"),
    ],
)
@pytest.mark.parametrize("wanted", ["auto", "bfloat16"])
def test_a_precision_that_is_wrong_gives_way_to_float32_with_a_sentence(
    monkeypatch, caplog, method, spoil, words, wanted
):
    processor(monkeypatch, *pytorch.INSTRUCTIONS)
    right = getattr(InPrecision, method)
    monkeypatch.setattr(InPrecision, method, lambda *args, **options: spoil(right(*args, **options)))
    with caplog.at_level(logging.WARNING):
        found = choice.with_engine(tiny_model(), "torch", wanted)
    assert f"PyTorch is wrong in bfloat16 on this processor: the {words}" in caplog.text
    assert caplog.text.rstrip().endswith("; float32 is used")
    assert (
        choice.engine_of(computed_in(found, wanted)) == "PyTorch, float32"
    )  # also where a tracker is told to use bfloat16


@pytest.mark.parametrize(
    "message, words",
    [
        ("\"addmm_impl_cpu_\" not implemented for 'Half'\nmore", "\"addmm_impl_cpu_\" not implemented for 'Half'"),
        ("", "RuntimeError"),
    ],
)
def test_an_operation_that_torch_has_not_gives_way_to_float32_with_a_sentence(monkeypatch, caplog, message, words):
    def fail(model, features, memories):
        raise RuntimeError(message)

    monkeypatch.setattr(InPrecision, "attend", fail)
    found = choice.with_engine(tiny_model(), "torch", "float16")
    assert f"wrong in float16 on this processor: {words}; float32" in caplog.text
    assert choice.engine_of(computed_in(found, "float16")) == "PyTorch, float32"


def test_on_a_gpu_the_tracker_computes_the_model_itself():
    model = tiny_model()
    model.__class__ = type("OnGpu", (SAM2,), {"device": torch.device("cuda", 0)})
    assert choice.with_engine(model, "torch", "bfloat16") is model


@pytest.mark.parametrize("instructions, expected", [(pytorch.INSTRUCTIONS, "bfloat16"), ((), "float32")])
def test_results_say_what_auto_stands_for(monkeypatch, tmp_path, instructions, expected):
    path = str(tmp_path / "model.safetensors")
    checkpoint.save(tiny_model(), path)
    processor(monkeypatch, *instructions)
    setup = TrackerSetup(path, device="cpu", chosen_engine="torch")
    assert setup.computed() == {"device": "cpu", "precision": expected, "model_engine": "torch"}
    assert setup.computed_by() == f"PyTorch, {expected}"
    assert dataclasses.replace(setup, settings=(("precision", "float32"),)).computed_by() == "PyTorch, float32"


def test_results_name_the_precision_that_is_used_after_another_was_wrong(monkeypatch, tmp_path):
    path = str(tmp_path / "model.safetensors")
    checkpoint.save(tiny_model(), path)
    monkeypatch.setattr(InPrecision, "attend", lambda model, features, memories: features.stride16 * torch.nan)
    setup = TrackerSetup(path, device="cpu", chosen_engine="torch", settings=(("precision", "bfloat16"),))
    assert setup.computed()["precision"] == "float32"
