"""What is exported is run by ONNX Runtime, and answers as PyTorch does."""

import json

import pytest
import torch
from engines.methods import CASES, assert_methods_agree
from tiny_models import FAMILIES, tiny_model

from sam2_ros.engines import onnx
from sam2_ros.engines.graphs import graphs
from sam2_ros.errors import CheckpointError, MissingDependency
from sam2_ros.model.sizes import BASE_PLUS, EDGETAM, EMBEDDED, EMBEDDED_LITE, LARGE, SMALL, TEST, TINY

#: The smallest of each family, and those that people use.
SIZES = {**FAMILIES, "SAM 2.0": TEST.as_version_2_0()}
LARGER = {
    "embedded": EMBEDDED,
    "embedded_lite": EMBEDDED_LITE,
    "edgetam": EDGETAM.at(256),
    "tiny": TINY.at(512),
    "small": SMALL.at(256),
    "base_plus": BASE_PLUS.at(256),
    "large": LARGE.at(256),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the exported smallest model."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path_factory.mktemp("onnx") / "test"
    onnx.export(tiny_model(), path)
    return path


@pytest.mark.parametrize("name", [*SIZES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGER)])
def test_the_exported_methods_answer_as_those_of_the_model(tmp_path, name):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    model = tiny_model((SIZES | LARGER)[name])
    onnx.export(model, tmp_path)
    assert not model.training
    exported = onnx.load(tmp_path)
    assert (exported.size, exported.checksum()) == (model.size, model.checksum())
    for case in CASES:
        assert_methods_agree(model, exported, case)


def test_a_file_for_each_graph_and_a_card_that_says_names_and_shapes(folder):
    names = [graph.name for graph in graphs(tiny_model())]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*(f"{name}.onnx" for name in names), "model.json"])
    card = json.loads((folder / "model.json").read_text())
    assert list(card["graphs"]) == names and card["size"]["image_size"] == 128
    tokens = card["graphs"]["attention"]["inputs"]["tokens"]
    assert tokens == {"shape": ["N", "M", 64, 16], "dtype": "float32"}


def test_the_progress_names_every_file_that_is_written(tmp_path):
    pytest.importorskip("onnx", reason="onnx is not installed")
    told = []
    written = onnx.export(tiny_model(), tmp_path, told.append)
    assert [line.split(" (")[0] for line in told] == [str(path) for path in written]
    assert all(path.is_file() for path in written)


def test_a_folder_that_holds_no_export_is_refused_with_its_name(tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path} is no model that sam2_ros export-onnx wrote"):
        onnx.load(tmp_path)


def test_an_export_of_another_version_is_refused(tmp_path):
    (tmp_path / "model.json").write_text('{"version": 0}')
    with pytest.raises(CheckpointError, match="of another version of sam2_ros; export the model again"):
        onnx.load(tmp_path)


def test_a_damaged_file_is_refused_with_its_name(folder, tmp_path):
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "attention.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"attention.onnx cannot be loaded .* export the model again"):
        onnx.load(tmp_path)


def test_without_onnx_runtime_a_sentence_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(MissingDependency, match=r"pip install 'sam2_ros\[onnx\]'"):
        onnx.load(folder)


def test_the_threads_that_were_chosen_are_those_of_the_engine(folder, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    threads = []

    def session(path, options, providers):
        threads.append(options.intra_op_num_threads)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    onnx.load(folder, threads=3)
    onnx.load(folder)
    assert threads == [3] * 6 + [torch.get_num_threads()] * 6
