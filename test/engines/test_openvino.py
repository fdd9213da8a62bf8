"""The engine OpenVINO: it answers as PyTorch, is converted once, and is left out with a sentence where it is wrong."""

import sys

import pytest
from engines.methods import CASES, assert_methods_agree
from tiny_models import FAMILIES, tiny_model

from sam2_ros.engines import openvino
from sam2_ros.errors import CheckpointError, MissingDependency

needs_openvino = pytest.mark.skipif(not openvino.is_installed(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for all of these tests, which begins empty, and a home that nothing may be written into."""
    place = tmp_path_factory.mktemp("openvino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(place / "home"))
        patch.setenv("SAM2_ROS_CACHE", str(place / "cache"))
        yield place / "cache" / "openvino"


@needs_openvino
@pytest.mark.parametrize("name", FAMILIES)
def test_the_methods_answer_as_those_of_the_model(cache, name):
    model = tiny_model(FAMILIES[name])
    engine = openvino.prepare(model, "float32")
    assert engine.arithmetic == "float32"
    assert (engine.size, engine.device, engine.precision) == (model.size, model.device, model.precision)
    assert engine.checksum() == model.checksum()
    for case in CASES:
        assert_methods_agree(model, engine, case)


@needs_openvino
def test_a_model_is_converted_once(cache, monkeypatch):
    openvino.prepare(tiny_model(), "float32")
    monkeypatch.setattr(openvino, "_convert", None)  # a call would fail
    openvino.prepare(tiny_model(), "float32")
    assert all(path.is_dir() and path.suffix != ".part" for path in cache.iterdir())


@needs_openvino
def test_other_weights_and_sides_are_other_conversions(cache, monkeypatch):
    made = []
    monkeypatch.setattr(openvino, "_convert", lambda library, parts, folder: (folder.mkdir(), made.append(folder)))
    library = openvino._imported()
    for model in (tiny_model(object_score=2.0), tiny_model(object_score=3.0), tiny_model(FAMILIES["SAM 2.1"].at(192))):
        openvino.converted(library, model, ())
    assert len(set(made)) == 3


@needs_openvino
def test_only_the_conversions_that_were_used_last_are_kept(cache, monkeypatch):
    monkeypatch.setattr(openvino, "_convert", lambda library, parts, folder: folder.mkdir())
    library = openvino._imported()
    for score in range(openvino.KEPT + 3):
        newest = openvino.converted(library, tiny_model(object_score=10.0 + score), ())
    assert newest.is_dir() and len(list(cache.iterdir())) == openvino.KEPT


@needs_openvino
def test_nothing_is_reported_and_nothing_written_into_the_home(cache):
    openvino._imported()
    assert "openvino_telemetry" not in sys.modules and not (cache.parents[1] / "home").exists()


@needs_openvino
def test_an_engine_that_is_wrong_is_left_out_and_the_log_says_by_how_much(cache, monkeypatch, caplog):
    right = openvino.OpenVinoModel.encode_image

    def wrong(engine, images):
        features = right(engine, images)
        features.stride8.mul_(1.01)
        return features

    monkeypatch.setattr(openvino.OpenVinoModel, "encode_image", wrong)
    with pytest.raises(CheckpointError, match="computes something else than PyTorch"):
        openvino.prepare(tiny_model(), "float32")
    assert "OpenVINO is wrong in float32: the encoder is off by 1.0e-02" in caplog.text


@pytest.mark.parametrize(
    "capabilities, precision, expected",
    [
        (["FP32", "BF16"], "auto", ["bfloat16", "float32"]),
        (["FP32", "BF16"], "float32", ["float32"]),
        (["FP32"], "auto", ["float32"]),
        (["FP32"], "bfloat16", ["float32"]),
    ],
)
def test_bfloat16_is_tried_first_where_the_processor_computes_in_it(capabilities, precision, expected):
    class Core:
        def get_property(self, device, name):
            return capabilities

    assert openvino._arithmetics(Core(), precision) == expected


def test_without_openvino_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependency, match=r"pip install 'sam2_ros\[openvino\]', or choose the engine torch"):
        openvino.prepare(tiny_model())
