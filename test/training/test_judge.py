import numpy as np

from sam2_ros.training.judge import Followed, _returns, judge_scenes, read_scene


class Still:
    """A tracker that answers with the mask it was given, on every image."""

    def __init__(self):
        self.masks = {}

    def reset(self):
        self.masks = {}

    def prompt(self, prompt):
        self.masks[prompt.name] = prompt.mask

    def track(self, frame):
        return [Answer(name, mask) for name, mask in self.masks.items()]


class Answer:
    def __init__(self, name, mask):
        self.name, self.mask, self.occluded = name, mask, not mask.any()


def write_scene(folder):
    """Two look-alikes for four images; the first is hidden on the third."""
    scene = np.zeros((4, 20, 20, 4), np.uint8)
    scene[:, 2:8, 2:8, 3], scene[:, 12:18, 12:18, 3] = 1, 2
    scene[2, 2:8, 2:8, 3] = 0
    np.save(folder / "1.npy", scene)
    visible = np.ones((4, 2))
    visible[2, 0] = 0
    np.savetxt(folder / "1.visible.csv", visible, "%.3f", ",", header="cup,cup")
    return folder / "1.npy"


def test_a_scene_is_read_with_what_is_seen_of_each_object(tmp_path):
    scene, seen, names = read_scene(write_scene(tmp_path))
    assert scene.shape == (4, 20, 20, 4) and seen[2].tolist() == [0, 1] and names == ["cup", "cup"]


def test_a_mask_that_stays_is_right_but_where_its_object_is_hidden(tmp_path):
    followed = judge_scenes(Still(), [write_scene(tmp_path)], "mask")
    table = followed.table("mask")
    assert table["mask J"] == 100 * (2 / 3 + 1) / 2 and table["mask J look-alikes"] == table["mask J"]
    assert table["mask hidden F1"] == 0 and table["mask found again of 1"] == 100


def test_an_object_is_found_again_when_its_mask_fits_before_it_leaves_again():
    hidden = [1, 0, 0, 1, 0, 1, 1]
    found = [1, 1, 0, 0.6, 0, 0.2, 0.4]
    assert _returns(np.column_stack((found, hidden))) == [True, False]


def test_frames_are_told_apart_by_how_much_is_seen():
    followed = Followed([np.array([(0.9, 1.0, 0), (0.5, 0.5, 0), (0.2, 0.1, 0), (0.0, 0.0, 1)])], [False])
    table = followed.table("box")
    assert [round(table[f"box J seen {share}"]) for share in ("80%+", "30%+", "2%+")] == [90, 50, 20]
    assert table["box hidden F1"] == 100
