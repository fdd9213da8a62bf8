"""Which engine computes a model."""

import logging
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from tiny_models import tiny_model

from sam2_ros.engines import choice, cuda_graphs, openvino
from sam2_ros.errors import CheckpointError, InvalidInput, MissingDependency
from sam2_ros.model.precision import computed_in


@pytest.fixture
def engine(monkeypatch):
    """An OpenVINO that is installed, and faster, unless a test says something else."""
    found = openvino.OpenVinoModel(tiny_model(), {}, "float32")
    monkeypatch.setattr(openvino, "is_installed", lambda: True)
    monkeypatch.setattr(openvino, "prepare", lambda model, precision, **_: found)
    monkeypatch.setattr(choice, "is_faster", lambda model, engine: True)
    return found


@pytest.mark.parametrize("wanted, taken", [("auto", True), ("openvino", True), ("torch", False)])
def test_the_engine_that_was_chosen_computes_the_model(engine, wanted, taken):
    model = tiny_model()
    assert choice.with_engine(model, wanted) is (engine if taken else model)


@pytest.mark.parametrize("wanted, taken", [("auto", False), ("openvino", True)])
def test_an_engine_that_is_not_faster_is_taken_only_where_it_was_chosen(engine, monkeypatch, wanted, taken):
    monkeypatch.setattr(choice, "is_faster", lambda model, engine: False)
    model = tiny_model()
    assert choice.with_engine(model, wanted) is (engine if taken else model)


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
def test_an_engine_that_cannot_run_the_model_leaves_it_to_torch_with_a_sentence(engine, monkeypatch, caplog, wanted):
    def fail(model, precision, **_):
        raise CheckpointError("OpenVINO cannot run this model (no such operation)")

    monkeypatch.setattr(openvino, "prepare", fail)
    model = tiny_model()
    with caplog.at_level(logging.WARNING):
        assert choice.with_engine(model, wanted) is model
    assert "OpenVINO cannot run this model (no such operation); PyTorch computes it instead" in caplog.text


def test_without_openvino_auto_is_torch_and_the_choice_of_it_is_refused(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    model = tiny_model()
    assert choice.with_engine(model, "auto") is model
    with pytest.raises(MissingDependency, match=r"sam2_ros\[openvino\]"):
        choice.with_engine(model, "openvino")


def test_an_openvino_that_cannot_be_imported_leaves_auto_to_torch_and_is_an_error_where_it_was_chosen(
    monkeypatch, tmp_path, caplog
):
    package = tmp_path / "openvino" / "__init__.py"
    package.parent.mkdir()
    package.write_text("import a_library_that_is_missing_here")
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    words = "openvino is installed, but cannot be imported (No module named 'a_library_that_is_missing_here')"
    model = tiny_model()
    with caplog.at_level(logging.WARNING):
        assert choice.with_engine(model, "auto", "float32") is model
    assert f"{words}; install it again; PyTorch computes it instead" in caplog.text
    with pytest.raises(MissingDependency, match=re.escape(words)):
        choice.with_engine(model, "openvino")


def test_a_folder_that_is_called_openvino_is_not_the_engine(monkeypatch, tmp_path):
    (tmp_path / "openvino").mkdir()
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not openvino.is_installed()


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
def test_what_openvino_leaves_to_torch_is_in_float32_where_openvino_computes_in_it(engine, wanted):
    found = choice.with_engine(tiny_model(), wanted, "bfloat16")
    computed = computed_in(found, "bfloat16")  # as in a tracker
    assert computed.dtype == torch.float32
    assert choice.engine_of(computed) == "OpenVINO, float32"
    engine.arithmetic = "int8 and bfloat16"
    assert choice.with_engine(tiny_model(), "openvino", "bfloat16") is engine


def test_on_a_gpu_auto_has_cuda_graphs_and_openvino_is_refused(engine, monkeypatch):
    graphed = object()
    monkeypatch.setattr(cuda_graphs, "prepare", lambda model, precision: graphed)
    model = SimpleNamespace(device=torch.device("cuda", 0))
    assert choice.with_engine(model, "auto") is graphed
    assert choice.with_engine(model, "torch") is model
    with pytest.raises(InvalidInput, match="computes on the CPU, not on cuda:0; set device to cpu"):
        choice.with_engine(model, "openvino")


def test_the_engine_has_a_name(engine):
    assert choice.engine_of(engine) == choice.engine_of(computed_in(engine, "bfloat16")) == "OpenVINO, float32"
    assert choice.engine_of(tiny_model()) == "PyTorch, float32"
    assert choice.engine_of(computed_in(tiny_model(), "bfloat16")) == "PyTorch, bfloat16"
