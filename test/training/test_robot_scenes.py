import numpy as np
import pytest

pytest.importorskip("pybullet", reason="robot scenes are an optional extra")

from sam2_ros.training import held_out
from sam2_ros.training.random_scenes import HELD_OUT_SEED, TRAINING_MODELS, random_scene, render
from sam2_ros.training.robot_clips import RobotClips
from sam2_ros.training.robot_scenes import CLOSED, OPEN, Look, Move, RobotScene, Thing
from sam2_ros.training.textures import TextureBank, make_bank

SIZE = (60, 80)


@pytest.fixture(scope="module")
def bank():
    full = make_bank(0, drawn=8)
    return TextureBank(full.drawn, [])


def look(surface):
    return Look((0.95, -0.8, 0.45), (0.42, 0.0, 0.1), 40, (0.5, -0.9, 1.8), (surface, surface, surface), shadow=False)


@pytest.fixture(scope="module")
def lifting(bank):
    """A red box that is grasped and lifted; the height of its centre before and after, and the pictures."""
    box = Thing("box", "box", (0.5, 0.0), size=(0.05, 0.05, 0.08), colour=(1, 0, 0, 1))
    grey = np.full((16, 16, 3), 120, np.uint8)
    with RobotScene([box], look(grey)) as scene:
        before = scene.place_of("box")
        moves = [
            Move((0.5, 0.0, 0.2), 0.8, fingers=OPEN),
            Move((0.5, 0.0, 0.05), 0.6, fingers=CLOSED, grasp="box"),
            Move((0.5, 0.0, 0.25), 0.8),
        ]
        shots = list(scene.play(moves, 3.0, SIZE))
        return before, scene.place_of("box"), shots


def test_what_is_grasped_is_lifted(lifting):
    before, after, _ = lifting
    assert after[2] - before[2] > 0.1


def test_labels_lie_on_the_pixels_of_the_things(lifting):
    _, _, shots = lifting
    first = shots[0]
    red = first.image[first.label == 1].astype(int)
    assert len(red) > 10 and (red[:, 0] > red[:, 1] + 40).mean() > 0.9
    assert (first.label == 2).any()  # the arm comes after the things


def test_depth_is_in_metres_and_things_are_nearer_than_the_wall(lifting):
    _, _, shots = lifting
    depth, label = shots[0].depth, shots[0].label
    assert 0.8 < depth[label == 1].mean() < 1.4 < depth[0].max()


def test_pictures_rendered_finer_have_the_size_that_was_asked_for(bank):
    with RobotScene(
        [Thing("ball", "ball", (0.45, 0.0), size=(0.08,) * 3)], look(bank.drawn[0]), settle_seconds=0.1
    ) as scene:
        shot = scene.shoot(SIZE, 1.5)
    assert shot.image.shape == (*SIZE, 3) and shot.label.shape == shot.depth.shape == SIZE
    assert set(np.unique(shot.label)) <= {0, 1, 2}


def test_a_scene_follows_from_its_seed(bank):
    once, again = render(5, bank, frames=2, size=SIZE), render(5, bank, frames=2, size=SIZE)
    assert (once[0] == again[0]).all() and (once[1] == again[1]).all() and once[0].shape == (2, *SIZE, 3)


def test_held_out_scenes_use_no_model_of_a_training_scene(bank):
    training = {thing.model for seed in range(60) for thing in random_scene(seed, bank)[0]}
    held = {thing.model for seed in range(60) for thing in random_scene(HELD_OUT_SEED + seed, bank)[0]}
    assert training & held <= {"box", "can", "ball"}
    assert not any("duck" in model or "mug" in model for model in training)
    numbers = [int(model.split("/")[1]) for model in training if "random_urdfs" in model]
    assert max(numbers) < TRAINING_MODELS


def test_cached_scenes_become_clips(tmp_path, lifting):
    _, _, shots = lifting
    np.savez_compressed(
        tmp_path / "0.npz",
        frames=np.stack([shot.image for shot in shots]),
        labels=np.stack([shot.label for shot in shots]),
    )
    images, masks = RobotClips(tmp_path).clip(np.random.default_rng(0), 3, 64)
    assert images.shape == (3, 64, 64, 3) and masks.shape[0] == 3 and masks.shape[2:] == (64, 64)
    assert masks[0].any(axis=(1, 2)).all()


def test_held_out_clips_are_written_in_the_layout_of_davis(tmp_path):
    import cv2

    clip = next(held_out.composites((0,)))
    held_out.write(clip, tmp_path)
    label = cv2.imread(str(tmp_path / "Annotations" / clip.name / "00003.png"), cv2.IMREAD_UNCHANGED)
    assert len(list((tmp_path / "JPEGImages" / clip.name).iterdir())) == held_out.COMPOSITE_FRAMES
    assert all(((label == number) == mask).all() for number, mask in enumerate(clip.masks[3], start=1))
