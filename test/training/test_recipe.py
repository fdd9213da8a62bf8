import json

import numpy as np
import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.training.recipe import FINE_TUNE, Stage, TrainSettings, changes, read_settings

STAGE = {"steps": 3, "frames": 1, "clips": 2, "side": 64, "rate": 0.001, "end_rate": 0.0}
SHORT = (Stage(10, 1, 4, 64, 1e-3, 5e-4), Stage(20, 4, 2, 64, 4e-4, 1e-4))


def test_a_step_belongs_to_its_stage():
    settings = TrainSettings(stages=SHORT)
    assert settings.steps == 30
    assert settings.stage_at(0)[0] == 0 and settings.stage_at(9)[0] == 0
    assert settings.stage_at(10)[:2] == (1, SHORT[1]) and settings.stage_at(29)[0] == 1


def test_a_share_of_the_steps_sees_as_many_images_as_the_others_see_frames():
    settings = TrainSettings(stages=(SHORT[0], Stage(8, 4, 2, 64, 1e-3, 0.0, images=0.25)))
    stages = [settings.stage_at(step)[1] for step in range(10, 18)]
    assert [(stage.frames, stage.clips) for stage in stages] == [(4, 2), (4, 2), (4, 2), (1, 8)] * 2


def test_a_share_of_the_steps_sees_another_side_of_images_and_of_clips_alike():
    stage = Stage(12, 4, 2, 64, 1e-3, 0.0, images=1 / 3, second_side=96, second_share=0.25)
    sides = [stage.at(step).side for step in range(12)]
    assert sides == [64, 64, 64, 96] * 3
    kinds = {(stage.at(step).frames, stage.at(step).side) for step in range(12)}
    assert kinds == {(4, 64), (1, 64), (4, 96), (1, 96)}


def test_without_a_second_side_there_is_one_side():
    assert {Stage(4, 1, 2, 64, 1e-3, 0.0, second_share=1.0).at(step).side for step in range(4)} == {64}


def test_the_learning_rate_warms_up_and_falls_from_stage_to_stage():
    settings = TrainSettings(stages=SHORT, warm_up=5)
    rates = [settings.rate_at(step) for step in range(30)]
    assert rates[0] < rates[2] < rates[4] and rates[5:10] == sorted(rates[5:10], reverse=True)
    assert rates[10] == pytest.approx(4e-4) and rates[29] < 1.1e-4


def test_more_stages_change_nothing_about_the_steps_before():
    short, longer = TrainSettings(stages=SHORT), TrainSettings(stages=(*SHORT, Stage(5, 8, 2, 64, 1e-4, 0.0)))
    assert [short.rate_at(step) for step in range(30)] == [longer.rate_at(step) for step in range(30)]


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_settings_come_from_a_file_and_single_ones_are_replaced(tmp_path, suffix):
    if suffix == "yaml":
        pytest.importorskip("yaml")
    stage = {"steps": 3, "frames": 1, "clips": 2, "side": 64, "rate": 0.001, "end_rate": 0.0}
    path = tmp_path / f"recipe.{suffix}"
    path.write_text(json.dumps({"seed": 4, "out": "here", "stages": [stage]}))  # JSON is YAML
    settings = read_settings(path, seed=7)
    assert settings.seed == 7 and settings.out == "here" and settings.stages == (Stage(**stage),)


