"""The encoder in int8: made from images of the user, used where it was chosen, and refused with what to run."""

import importlib.util
import logging
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import tiny_model

from sam2_ros.engines import choice, openvino, quantisation, trial
from sam2_ros.errors import CheckpointError, InvalidInput, MissingDependency, RecordingError
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.types import Frame

needs_openvino = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(3)
    for number in range(20):
        coarse = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        write_picture(folder / f"{number:05d}.png", coarse.repeat(10, axis=0).repeat(10, axis=1))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM2_ROS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(openvino, "INT8_BOUND", 0.5)  # random weights make large and small values in one tensor
        yield


@pytest.fixture(scope="module")
def quantised(cache, pictures):
    """A model whose encoder was quantised, and what was said."""
    if importlib.util.find_spec("nncf") is None:  # importorskip would import it, and that reports its use
        pytest.skip("NNCF is not installed")
    model, told = tiny_model(), []
    quantisation.quantise(model, pictures, told.append)
    return model, told


@needs_openvino
def test_the_encoder_is_in_int8_and_the_rest_is_as_before(quantised):
    model, _ = quantised
    engine = choice.with_engine(model, "openvino_int8", "float32")
    assert choice.engine_of(engine) == "OpenVINO, int8 and float32"
    images = torch.randn(1, 3, model.size.image_size, model.size.image_size, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        exact, found = (one.encode_image(images).stride16 for one in (model, engine))
    assert 1e-3 < trial._error(found, exact) < openvino.INT8_BOUND
    assert choice.engine_of(choice.with_engine(model, "openvino", "float32")) == "OpenVINO, float32"


@needs_openvino
def test_nothing_is_reported(quantised):
    assert "openvino_telemetry" not in sys.modules


@needs_openvino
def test_the_place_is_told_and_a_second_time_replaces_the_first(quantised, pictures):
    model, (told,) = quantised
    folder = openvino.int8_folder(model)
    assert told == f"{folder}: the encoder in int8, from 20 images; use it with the engine openvino_int8"
    before = (folder / "encoder.bin").stat().st_ino
    quantisation.quantise(model, pictures, lambda _: None)
    assert (folder / "encoder.bin").stat().st_ino != before
    assert [path.name for path in folder.parent.glob(f"{folder.name}*")] == [folder.name]


@needs_openvino
def test_an_encoder_in_int8_that_is_too_far_off_gives_way_to_float32_with_a_sentence(quantised, monkeypatch, caplog):
    model, _ = quantised
    monkeypatch.setattr(openvino, "INT8_BOUND", 1e-4)
    assert choice.engine_of(choice.with_engine(model, "openvino_int8", "float32")) == "OpenVINO, float32"
    assert "OpenVINO is wrong in int8 and float32: the encoder is off by " in caplog.text
    assert "(right is up to 1.0e-04); float32 is tried instead" in caplog.text


@needs_openvino
def test_without_an_encoder_in_int8_the_choice_is_refused_with_what_to_run(cache, caplog):
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(
            InvalidInput, match=r"there is no encoder in int8 .* sam2_ros quantise MODEL IMAGES --image-side 128"
        ),
    ):
        choice.with_engine(tiny_model(object_score=4.0), "openvino_int8")
    assert not caplog.text


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """A model, and the folder with its encoder in int8, which is in float32 here."""
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    model = tiny_model()
    openvino.prepare(model, "float32")
    (exact,) = tmp_path.glob("openvino/*/")
    folder = openvino.int8_folder(model)
    folder.mkdir(parents=True)
    for end in (".xml", ".bin"):
        shutil.copyfile(exact / f"encoder{end}", folder / f"encoder{end}")
    return model, folder


def halve_the_graph(folder):
    os.truncate(folder / "encoder.xml", 500)


def lose_the_weights(folder):
    (folder / "encoder.bin").unlink()


def lose_the_graph(folder):
    (folder / "encoder.xml").unlink()


def replace_it(folder):
    (exact,) = folder.parents[1].glob("openvino/*/")
    for end in (".xml", ".bin"):
        shutil.copyfile(exact / f"attention{end}", folder / f"encoder{end}")


@needs_openvino
@pytest.mark.parametrize("damage", [halve_the_graph, lose_the_weights, lose_the_graph, replace_it])
def test_an_encoder_in_int8_that_is_damaged_or_another_one_is_refused_with_what_to_run(stored, damage):
    model, folder = stored
    assert choice.engine_of(choice.with_engine(model, "openvino_int8", "float32")) == "OpenVINO, int8 and float32"
    damage(folder)
    with pytest.raises(InvalidInput) as refused:
        choice.with_engine(model, "openvino_int8", "float32")
    assert str(folder / "encoder.xml") in str(refused.value)
    assert "sam2_ros quantise MODEL IMAGES --image-side 128" in str(refused.value)
    choice.with_engine(model, "auto", "float32")


def test_without_openvino_the_choice_of_int8_is_refused(monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    with pytest.raises(MissingDependency, match=r"sam2_ros\[openvino\]"):
        choice.with_engine(tiny_model(), "openvino_int8")


def test_without_nncf_a_sentence_says_what_to_install(monkeypatch, pictures):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingDependency, match=r"pip install 'sam2_ros\[int8\]'"):
        quantisation.quantise(tiny_model(), pictures, print)


def test_a_place_that_is_no_recording_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(openvino, "imported", lambda *_: None)
    with pytest.raises(RecordingError, match="does not exist"):
        quantisation.quantise(tiny_model(), tmp_path / "nowhere", print)


def test_the_images_that_are_used_are_spread_over_all():
    frames = [Frame(np.full((8, 8, 3), number, np.uint8)) for number in range(201)]
    for count in (1, quantisation.MOST, 201):
        found = quantisation._inputs(frames[:count], 32)
        assert min(count, quantisation.MOST // 2) < len(found) + 1 <= quantisation.MOST + 1
        steps = np.diff([float(one.mean()) for one in found])
        assert np.allclose(steps, steps[:1], rtol=1e-3)


def test_an_error_of_nncf_is_a_sentence(monkeypatch, pictures, tmp_path):
    def fail(*_, **__):
        raise Exception("this operation has no int8. More of it.\nlines")  # what its errors have in common

    names = SimpleNamespace(MIXED=0, TRANSFORMER=0)
    nncf = SimpleNamespace(quantize=fail, Dataset=list, QuantizationPreset=names, ModelType=names, set_log_level=int)
    modules = {"nncf": nncf, "openvino": SimpleNamespace(Core=int)}
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    monkeypatch.setattr(openvino, "imported", lambda name="openvino", _="": modules[name])
    monkeypatch.setattr(openvino, "read_networks", lambda *_: {"encoder": None})
    with pytest.raises(CheckpointError, match=r"NNCF cannot quantise this model \(this operation has no int8\)"):
        quantisation.quantise(tiny_model(), pictures, print)
