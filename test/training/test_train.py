import csv
import dataclasses
import json
import multiprocessing
import os
import shutil
import signal

import pytest
import torch
from edgetam_weights import edgetam_weights
from run_command import run_command
from tiny_models import EDGETAM_TEST, tiny_model

from sam2_ros.errors import CheckpointError, InvalidInput, RecordingError, TrainingError
from sam2_ros.model import checkpoint
from sam2_ros.training.feeding import feed
from sam2_ros.training.journal import Journal
from sam2_ros.training.recipe import Stage, TrainSettings
from sam2_ros.training.train import Training, _threads, draw_prompting, train, validation_clips

STAGES = (Stage(2, 1, 2, 64, 1e-3, 1e-3), Stage(2, 2, 1, 128, 1e-3, 5e-4))


def settings(folder, **changes):
    values = {
        "out": str(folder),
        "size": "test",
        "seed": 3,
        "workers": 0,
        "threads": 1,
        "stages": STAGES,
        "validate_every": 4,
        "validation_clips": 1,
        "warm_up": 2,
        "save_minutes": 0.0,
    }
    return TrainSettings(**(values | changes))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


draw_plot = Journal.plot  # before it is replaced


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    """A run draws its plot whenever it saves: that of ``whole`` is enough, which is made before this."""
    monkeypatch.setattr(Journal, "plot", lambda journal: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of four steps without a break."""
    folder = tmp_path_factory.mktemp("whole")
    train(settings(folder))
    return folder


def test_a_run_leaves_weights_logs_and_settings(whole):
    model = checkpoint.load(whole / "model.safetensors", "cpu")
    assert model.size.name == "test" and model.size.image_size == 128
    steps = rows(whole / "steps.csv")
    assert [row["step"] for row in steps] == ["1", "2", "3", "4"] and [row["stage"] for row in steps] == list("0011")
    assert {"mask_j", "box_j", "click_j"} <= rows(whole / "validation.csv")[0].keys()
    assert json.loads((whole / "settings.json").read_text())["seed"] == 3


def test_a_plot_that_cannot_be_drawn_is_told_and_ends_nothing(tmp_path, monkeypatch, caplog):
    figures = pytest.importorskip("matplotlib.figure")
    monkeypatch.setattr(figures.Figure, "savefig", lambda *_, **__: 1 / 0)
    draw_plot(Journal(tmp_path))
    assert "progress.png was not drawn: division by zero" in caplog.text


def test_a_plot_is_drawn_where_matplotlib_is_installed(whole):
    pytest.importorskip("matplotlib")
    assert (whole / "progress.png").stat().st_size > 1000


def test_a_resumed_run_ends_with_the_very_same_weights(whole, tmp_path):
    train(settings(tmp_path, stages=STAGES[:1], validate_every=0))  # stops after two steps
    train(settings(tmp_path), resume=True)
    there, here = (torch.load(folder / "state.pt", weights_only=True) for folder in (whole, tmp_path))
    assert here["step"] == there["step"] == 4
    for part in ("model", "average"):
        assert all(torch.equal(here[part][name], there[part][name]) for name in there[part])


def test_a_resumed_run_logs_no_step_twice(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    longer = (*STAGES, Stage(1, 1, 1, 64, 1e-3, 1e-3))
    with (tmp_path / "steps.csv").open("a") as file:  # a step that was done and not saved
        file.write("5" + (tmp_path / "steps.csv").read_text().splitlines()[-1][1:] + "\n")
    train(settings(tmp_path, stages=longer, validate_every=0), resume=True)
    assert [row["step"] for row in rows(tmp_path / "steps.csv")] == ["1", "2", "3", "4", "5"]


def test_a_time_limit_stops_the_run_saved(tmp_path):
    train(settings(tmp_path, time_limit_minutes=1e-6, validate_every=0))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 1
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize(("load", "threads"), [(0.1, 4), (4.5, 4), (5.5, 1)])
def test_a_training_beside_other_programs_computes_with_one_thread(monkeypatch, load, threads):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert _threads(-1) == threads and _threads(2) == 2 and _threads(0) == torch.get_num_threads()


def test_the_model_for_an_image_side_is_made_once(tmp_path):
    training = Training(settings(tmp_path))
    small, other = training._model_at(64), training._model_at(96)
    assert training._model_at(64) is small and training._model_at(96) is other
    assert other.obj_ptr_proj is not small.obj_ptr_proj and training._model_at(128) is training.model
    assert all(one is two for one, two in zip(small.parameters(), training.model.parameters()))


def test_frames_before_a_clip_are_drawn_with_it_and_only_the_clip_teaches(tmp_path, monkeypatch):
    seen = []
    learn = Training.learn
    monkeypatch.setattr(
        Training, "learn", lambda training, batch: seen.append(len(batch.images)) or learn(training, batch)
    )
    stage = Stage(6, 2, 1, 64, 1e-3, 1e-3, lead=3, leads=0.7)
    train(settings(tmp_path, stages=(stage,), validate_every=0))
    assert min(seen) == 2 and max(seen) > 3 and max(seen) <= 5


def test_a_run_that_is_asked_to_end_does_so_after_its_step_and_saved(tmp_path, monkeypatch):
    learn = Training.learn

    def learn_and_be_asked(training, batch):
        os.kill(os.getpid(), signal.SIGTERM)
        return learn(training, batch)

    former = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Training, "learn", learn_and_be_asked)
    try:
        train(settings(tmp_path, validate_every=0, save_minutes=60.0))
    finally:
        signal.signal(signal.SIGTERM, former)
    assert (
        torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 1 and (tmp_path / "model.safetensors").is_file()
    )


def test_fine_tuning_starts_from_the_weights_that_were_named(whole, tmp_path):
    stage = Stage(1, 1, 1, 128, 0.0, 0.0)  # a learning rate of 0 changes nothing
    train(
        settings(
            tmp_path, initial=str(whole / "model.safetensors"), stages=(stage,), validate_every=0, weight_decay=0.0
        )
    )
    before, after = (checkpoint.load(folder / "model.safetensors", "cpu").state_dict() for folder in (whole, tmp_path))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("published", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["small", "published"])
def test_edgetam_is_fine_tuned_with_its_perceiver(tmp_path, published):
    if published:
        initial = tmp_path / "edgetam.pt"
        torch.save({"model": edgetam_weights(seed=2, object_score=5.0)}, initial)
    else:
        initial = tmp_path / "edgetam.safetensors"
        checkpoint.save(tiny_model(EDGETAM_TEST), initial)
    stages = (Stage(1, 1, 1, 256, 1e-5, 1e-5), Stage(1, 2, 1, 256, 1e-5, 1e-5))
    train(settings(tmp_path / "run", initial=str(initial), stages=stages, validate_every=0))
    before, after = (
        checkpoint.load(path, "cpu").state_dict() for path in (initial, tmp_path / "run" / "model.safetensors")
    )
    assert before.keys() == after.keys()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert {"image_encoder", "spatial_perceiver", "memory_attention", "sam_mask_decoder"} <= changed


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        train(settings(tmp_path), resume=True)


def test_a_run_is_not_overwritten_by_another(whole):
    before = (whole / "state.pt").read_bytes()
    with pytest.raises(CheckpointError, match="holds a run already; go on with it by --resume"):
        train(settings(whole))
    assert (whole / "state.pt").read_bytes() == before


def test_a_run_goes_on_without_the_weights_that_it_began_with(whole, tmp_path):
    start = tmp_path / "start.safetensors"
    shutil.copy(whole / "model.safetensors", start)
    run = settings(tmp_path, initial=str(start), validate_every=0)
    train(dataclasses.replace(run, stages=STAGES[:1]))
    start.unlink()
    train(run, resume=True)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4


def test_a_run_that_goes_on_takes_the_weight_decay_that_is_asked_for_now(whole, tmp_path):
    training = Training(settings(tmp_path, weight_decay=0.3))
    training.restore(whole)
    assert [group["weight_decay"] for group in training.optimiser.param_groups] == [0.3, 0.0]


def test_a_run_cannot_go_on_with_other_groups_of_parameters(whole, tmp_path):
    with pytest.raises(CheckpointError, match="encoder_rate"):
        Training(settings(tmp_path, encoder_rate=0.5)).restore(whole)


def test_a_state_of_another_size_is_refused(whole, tmp_path):
    (tmp_path / "state.pt").write_bytes((whole / "state.pt").read_bytes())
    with pytest.raises(CheckpointError, match="another model"):
        train(settings(tmp_path, size="embedded"), resume=True)


def test_what_is_dropped_in_training_is_not_in_the_result(tmp_path):
    training = Training(settings(tmp_path, dropout=0.1, drop_path=0.2))
    assert (training.model.size.dropout, training.model.size.drop_path) == (0.1, 0.2)
    image = torch.zeros(1, 3, training.model.size.image_size, training.model.size.image_size)
    with torch.no_grad():
        assert torch.equal(
            training.averaged().encode_image(image).stride16, training.averaged().encode_image(image).stride16
        )


def test_an_image_encoder_that_stays_as_it_is_gets_no_gradient(tmp_path):
    training = Training(settings(tmp_path, encoder_rate=0.0))
    assert not any(value.requires_grad for value in training.model.image_encoder.parameters())
    assert any(value.requires_grad for value in training.model.parameters())


def test_first_prompts_have_the_shares_of_the_paper_and_images_are_never_given_their_mask():
    import numpy as np

    random, run = np.random.default_rng(0), TrainSettings()
    clips = [draw_prompting(random, run, Stage(1, 8, 1, 64, 0, 0, clicks=7, corrections=2)) for _ in range(2000)]
    shares = {kind: np.mean([one.first == kind for one in clips]) for kind in ("mask", "box", "click")}
    assert shares == pytest.approx({"mask": 0.5, "box": 0.25, "click": 0.25}, abs=0.04)
    assert max(len(one.corrected) for one in clips) == 2 and max(one.clicks for one in clips) == 7
    assert not any(0 in one.corrected for one in clips if one.first == "mask")
    assert not any(one.exact for one in clips)
    refined = [0 in one.corrected for one in clips if one.first != "mask"]
    assert np.mean(refined) == pytest.approx(0.5, abs=0.04)
    half = dataclasses.replace(run, exact_share=0.5)
    assert np.mean(
        [draw_prompting(random, half, Stage(1, 8, 1, 64, 0, 0)).exact for _ in range(2000)]
    ) == pytest.approx(0.5, abs=0.04)
    images = [draw_prompting(random, run, Stage(1, 1, 1, 64, 0, 0)) for _ in range(200)]
    assert {one.first for one in images} == {"box", "click"}
    assert all(one.corrected == (0,) for one in images)


def test_clips_get_old_prompts_and_spoiled_memories_as_often_as_asked_for():
    import numpy as np

    random = np.random.default_rng(0)
    run = TrainSettings(oldest_prompt=60, spoiled_share=0.3)
    clips = [draw_prompting(random, run, Stage(1, 8, 1, 64, 0, 0)) for _ in range(2000)]
    assert np.mean([bool(one.spoiled) for one in clips]) == pytest.approx(0.3, abs=0.04)
    assert {one.wrong for one in clips} == {"absent", "elsewhere", "other"}
    assert all(0 < min(one.spoiled) and max(one.spoiled) < 7 for one in clips if one.spoiled)
    assert max(one.age for one in clips) == 60 and np.mean([one.age > 0 for one in clips]) == pytest.approx(
        0.5, abs=0.04
    )
    images = draw_prompting(random, run, Stage(1, 1, 1, 64, 0, 0))
    assert images.spoiled == () and images.age == 0


@pytest.mark.parametrize("name", ["footage", "robots", "pictures", "validation_footage"])
def test_a_wrong_folder_is_refused_before_anything_is_made(tmp_path, name):
    out = tmp_path / "run"
    with pytest.raises(RecordingError, match=str(tmp_path)):
        train(settings(out, workers=1, **{name: str(tmp_path)}))
    assert not out.exists()


@pytest.mark.parametrize("device", ["cuda", "toaster"])
def test_a_device_that_is_not_here_is_refused(tmp_path, device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InvalidInput, match=f"device '{device}' cannot be used"):
        train(settings(tmp_path, device=device))


def test_a_run_that_goes_on_keeps_what_is_not_given_and_tells_what_is_another(whole, tmp_path, caplog):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    with caplog.at_level("INFO"):
        run_command("train", "--resume", "--out", tmp_path, "--seed", "8", "--time-limit-minutes", "1e-6")
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert kept["size"] == "test" and kept["stages"][1]["side"] == 128 and kept["seed"] == 8
    assert any(message.startswith("not given, so as in the run so far: size, ") for message in caplog.messages)
    assert "seed is 8, in the run so far it was 3" in caplog.messages
    assert not any(message.startswith("size is '") for message in caplog.messages)


def test_nothing_but_footage_without_footage_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="none is named; give --footage"):
        train(settings(tmp_path, footage_share=1.0))


def test_a_run_that_is_done_says_so(whole, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    told = []
    train(settings(tmp_path, validate_every=0), resume=True, tell=told.append)
    assert told == [f"all 4 steps of {tmp_path} are done; name more of them in its stages to go on"]


def test_the_image_encoder_can_learn_more_slowly_than_the_rest(tmp_path):
    run = settings(tmp_path, encoder_rate=0.0, weight_decay=0.0, stages=STAGES[:1])
    training = Training(run)
    before = {name: value.clone() for name, value in training.model.named_parameters()}
    training.learn(next(iter(feed(run, 0))))
    moved = {
        name.split(".")[0] for name, value in training.model.named_parameters() if not torch.equal(value, before[name])
    }
    assert moved and "image_encoder" not in moved
    assert len(Training(settings(tmp_path)).optimiser.param_groups) == 2  # states of earlier versions hold two


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_clips_are_drawn_by_workers_however_these_are_started(tmp_path, method):
    here = next(feed(settings(tmp_path), 0))
    usual = multiprocessing.get_start_method()
    multiprocessing.set_start_method(method, force=True)
    try:
        there = next(feed(settings(tmp_path, workers=1), 0))
    finally:
        multiprocessing.set_start_method(usual, force=True)
    assert torch.equal(here.images, there.images) and torch.equal(here.masks, there.masks)


def test_a_stage_without_a_side_has_that_of_the_model(tmp_path):
    assert Training(settings(tmp_path, stages=(Stage(1, 1, 1, 0, 0, 0),))).settings.stages[0].side == 128


def test_validation_can_use_footage(tmp_path):
    import cv2
    import numpy as np

    for part, suffix, low, high in (("JPEGImages", "jpg", 10, 240), ("Annotations", "png", 0, 1)):
        (tmp_path / part / "one").mkdir(parents=True)
        for number in range(3):
            picture = np.full((60, 60), low, np.uint8)
            picture[20:40, 20:40] = high
            cv2.imwrite(str(tmp_path / part / "one" / f"{number}.{suffix}"), picture)
    clips = validation_clips(settings(tmp_path, validation_footage=str(tmp_path), validation_clips=3))
    assert [clip.masks.shape for clip in clips] == [(8, 1, 128, 128)] * 3
    assert all(clip.frames[clip.masks[:, 0]].mean() > 100 > clip.frames[~clip.masks[:, 0]].mean() for clip in clips)


def _spoil(training, bad_steps):
    """Let the gradients of these steps be infinite."""
    model = training._model_at

    def spoiled(side):
        chosen = model(side)
        value = float("inf") if training.step in bad_steps else 0.0
        for parameter in chosen.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.full_like(parameter, value)
        return chosen

    training._model_at = spoiled


def test_a_training_whose_gradients_stay_infinite_ends_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("sam2_ros.training.train.MOST_SPOILED", 3)
    run = settings(tmp_path, stages=(Stage(9, 1, 1, 64, 1e-3, 1e-3),))
    training = Training(run)
    _spoil(training, {0, 1, 3, 4, 5})
    batches = iter(feed(run, 0))
    for _ in range(5):  # two in a row are left out, then one is learned
        training.learn(next(batches))
    with pytest.raises(TrainingError, match="3 steps in a row, the last of them step 5") as error:
        training.learn(next(batches))
    assert str(tmp_path) in str(error.value)
    assert all(value.isfinite().all() for value in training.model.state_dict().values())