@pytest.mark.parametrize(
    "values, part",
    [
        ({"sed": 1}, "sed"),
        ({"clip_norm": -1.0}, "clip_norm"),
        ({"mask_share": 0.9, "box_share": 0.9}, "exceed"),
        ({"stages": [{"steps": 1}]}, "stage"),
        ({"stages": []}, "at least one stage"),
        ({"stages": 5}, "stages must be a list"),
        ({"stages": ["images"]}, "a stage must hold names"),
        ({"stages": [STAGE | {"speed": 3}]}, "unknown fields of a stage speed"),
        ({"stages": [STAGE | {"rate": "fast"}]}, "rate must be a number"),
        ({"stages": [STAGE | {"side": 20}]}, "side of a stage must be at least 32"),
        ({"stages": [STAGE | {"second_side": 20}]}, "second_side of a stage must be at least 32"),
        (
            {"stages": [STAGE | {"second_side": 96, "second_share": 1.5}]},
            "second_share of a stage is a share of its steps",
        ),
        ({"weight_decay": "much"}, "weight_decay must be a number"),
        ({"stages": [{"steps": 0, "frames": 1, "clips": 1, "side": 64, "rate": 1, "end_rate": 1}]}, "steps"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values, part):
    with pytest.raises(InvalidInput, match=part):
        read_settings(**values)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        read_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "name, content",
    [
        ("recipe.yaml", b"stages: [{"),
        ("recipe.json", b"{'seed': 1}"),
        ("recipe.yaml", b"\xff\xfe\x00"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_refused_by_its_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{name} is not valid"):
        read_settings(path)


def test_numbers_may_be_written_as_yaml_does_not_read_them(tmp_path):
    pytest.importorskip("yaml")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "weight_decay: 1e-2\nstages:\n- {steps: 1e3, frames: 1, clips: 2, side: 64, rate: 1e-3, end_rate: 0}\n"
    )
    settings = read_settings(path)
    assert settings.weight_decay == 0.01 and settings.stages == (Stage(1000, 1, 2, 64, 0.001, 0),)


def test_weights_that_are_named_without_stages_are_fine_tuned_on_the_footage_alone():
    pytest.importorskip("yaml")
    settings = read_settings(initial="large", footage="videos", seed=5)
    assert settings == read_settings(FINE_TUNE, initial="large", footage="videos", seed=5)
    assert max(settings.rate_at(step) for step in range(0, settings.steps, 50)) <= 5e-6 and settings.encoder_rate < 1
    assert settings.footage_share == settings.plain_share == 1.0 and settings.stages[0].frames == 8
    assert read_settings(initial="large", footage="videos", footage_share=0.5).footage_share == 0.5


def test_weights_that_are_named_with_stages_are_trained_as_these_say():
    settings = read_settings(initial="large", stages=[STAGE])
    assert settings == TrainSettings(initial="large", stages=(Stage(**STAGE),))


def test_a_stage_may_leave_the_side_to_the_model():
    stages = TrainSettings(stages=(Stage(1, 1, 1, 0, 0, 0), SHORT[0])).of_side(1024).stages
    assert [stage.side for stage in stages] == [1024, 64]


def test_what_is_not_given_is_as_in_the_run_that_goes_on():
    saved = {
        "footage": "videos",
        "seed": 3,
        "out": "elsewhere",
        "time_limit_minutes": 5.0,
        "gone": 1,
        "stages": (STAGE,),
    }
    settings = read_settings(None, saved, seed=4)
    assert settings.footage == "videos" and settings.seed == 4 and settings.stages == (Stage(**STAGE),)
    assert settings.out == TrainSettings().out and settings.time_limit_minutes == 0.0


def test_each_setting_that_a_run_goes_on_without_is_told():
    saved = {"footage": "videos", "out": "elsewhere", "stages": (STAGE,)}
    told = changes(saved, TrainSettings(footage_share=1.0))
    assert len(told) == 3 and "footage is '', in the run so far it was 'videos'" in told
    assert changes(saved, TrainSettings(footage="videos", stages=(Stage(**STAGE),))) == []


def test_clips_have_frames_before_them_as_often_as_asked_for_and_single_images_never():
    stage = Stage(10, 4, 2, 64, 0.001, 0, images=0.5, lead=6, leads=0.5)
    counts = [stage.lead_of(np.random.default_rng(seed)) for seed in range(200)]
    assert set(counts) == set(range(7)) and 70 < counts.count(0) < 130
    leads = {stage.at(step).frames: stage.at(step).lead for step in range(2)}
    assert leads == {1: 0, 4: 6}


def test_shares_of_footage_and_scenes_fit_into_one():
    with pytest.raises(InvalidInput, match="footage_share 0.7 and scene_share 0.4 exceed 1 together"):
        TrainSettings(footage="videos", footage_share=0.7, scenes="scenes", scene_share=0.4)
