import json

import pytest

from sam2_ros.errors import InvalidInput
from sam2_ros.training.recipe import Stage, TrainSettings, read_settings

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


@pytest.mark.parametrize("values, part", [
    ({"sed": 1}, "sed"), ({"clip_norm": -1.0}, "clip_norm"), ({"mask_share": 0.9, "box_share": 0.9}, "exceed"),
    ({"stages": [{"steps": 1}]}, "stage"), ({"stages": []}, "at least one stage"),
    ({"stages": [{"steps": 0, "frames": 1, "clips": 1, "side": 64, "rate": 1, "end_rate": 1}]}, "steps"),
])
def test_what_makes_no_sense_is_refused_by_name(values, part):
    with pytest.raises(InvalidInput, match=part):
        read_settings(**values)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        read_settings(tmp_path / "none.yaml")
