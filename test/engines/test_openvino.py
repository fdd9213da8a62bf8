"""The engine OpenVINO: it answers as PyTorch, is converted once, and is left out with a sentence where it is wrong."""

import sys

import pytest
from engines.methods import CASES, assert_methods_agree
from tiny_models import EMBEDDED_TEST, FAMILIES, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode

from sam2_ros.engines import choice, openvino
from sam2_ros.errors import CheckpointError, MissingDependency
from sam2_ros.model.precision import InPrecision

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
    library = openvino.imported()
    for model in (tiny_model(object_score=2.0), tiny_model(object_score=3.0), tiny_model(FAMILIES["SAM 2.1"].at(192))):
        openvino.converted(library, model, ())
    assert len(set(made)) == 3


@needs_openvino
def test_only_the_conversions_that_were_used_last_are_kept(cache, monkeypatch):
    monkeypatch.setattr(openvino, "_convert", lambda library, parts, folder: folder.mkdir())
    library = openvino.imported()
    for score in range(openvino.KEPT + 3):
        newest = openvino.converted(library, tiny_model(object_score=10.0 + score), ())
    assert newest.is_dir() and len(list(cache.iterdir())) == openvino.KEPT


@needs_openvino
def test_nothing_is_reported_and_nothing_written_into_the_home(cache):
    openvino.imported()
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


