import json

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.training import robot_clips
from sam2_ros.training.kept_aside import kept_aside
from sam2_ros.training.robot_clips import RobotClips
from sam2_ros.training.scanned_objects import ScannedObject, models, outline
from sam2_ros.training.staging import STORIES, about, matrix, stage, then, towards

FRAMES, SIZE = 6, (72, 96)
CORNERS = np.array([(x, y, z) for x in (-0.05, 0.05) for y in (-0.05, 0.05) for z in (0.0, 0.1)])
#: Anti-clockwise as seen from outside.
SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def write_cube(folder):
    folder.mkdir(parents=True)
    lines = ["mtllib model.mtl", "usemtl m"] + [f"v {x} {y} {z}" for x, y, z in CORNERS]
    lines += ["vt 0 0", "vt 1 0", "vt 1 1", "vt 0 1"]
    for side in SIDES:
        a, b, c, d = (corner + 1 for corner in side)
        lines += [f"f {a}/1 {b}/2 {c}/3", f"f {a}/1 {c}/3 {d}/4"]
    (folder / "model.obj").write_text("\n".join(lines) + "\n")
    (folder / "model.mtl").write_text("newmtl m\nKd 1 1 1\nmap_Kd texture.jpg\n")
    cv2.imwrite(str(folder / "texture.jpg"), np.full((8, 8, 3), (40, 40, 220), np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four cubes to train on, one that is kept aside, a surface and a panorama."""
    root = tmp_path_factory.mktemp("objects")
    names = ["one", "two", "three", "four", min(kept_aside("objects"))]
    for name in names:
        write_cube(root / name)
    for name in ("tex.jpg", "pano.jpg"):
        cv2.imwrite(str(root / name), np.full((32, 64, 3), 130, np.uint8))
    entries = [{"name": name, "file": f"{name}/model.obj", "size_m": [0.1, 0.1, 0.1]} for name in names]
    (root / "objects.json").write_text(
        json.dumps({"objects": entries, "backgrounds": [{"file": "tex.jpg"}, {"file": "pano.jpg"}]})
    )
    return root


def cubes(count=5):
    return [
        ScannedObject(str(number), None, np.array((0.1, 0.1, 0.1)), CORNERS, np.zeros((0, 3), int))
        for number in range(count)
    ]


def test_objects_that_are_kept_aside_are_in_no_training_scene(folder):
    assert [model.name for model in models(folder, held_out=False)] == ["one", "two", "three", "four"]
    assert len(models(folder, held_out=True)) == 1


def test_a_folder_without_objects_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="objects.json cannot be read"):
        models(tmp_path, held_out=False)


def test_an_outline_is_what_faces_the_camera_and_lies_before_it():
    square = np.array([(2, 2, 1), (2, 8, 1), (8, 8, 1), (8, 2, 1)], float)
    facing, turned = np.array([(0, 1, 2), (0, 2, 3)]), np.array([(0, 2, 1), (0, 3, 2)])
    assert outline(square, facing, (12, 12)).sum() == 49 and not outline(square, turned, (12, 12)).any()
    behind = square * (1, 1, -1)
    assert not outline(behind, facing, (12, 12)).any()


def test_turns_are_applied_one_after_another():
    first, second = about((0, 0, 1), 0.7), about((1, 2, 0), -1.1)
    assert np.allclose(matrix(then(second, first)), matrix(second) @ matrix(first))
    for direction in ((0.2, -0.5, 0.3), (0, 0, 1), (0, 0, -1)):
        assert np.allclose(
            matrix(towards(np.array(direction))) @ (0, 0, 1), np.array(direction) / np.linalg.norm(direction)
        )


@pytest.mark.parametrize("story", STORIES)
def test_every_story_has_places_and_a_camera_on_every_frame(story):
    for seed in range(5):
        cast = stage(np.random.default_rng(seed), cubes(), FRAMES, story)
        assert cast.eyes.shape == (FRAMES, 3) and all(np.isfinite(part.places).all() for part in cast.parts)
        assert all(
            actor.places.shape == (FRAMES, 3) and np.allclose(np.linalg.norm(actor.turns, axis=1), 1)
            for actor in cast.actors
        )


def test_what_is_shuffled_has_a_look_alike_and_they_change_places():
    for seed in range(5):
        cast = stage(np.random.default_rng(seed), cubes(), FRAMES, "shuffle")
        alike = [actor for actor in cast.actors if actor.model is cast.actors[0].model]
        assert len(alike) > 1
        assert sum(np.linalg.norm(actor.places - actor.places[0], axis=1).max() > 0.01 for actor in alike) > 1


def test_a_scene_is_rendered_with_exact_masks_and_the_share_that_is_seen(folder, tmp_path):
    pytest.importorskip("pybullet", reason="rendered scenes are an optional extra")
    from sam2_ros.training.object_scenes import Renderer, write

    scene = Renderer(folder).render(3, FRAMES, SIZE, "pass")
    again = Renderer(folder).render(3, FRAMES, SIZE, "pass")
    assert (scene.frames == again.frames).all() and (scene.labels == again.labels).all()
    assert scene.visible.shape == (FRAMES, len(scene.names)) and scene.visible.max() > 0.9
    for number in range(len(scene.names)):
        unseen = ~(scene.labels == number + 1).any(axis=(1, 2))
        assert (scene.visible[unseen, number] == 0).all() and (scene.visible[~unseen, number] > 0).all()
    write(scene, tmp_path / "000003.npy")
    pictures, covers = RobotClips(tmp_path).clip(np.random.default_rng(0), 3, 64)
    assert pictures.shape == (3, 64, 64, 3) and covers.shape[2:] == (64, 64)


def test_scenes_are_played_as_fast_as_asked_for(tmp_path):
    scene = np.zeros((24, 32, 32, 4), np.uint8)
    scene[..., 0] = np.arange(24)[:, None, None] * 10
    scene[..., 8:24, 8:24, 3] = 1
    np.save(tmp_path / "0.npy", scene)
    steps = set()
    for clips in (RobotClips(tmp_path, 0.0, 3), RobotClips(tmp_path, 1.0, 3)):
        for seed in range(20):
            pictures = clips.clip(np.random.default_rng(seed), 4, 32)[0]
            steps.add((clips.fast_share, *np.unique(np.abs(np.diff(pictures[:, 16, 16, 0].astype(int)))) // 10))
    assert steps == {(0.0, 1), (1.0, 2), (1.0, 3)}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_clips_of_a_scene_with_look_alikes_can_ask_for_these_alone(tmp_path, monkeypatch, share):
    monkeypatch.setattr(robot_clips, "ALIKE_SHARE", share)
    scene = np.zeros((4, 32, 32, 4), np.uint8)
    for value, column in ((1, 0), (2, 8), (3, 16)):
        scene[:, 8:24, column : column + 6, 3] = value
    np.save(tmp_path / "0.npy", scene)
    most = {}
    for names in ("cup,box,cup", "cup,box,can"):
        (tmp_path / "0.visible.csv").write_text(f"# {names}\n1,1,1\n")
        most[names] = max(RobotClips(tmp_path).clip(np.random.default_rng(s), 1, 32)[1].shape[1] for s in range(20))
    assert most == {"cup,box,cup": 2 if share else 3, "cup,box,can": 3}


def test_held_out_scenes_tell_look_alikes_from_others(folder, monkeypatch):
    pytest.importorskip("pybullet", reason="rendered scenes are an optional extra")
    from sam2_ros.training import held_out, object_scenes
    from sam2_ros.training.object_scenes import Scene

    def scene(self, seed, story=""):
        labels = np.zeros((2, 20, 20), np.uint8)
        labels[:, :8, :8], labels[:, 10:18, :8], labels[:, 10:18, 10:18] = 1, 2, 3
        return Scene(np.zeros((2, 20, 20, 3), np.uint8), labels, np.ones((2, 3)), ["cup", "cup", "box"], story)

    monkeypatch.setattr(object_scenes.Renderer, "render", scene)
    clips = {clip.name: clip.masks.shape[1] for clip in held_out.object_scenes(folder)}
    assert len(clips) == 20 and clips["look-alikes-500000"] == 2 and clips["objects-500001"] == 3
