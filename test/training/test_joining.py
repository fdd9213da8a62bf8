import pytest
import torch

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.model import checkpoint
from sam2_ros.training.joining import join
from sam2_ros.training.recipe import Stage, TrainSettings
from sam2_ros.training.train import Training


def run_in(folder, seed, steps=0, moment=0.0, size="test"):
    """A run of random weights as it saves itself; it has not learned, so its moments are set."""
    settings = TrainSettings(out=str(folder), size=size, seed=seed, stages=(Stage(9, 1, 1, 64, 1e-3, 1e-3),))
    training = Training(settings)
    for group in training.optimiser.param_groups:
        for value in group["params"]:
            training.optimiser.state[value] = {
                "step": torch.tensor(float(steps)),
                "exp_avg": torch.full_like(value, moment),
                "exp_avg_sq": torch.full_like(value, moment),
            }
    training.step = steps
    folder.mkdir()
    training.save(folder)
    return training


def test_all_runs_go_on_from_the_mean_each_with_its_own_settings(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    first, second = run_in(folders[0], 1, 4, 1.0), run_in(folders[1], 2, 6, 3.0)
    assert join(folders) == 4
    for folder, former in zip(folders, (first, second)):
        training = Training(former.settings)
        training.restore(folder)
        assert training.step == 4
        saved = torch.load(folder / "state.pt", weights_only=True)
        assert saved["settings"]["seed"] == former.settings.seed
        for name, value in training.model.state_dict().items():
            mean = (first.model.state_dict()[name] + second.model.state_dict()[name]) / 2
            assert torch.allclose(value, mean, atol=1e-7), name
        assert {float(state["exp_avg"].flatten()[0]) for state in training.optimiser.state.values()} == {2.0}


def test_the_result_of_each_is_the_mean_of_the_averaged_weights(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    trainings = [run_in(folder, seed) for seed, folder in enumerate(folders)]
    join(folders)
    results = [checkpoint.load(folder / "model.safetensors", "cpu").state_dict() for folder in folders]
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name])
        assert torch.allclose(value, sum(training.average[name] for training in trainings) / 2, atol=1e-7), name


def test_runs_of_different_models_are_refused_and_stay_as_they_are(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    run_in(folders[0], 1)
    run_in(folders[1], 1, size="embedded_lite")
    before = [(folder / "state.pt").read_bytes() for folder in folders]
    with pytest.raises(CheckpointError, match="hold runs of different models"):
        join(folders)
    assert [(folder / "state.pt").read_bytes() for folder in folders] == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    run_in(tmp_path / "a", 1)
    with pytest.raises(CheckpointError, match="state.pt does not exist"):
        join([tmp_path / "a", tmp_path / "none"])


def test_one_run_is_not_joined_with_itself(tmp_path):
    with pytest.raises(InvalidInput, match="takes two folders or more, got 1"):
        join([tmp_path, tmp_path])