class WithBFloat16:
    """The Core of OpenVINO on a processor that computes in bfloat16: its answers, not its arithmetic."""

    fails_in = ""  # cannot be compiled in it

    def __init__(self, core) -> None:
        self.core, self.options = core, []

    def get_property(self, device, name):
        return ["FP32", "BF16"]

    def read_model(self, path):
        return self.core.read_model(path)

    def compile_model(self, network, device, options):
        self.options.append(options)
        if options["INFERENCE_PRECISION_HINT"] == self.fails_in:
            raise RuntimeError("Check 'known' failed at src/plugin.cpp:12:\nUnsupported property SNIPPETS_MODE\n")
        return self.core.compile_model(network, device, options | {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture
def with_bfloat16(cache, monkeypatch):
    """The last Core that was made, on such a processor."""
    library = openvino.imported()
    real, made = library.Core, []
    monkeypatch.setattr(library, "Core", lambda: made.append(WithBFloat16(real())) or made[-1])
    return lambda: made[-1]


def go_wrong_in(monkeypatch, *arithmetics):
    """Let the decoder answer a quarter too much in these."""
    right = openvino.OpenVinoModel.decode

    def wrong(engine, *arguments, **options):
        found = right(engine, *arguments, **options)
        if engine.arithmetic in arithmetics:
            found.logits.mul_(1.25)
        return found

    monkeypatch.setattr(openvino.OpenVinoModel, "decode", wrong)


@needs_openvino
@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_bfloat16_that_is_right_is_taken_without_the_fused_attention_that_is_known_to_be_wrong(
    with_bfloat16, precision, caplog
):
    assert choice.engine_of(openvino.prepare(tiny_model(), precision)) == "OpenVINO, bfloat16"
    options = with_bfloat16().options
    assert [one["INFERENCE_PRECISION_HINT"] for one in options] == ["bf16"] * 3
    assert all(one["SNIPPETS_MODE"] == "DISABLE" for one in options)
    assert not caplog.text


@needs_openvino
def test_a_model_whose_encoder_needs_float32_is_not_tried_in_bfloat16(with_bfloat16, caplog):
    model = tiny_model(EMBEDDED_TEST)
    assert choice.engine_of(choice.with_engine(model, "openvino")) == "OpenVINO, float32"
    assert {one["INFERENCE_PRECISION_HINT"] for one in with_bfloat16().options} == {"f32"}
    assert not caplog.text
    choice.with_engine(model, "openvino", "bfloat16")
    assert "precision bfloat16 was chosen; OpenVINO computes in float32 here" in caplog.text


@needs_openvino
def test_bfloat16_that_is_wrong_gives_way_to_float32_with_a_sentence(with_bfloat16, monkeypatch, caplog):
    go_wrong_in(monkeypatch, "bfloat16")
    engine = choice.with_engine(tiny_model(), "openvino")
    assert choice.engine_of(engine) == "OpenVINO, float32"
    assert with_bfloat16().options[-1]["INFERENCE_PRECISION_HINT"] == "f32"
    assert "SNIPPETS_MODE" not in with_bfloat16().options[-1]
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == (
        "OpenVINO is wrong in bfloat16: the tracking_decoder is off by 2.5e-01 (right is up to 1.0e-02); "
        "float32 is tried instead"
    )


@needs_openvino
def test_bfloat16_that_this_version_of_openvino_cannot_compile_gives_way_to_float32(with_bfloat16, monkeypatch, caplog):
    monkeypatch.setattr(WithBFloat16, "fails_in", "bf16")
    assert choice.engine_of(choice.with_engine(tiny_model(), "openvino")) == "OpenVINO, float32"
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == "OpenVINO is wrong in bfloat16: Unsupported property SNIPPETS_MODE; float32 is tried instead"


@needs_openvino
@pytest.mark.parametrize("precision, used", [("bfloat16", "float32"), ("auto", "bfloat16")])
def test_a_memory_encoder_that_pytorch_computes_wrong_in_bfloat16_is_noticed_where_it_is_used(
    with_bfloat16, monkeypatch, caplog, precision, used
):
    right = InPrecision.encode_memory
    monkeypatch.setattr(InPrecision, "encode_memory", lambda *given, **options: 1.1 * right(*given, **options))
    found = choice.with_engine(tiny_model(), "openvino", precision)
    assert choice.engine_of(found) == f"OpenVINO, {used}"
    assert ("the memory_encoder is off by 1.0e-01" in caplog.text) == (used == "float32")


@needs_openvino
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_precision_that_openvino_does_not_compute_in_is_said(cache, monkeypatch, caplog, precision):
    monkeypatch.setattr(openvino, "_arithmetics", lambda core, wanted: ["float32"])
    assert choice.engine_of(choice.with_engine(tiny_model(), "openvino", precision)) == "OpenVINO, float32"
    assert f"precision {precision} was chosen; OpenVINO computes in float32 here" in caplog.text
    caplog.clear()
    choice.with_engine(tiny_model(), "openvino", "auto")
    assert not caplog.text


@needs_openvino
def test_a_model_that_cannot_be_converted_is_said_in_the_log(cache, monkeypatch, caplog):
    library = openvino.imported()
    convert = library.convert_model
    monkeypatch.setattr(library, "convert_model", lambda *_, **__: convert("no such model", verbose=False))
    model = tiny_model(object_score=0.5)
    assert choice.with_engine(model, "openvino") is model
    assert "OpenVINO cannot run this model" in caplog.text and "PyTorch computes it instead" in caplog.text


class Recorded(TorchDispatchMode):
    """The operations of torch on the thread that enters it."""

    def __init__(self) -> None:
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.names.add(function.overloadpacket.__name__)
        return function(*arguments, **(options or {}))


@needs_openvino
def test_nothing_large_is_computed_by_torch_on_the_thread_that_prepares_the_engine(cache):
    model = tiny_model()
    openvino.prepare(model, "float32")
    with Recorded() as recorded:
        engine = choice.with_engine(model, "openvino", "float32")
    assert choice.engine_of(engine) == "OpenVINO, float32"
    assert not recorded.names & {"mm", "addmm", "bmm", "matmul", "linear", "convolution"}, recorded.names


@needs_openvino
def test_an_engine_that_is_wrong_in_everything_leaves_the_model_to_torch_with_a_sentence(
    with_bfloat16, monkeypatch, caplog
):
    go_wrong_in(monkeypatch, "bfloat16", "float32")
    model = tiny_model()
    assert choice.with_engine(model, "openvino") is model
    first, second, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("OpenVINO is wrong in bfloat16: ") and second.startswith("OpenVINO is wrong in float32: ")
    assert last == "OpenVINO computes something else than PyTorch on this machine; PyTorch computes it instead"


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
