"""The model and the parameters of a recording: what of them counts, what is left out, and what is said of it."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from edgetam_weights import edgetam_weights
from recordings.bags import IMAGE, PROMPT, image_message, prompt_message, stamp, write_bag
from run_command import run_command

from sam2_ros import cli, recordings
from sam2_ros.commands.evaluate import job_from
from sam2_ros.engines import openvino
from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation import batch
from sam2_ros.evaluation.baselines import BaselineSetup
from sam2_ros.file_processing import result_bag
from sam2_ros.model import checkpoint
from sam2_ros.model.names import known_names
from sam2_ros.recordings.bags.notes import ABOUT, STRING, about, note
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.stream.recorded_setup import OF_NODE, as_recorded
from sam2_ros.stream.tracker_setup import TrackerSetup, named_value, settings_from

pytestmark = pytest.mark.usefixtures("quick_plots")

PARAMETERS = {
    "use_sim_time": False,
    "qos_overrides./image.subscription.depth": 5,
    "device": "cuda",
    "threads": 2,
    "hole_area": 4,
    "visible_margin": 2,
    "prompt_tolerance": 0.3,
    "max_objects": 64,
}


def noted_bag(path, parameters, model=None, node="/sam2_ros", **bag):
    """The usual small bag with the notes of a recorder."""
    write_bag(path.with_name(f"{path.name}_before"), count=4, **bag)
    with BagWriter(path, kept_free=0) as writer:
        note(writer, ABOUT, {"node": node, "model": model or {}, "parameters": parameters})
        for event in recordings.open(path.with_name(f"{path.name}_before"), more_topics="*").events():
            writer.copy(event.stored)
    return path


@pytest.fixture
def bag(tmp_path, weights):
    """A recording of a node that had other weights and some other parameters."""
    identity = {"name": "test", "sha256": checkpoint.identify(weights).sha256}
    return noted_bag(tmp_path / "bag", PARAMETERS | {"model": str(weights)}, identity)


def test_what_was_recorded_stands_where_nothing_was_chosen(bag, weights):
    setup, (sentence,) = as_recorded(TrackerSetup(), recordings.open(bag))
    assert setup.model == str(weights)
    assert (setup.tracker_settings().hole_area, setup.tracker_settings().visible_margin) == (4, 2.0)
    assert (setup.session().prompt_tolerance, setup.session().max_objects) == (0.3, 64)
    assert sentence == (
        f"as recorded of /sam2_ros: model {weights}, hole_area 4, visible_margin 2, prompt_tolerance 0.3, "
        "other settings are the defaults"
    )


def test_how_depth_was_read_is_recorded_too(tmp_path, weights):
    noted = {"model": str(weights), "depth_scale": 0.0005, "image_is_rectified": True, "object_frames": True}
    setup, (sentence,) = as_recorded(TrackerSetup(), recordings.open(noted_bag(tmp_path / "bag", noted)))
    assert (setup.depth().depth_scale, setup.depth().image_is_rectified) == (0.0005, True)
    assert "depth_scale 0.0005, image_is_rectified True" in sentence


def test_settings_that_must_fit_together_are_checked_together(tmp_path, weights):
    given = settings_from(["depth_near=12", "depth_far=50"])
    assert TrackerSetup(settings=tuple(given.items())).depth().depth_near == 12.0
    setup, _ = as_recorded(
        TrackerSetup(), recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights)} | given))
    )
    assert (setup.depth().depth_near, setup.depth().depth_far) == (12.0, 50.0)
    with pytest.raises(InvalidInput, match="depth_near must be below depth_far, got 12.0 and 10.0"):
        TrackerSetup(settings=tuple(settings_from(["depth_near=12"]).items())).check()


def test_what_is_chosen_goes_before_what_was_recorded(bag):
    chosen = settings_from(["hole_area=16", "prompt_tolerance=1"])
    setup, (sentence,) = as_recorded(TrackerSetup("embedded", settings=tuple(chosen.items())), recordings.open(bag))
    assert (setup.model, setup.tracker_settings().hole_area, setup.session().prompt_tolerance) == ("embedded", 16, 1)
    assert sentence == "as recorded of /sam2_ros: visible_margin 2, other settings are the defaults"


def test_a_recording_without_notes_leaves_everything_as_it_was(tmp_path, data_set):
    for recording in (recordings.open(write_bag(tmp_path / "bag", count=2)), recordings.find(data_set)[0]):
        assert as_recorded(TrackerSetup(), recording) == (TrackerSetup(), [])
    assert TrackerSetup().model == "embedded" and TrackerSetup().session().max_objects == 65535


def test_what_is_not_known_and_what_cannot_be_is_named_and_left_out(tmp_path):
    odd = {"hole_area": 10**9, "precision": "fp8", "non_overlapping": "no", "tea": 1, "lost_after_frames": 9}
    recording = recordings.open(noted_bag(tmp_path / "bag", odd | {"model": "/robot/best.pt"}))
    setup, (used, left_out) = as_recorded(TrackerSetup(), recording)
    assert dict(setup.settings) == {"lost_after_frames": 9} and setup.model == "embedded"
    assert used.startswith("as recorded of /sam2_ros: model embedded, lost_after_frames 9, ")
    assert left_out == (
        "recorded, but left out: model /robot/best.pt (there is no file /robot/best.pt, and it is not a known name "
        f"({', '.join(known_names())})); hole_area must be at most 4096, got 1000000000; "
        "precision must be one of auto, float32, bfloat16, float16; got 'fp8'; "
        "non_overlapping must be true or false, without quotes; got 'no'; tea is not a parameter of this version"
    )


def test_weights_that_are_others_than_those_that_were_recorded_are_named(tmp_path, weights):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights)}, {"sha256": "f" * 64}))
    setup, (_, left_out) = as_recorded(TrackerSetup(), recording)
    assert setup.model == str(weights)
    assert f"the weights of model {weights} with sha256 ffffffffffff, those here have" in left_out


@pytest.mark.parametrize("name", ["tiny", "edgetam_512"])
def test_a_published_model_that_is_not_here_is_fetched_when_it_is_loaded(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": name}))
    setup, sentences = as_recorded(TrackerSetup(), recording)
    assert setup.model == name and len(sentences) == 1


def test_the_recorded_image_side_belongs_to_the_recorded_model(tmp_path, weights):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights), "image_side": 192}))
    choice, (sentence,) = as_recorded(TrackerSetup(), recording)
    assert (choice.model, choice.image_side, choice.identity()["image_side"]) == (str(weights), 192, 192)
    assert choice.tracker()._model.size.image_size == 192
    assert f"model {weights}, image_side 192, " in sentence
    other, _ = as_recorded(TrackerSetup("embedded"), recording)
    assert (other.image_side, other.identity()["image_side"]) == (0, 256)


@pytest.mark.parametrize("side, in_use", [(128, 128), (0, 128), (64, 64)])
def test_an_image_side_that_is_chosen_goes_before_the_recorded_one(tmp_path, weights, side, in_use):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights), "image_side": 192}))
    choice, (sentence,) = as_recorded(TrackerSetup(chosen_side=side), recording)
    assert choice.identity()["image_side"] == in_use and "image_side" not in sentence


def test_a_chosen_image_side_goes_before_the_one_in_the_recorded_name(tmp_path):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": "embedded_384"}))
    assert as_recorded(TrackerSetup(), recording)[0].identity()["image_side"] == 384
    choice, _ = as_recorded(TrackerSetup(chosen_side=320), recording)
    assert (choice.model, choice.identity()["image_side"]) == ("embedded", 320)


@pytest.mark.parametrize(
    "side, words", [(100, "multiple of 32 pixels, got 100"), ("wide", "image_side"), (-1, "least 0")]
)
def test_a_recorded_image_side_that_cannot_be_is_named_and_left_out(tmp_path, weights, side, words):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights), "image_side": side}))
    choice, (_, left_out) = as_recorded(TrackerSetup(), recording)
    assert choice.image_side == 0 and left_out.startswith("recorded, but left out: ") and words in left_out


def test_a_chosen_image_side_that_the_recorded_model_cannot_take_is_refused(tmp_path, weights):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights)}))
    with pytest.raises(InvalidInput, match="multiple of 32 pixels, got 100"):
        as_recorded(TrackerSetup(chosen_side=100), recording)


def test_the_side_of_a_model_that_is_not_here_is_not_given_to_the_default(tmp_path):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": "/robot/best.pt", "image_side": 512}))
    assert as_recorded(TrackerSetup(), recording)[0].identity()["image_side"] == 256


def test_a_baseline_has_no_settings_of_the_tracker(bag):
    setup, (sentence,) = as_recorded(BaselineSetup("first-mask"), recordings.open(bag))
    assert dict(setup.settings) == {"prompt_tolerance": 0.3, "max_objects": 64} and setup.model == "first-mask"
    assert "hole_area" not in sentence


def test_notes_of_another_node_than_the_prompted_one_and_damaged_ones_do_not_count(tmp_path):
    assert about(recordings.open(noted_bag(tmp_path / "other", {"hole_area": 4}, node="/arm/sam2_ros"))) is None
    unprompted = recordings.open(noted_bag(tmp_path / "unprompted", {}, node="/arm/sam2_ros", prompts=False))
    assert about(unprompted).node == "/arm/sam2_ros"
    with BagWriter(tmp_path / "damaged", kept_free=0) as writer:
        writer.write("/image", IMAGE, 1, image_message(np.zeros((8, 8, 3), np.uint8), 1))
        for text in ("", "[]", '{"node": "/sam2_ros"}', json.dumps({"node": "", "parameters": 3, "model": {}})):
            writer.write(ABOUT, STRING, 2, SimpleNamespace(data=text))
    assert about(recordings.open(tmp_path / "damaged")) is None


def test_parameters_of_the_node_around_the_tracker_are_those_of_its_settings():
    parameters = pytest.importorskip("sam2_ros.ros.parameters")
    assert {field.name for field in dataclasses.fields(parameters.NodeSettings)} == OF_NODE


def test_settings_of_the_session_can_be_set_as_those_of_the_tracker():
    assert named_value("prompt_tolerance=0.5") == ("prompt_tolerance", 0.5)
    assert named_value("click_negative=true") == ("click_negative", True)
    with pytest.raises(InvalidInput, match="max_objects must be at least 1"):
        named_value("max_objects=0")
    with pytest.raises(InvalidInput, match="image_range is given twice, with full and auto"):
        settings_from(["image_range=auto"], image_range="full")


# -- the commands ----------------------------------------------------------------------------------


def test_a_replay_uses_what_was_recorded_and_says_so(bag, tmp_path, weights, capsys):
    assert run_command("replay", bag, "--out", tmp_path / "out", "--threads", "1") == 0
    assert f"as recorded of /sam2_ros: model {weights}, hole_area 4" in capsys.readouterr().out
    run_command(
        "replay", bag, "--out", tmp_path / "set", "--threads", "1", "--model", weights, "--set", "hole_area=4096"
    )
    assert "as recorded of /sam2_ros: visible_margin 2" in capsys.readouterr().out


def test_a_replay_and_an_evaluation_use_the_recorded_image_side_unless_another_is_chosen(tmp_path, weights, capsys):
    bag = noted_bag(tmp_path / "side", {"model": str(weights), "image_side": 192})
    assert run_command("replay", bag, "--out", tmp_path / "out", "--threads", "1") == 0
    assert "image_side 192" in capsys.readouterr().out
    assert run_command("replay", bag, "--out", tmp_path / "other", "--threads", "1", "--image-side", "64") == 0
    assert "image_side" not in capsys.readouterr().out
    assert evaluated(tmp_path, bag, "--prompt", "mask")["model"]["image_side"] == 192
    assert evaluated(tmp_path, bag, "--prompt", "mask", "--image-side", "64")["model"]["image_side"] == 64


def test_a_recording_of_a_node_with_edgetam_is_replayed_and_evaluated_with_it(tmp_path, capsys):
    torch.save({"model": edgetam_weights(seed=2, object_score=5.0)}, tmp_path / "edgetam.pt")
    parameters = {"model": str(tmp_path / "edgetam.pt"), "image_side": 256, "threads": 1}
    known = checkpoint.identify(tmp_path / "edgetam.pt", image_side=256).noted()
    bag = noted_bag(tmp_path / "bag", parameters, known)
    assert run_command("replay", bag, "--out", tmp_path / "out", "--threads", "1") == 0
    said = capsys.readouterr().out
    assert "edgetam.pt, image_side 256, " in said and "left out" not in said
    result = evaluated(tmp_path, bag, "--prompt", "recorded")
    assert result["model"] == known and (known["name"], known["image_side"]) == ("edgetam", 256)
    assert result["frames"] == 4 and not result["failed"]


def test_a_replay_of_edgetam_computes_with_the_recorded_engine_and_memory_rule(tmp_path, capsys):
    torch.save({"model": edgetam_weights(seed=2, object_score=5.0)}, tmp_path / "edgetam.pt")
    rules = {"memory_rule": "distractor_aware", "precision": "float32", "engine": "torch", "image_side": 256}
    bag = noted_bag(tmp_path / "bag", rules | {"model": str(tmp_path / "edgetam.pt")})
    for name in ("one", "two"):
        assert run_command("replay", bag, "--out", tmp_path / name, "--threads", "1") == 0
        said = capsys.readouterr().out
        assert "image_side 256, engine torch, memory_rule distractor_aware, precision float32, other" in said
    one, two = (
        [event.stored.raw for event in recordings.open(tmp_path / name, more_topics="*").events()]
        for name in ("one", "two")
    )
    assert one == two and any(b"PyTorch, float32" in message for message in one)
    result = evaluated(tmp_path, tmp_path / "one", "--prompt", "recorded")
    assert result["configuration"]["tracker"]["memory_rule"] == "distractor_aware"
    assert result["configuration"]["model_engine"] == "torch"


@pytest.mark.parametrize("chosen, used", [("", "torch"), ("auto", "auto")])
def test_the_recorded_engine_is_used_unless_another_is_chosen(tmp_path, weights, chosen, used):
    recording = recordings.open(noted_bag(tmp_path / "bag", {"model": str(weights), "engine": "torch"}))
    assert as_recorded(TrackerSetup(chosen_engine=chosen), recording)[0].engine == used


def test_a_recorded_engine_that_is_not_here_is_left_out(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    for engine, reason in (("openvino", "is not installed here"), ("warp", "engine must be one of auto, torch")):
        parameters = {"model": str(weights), "engine": engine}
        recording = recordings.open(noted_bag(tmp_path / engine, parameters))
        setup, (_, left_out) = as_recorded(TrackerSetup(device="cpu"), recording)
        assert setup.engine == "auto" and f"left out: engine {engine} (" in left_out and reason in left_out


def far_prompt(path):
    """A prompt 0.25 s from the only image, and the tolerance that the robot had for it."""
    with BagWriter(path, kept_free=0) as writer:
        note(writer, ABOUT, {"node": "/sam2_ros", "model": {}, "parameters": {"prompt_tolerance": 0.3}})
        writer.write("/image", IMAGE, stamp(9), image_message(np.zeros((48, 64, 3), np.uint8), stamp(9)))
        asked = prompt_message("cup", (10, 20), stamp(9) - 250_000_000)
        writer.write("/sam2_ros/prompt", PROMPT, stamp(9) + 1, asked)
    return path


def test_the_rules_of_a_replay_are_those_that_the_node_had(tmp_path, weights, capsys):
    bag = far_prompt(tmp_path / "bag")
    options = ("--threads", "1", "--model", weights)
    run_command("replay", bag, "--out", tmp_path / "out", *options)
    assert "1 images, 0 dropped, 1 prompts" in capsys.readouterr().out
    run_command("replay", bag, "--out", tmp_path / "set", *options, "--set", "prompt_tolerance=0.1")
    assert "cup: stamp" in capsys.readouterr().out


@pytest.fixture
def twelve_bits(tmp_path):
    """One image of a 12-bit camera, which the node read over the full range of 16 bits."""
    values = np.linspace(0, 4095, 48 * 64).astype(np.uint16).reshape(48, 64)
    with BagWriter(tmp_path / "twelve", kept_free=0) as writer:
        note(writer, ABOUT, {"node": "/sam2_ros", "model": {}, "parameters": {"image_range": "full"}})
        writer.write("/image", IMAGE, stamp(0), image_message(values, stamp(0)))
        writer.write("/sam2_ros/prompt", PROMPT, stamp(0) + 1, prompt_message("cup", (10, 20), stamp(0)))
    return tmp_path / "twelve"


@pytest.mark.parametrize("chosen, range_, few_greys", [((), "full", True), (("--image-range", "auto"), "auto", False)])
def test_16_bit_images_are_read_with_the_recorded_range_unless_another_is_chosen(
    twelve_bits, tmp_path, weights, monkeypatch, chosen, range_, few_greys
):
    template = job_from(cli.parser_of("evaluate").parse_args(["bag", "--model", "first-mask", *chosen]))
    (job,) = batch.work_list([twelve_bits], template, tmp_path)
    assert (len(np.unique(next(iter(job.open())).image)) < 20) == few_greys
    topics = batch.configuration(template, [job], 1, "processes")["topics"]
    assert topics == ({} if range_ == "auto" else {"image_range": range_}), "an export opens the recording again"

    ranges = []
    monkeypatch.setattr(result_bag, "replay", lambda recording, *_, **__: ranges.append(recording.image_range))
    with pytest.raises(TypeError):  # there are no steps
        run_command("replay", twelve_bits, "--out", tmp_path / "out", "--threads", "1", "--model", weights, *chosen)
    assert ranges == [range_]


def evaluated(tmp_path, *arguments):
    run_command("evaluate", *arguments, "--out", tmp_path / "runs", "--name", "run")
    return json.loads((tmp_path / "runs" / "latest" / "result.json").read_text())


def test_an_evaluation_uses_what_was_recorded_of_each_recording_and_says_so(bag, tmp_path, weights, capsys):
    result = evaluated(tmp_path, bag, "--prompt", "mask")
    assert result["model"]["name"] == "test" and result["configuration"]["model"] == str(weights)
    assert result["configuration"]["tracker"]["hole_area"] == 4
    assert result["configuration"]["session"]["prompt_tolerance"] == 0.3
    assert f"as recorded of /sam2_ros: model {weights}, hole_area 4" in capsys.readouterr().out
    assert "hole_area 4" in result["sequences"][0]["recorded"][0]
    set_aside = evaluated(tmp_path, bag, "--prompt", "mask", "--set", "hole_area=2")
    assert set_aside["configuration"]["tracker"]["hole_area"] == 2


def test_recordings_of_different_nodes_are_evaluated_each_as_it_was_recorded(bag, tmp_path, weights):
    other = noted_bag(tmp_path / "other", {"model": str(weights), "hole_area": 9, "visible_margin": 2.0})
    result = evaluated(tmp_path, bag, other, "--prompt", "mask")
    tracker = result["configuration"]["tracker"]
    assert (tracker["hole_area"], tracker["visible_margin"]) == ("as recorded", 2.0)
    assert ["hole_area 9" in one["recorded"][0] for one in result["sequences"]] == [False, True]
