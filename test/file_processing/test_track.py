"""``sam2_ros track``, with a model that follows colours."""

import itertools
import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes import RED, picture
from recordings.bags import IMAGE, image_message
from recordings.bags.depth_bags import NEAR, write_depth_bag
from run_command import main as run

from sam2_ros.file_processing import track
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.labels import read_labels
from sam2_ros.recordings.video_writer import VideoWriter
from sam2_ros.tracking.tracker import Tracker

pytestmark = pytest.mark.usefixtures("colour_model")


def states(out):
    return [json.loads(line) for line in (out / "states.jsonl").read_text().splitlines()]


def test_a_folder_is_followed_into_labels_video_sheet_and_states(folder, tmp_path):
    out = tmp_path / "out"
    assert run("track", folder, "--point", "6,16", "--out", out) == 0
    centres = [line["objects"][0]["centroid"][0] for line in states(out)]
    assert len(centres) == 6 and centres[5] - centres[0] == pytest.approx(20, abs=2)
    assert np.unique(read_labels(out / "masks" / "00005.png")).tolist() == [0, 1]
    assert (out / "overlay.mp4").stat().st_size > 1000
    assert cv2.imread(str(out / "sheet.png")) is not None


def test_the_next_image_is_prepared_as_the_frame_that_is_then_tracked(folder, tmp_path, monkeypatch):
    prepared, tracked = [], []
    track_frame = Tracker.track
    monkeypatch.setattr(Tracker, "prepare", lambda self, frame: prepared.append(frame))
    monkeypatch.setattr(Tracker, "track", lambda self, frame: tracked.append(frame) or track_frame(self, frame))
    assert run("track", folder, "--point", "6,16", "--out", tmp_path / "out") == 0
    assert len(tracked) == 6 and all(one is other for one, other in zip(prepared, tracked[1:], strict=True))


def test_results_of_two_runs_are_not_mixed(folder, tmp_path, capsys):
    out = tmp_path / "out"
    run("track", folder, "--point", "6,16", "--out", out)
    before = states(out)
    assert run("track", folder, "--point", "6,16", "--out", out) == 1
    assert "holds results already (masks, overlay.mp4, states.jsonl, sheet.png)" in capsys.readouterr().err
    assert states(out) == before
    assert run("track", folder, "--point", "6,16", "--out", folder) == 1
    assert "is the recording itself" in capsys.readouterr().err


def test_a_try_that_failed_does_not_stand_in_the_way_of_the_next(folder, tmp_path):
    out = tmp_path / "out"
    assert run("track", folder, "--point", "600,16", "--out", out) == 1
    assert list(out.iterdir()) == []
    assert run("track", folder, "--point", "6,16", "--out", out) == 0


@pytest.mark.parametrize("full", [True, False], ids=["full", "Ctrl-C"])
def test_a_disk_that_is_full_or_an_interrupt_leaves_nothing_that_blocks_the_next_try(
    folder, tmp_path, monkeypatch, capsys, full
):
    out = tmp_path / "out"

    def failing(*_):
        if full:
            raise OSError(28, "No space left on device")
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(track, "values_of", failing)
        assert run("track", folder, "--point", "6,16", "--out", out) == (1 if full else 130)
    assert list(out.iterdir()) == []
    if full:
        assert "cannot write the results in" in capsys.readouterr().err
    assert run("track", folder, "--point", "6,16", "--out", out) == 0


def test_people_are_told_when_browsers_will_not_play_the_video(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sam2_ros.recordings.video_writer.writes_h264", lambda: False)
    assert run("track", folder, "--point", "6,16", "--out", tmp_path / "out") == 0
    assert "overlay.mp4 is MPEG-4 Part 2" in capsys.readouterr().out


NAMES = ["2026-11-28T12:30:05", "50%20off", "img_%04d", "run #3", "what?", "[x]", "-o", "a\nb", os.fsdecode(b"caf\xe9")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_video_and_a_folder_of_results_of_any_name(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path("plain.mp4"), 10.0) as writer:
        for n in range(4):
            writer.write(picture({RED: (4 * n, 8)}))
    Path("plain.mp4").rename(f"{name}.mp4")
    assert run("track", "--point", "6,16", f"--out={name}", "--", f"{name}.mp4") == 0
    assert len(states(Path(name))) == 4
    assert sorted(path.name for path in Path(name).iterdir()) == ["masks", "overlay.mp4", "sheet.png", "states.jsonl"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}.mp4"])
    Path(name, "sheet.png").rename(f"{name}.png")
    assert run("segment", "--point", "6,16", f"--out={name}", "--", f"{name}.png") == 0


def test_an_image_that_cannot_be_read_is_said_and_the_others_keep_their_names(folder, tmp_path, capsys):
    (folder / "00002.png").write_bytes(b"no picture")
    assert run("track", folder, "--point", "6,16", "--out", tmp_path / "out") == 0
    assert (
        "00002.png is not a readable picture: 10 bytes are not a readable picture\n5 images" in capsys.readouterr().out
    )
    images = [(line["frame"], line["image"]) for line in states(tmp_path / "out")]
    assert images == [(0, "00000"), (1, "00001"), (2, "00003"), (3, "00004"), (4, "00005")]


def test_a_second_object_may_start_on_a_later_image(folder, tmp_path):
    red, blue = ("--name", "red", "--point", "6,16"), ("--name", "blue", "--frame", 3, "--box", "40,40,55,55")
    assert run("track", folder, *red, *blue, "--out", tmp_path / "out") == 0
    names = [[found["name"] for found in line["objects"]] for line in states(tmp_path / "out")]
    assert names == [["red"]] * 3 + [["red", "blue"]] * 3


def test_an_object_that_is_gone_is_written_as_occluded_without_a_place(folder, tmp_path):
    cv2.imwrite(str(folder / "00006.png"), np.zeros((64, 64, 3), np.uint8))
    assert run("track", folder, "--point", "6,16", "--out", tmp_path / "out") == 0
    last = states(tmp_path / "out")[-1]["objects"][0]
    assert (last["state"], last["occluded"], last["box"], last["area"]) == ("OCCLUDED", True, None, 0)


def test_the_video_of_a_bag_is_as_fast_as_its_camera(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for n in range(1, 9):
            now = 50_000_000 * n
            writer.write("/camera/image", IMAGE, now, image_message(picture({RED: (4 * n, 8)}), now))
    assert run("track", tmp_path / "bag", "--point", "10,16", "--out", tmp_path / "out") == 0
    assert cv2.VideoCapture(str(tmp_path / "out" / "overlay.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(20)


def test_of_several_cameras_in_a_bag_one_is_named_and_depth_is_none(tmp_path, capsys):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for topic in ("/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw", "/wrist/image_raw"):
            writer.write(topic, IMAGE, 1, image_message(picture({RED: (4, 8)}), 10**9))
    arguments = ("track", tmp_path / "bag", "--point", "10,16", "--out", tmp_path / "out")
    assert run(*arguments) == 1
    assert "name the image topic (--image-topic): /camera/aligned" in capsys.readouterr().err
    assert run(*arguments, "--image-topic", "/wrist/image_raw") == 0


def test_depth_in_a_bag_gives_positions_in_the_states_and_distances_in_the_video(tmp_path, monkeypatch, capsys):
    words = []
    monkeypatch.setattr("sam2_ros.drawing._write", lambda picture, text, *_: words.append(text))
    bag = write_depth_bag(tmp_path / "bag", "ZED", change=lambda index, *rest: rest if index < 4 else None)
    assert run("track", bag, "--name", "red", "--point", "10,20", "--out", tmp_path / "out") == 0
    objects = [line["objects"][0] for line in states(tmp_path / "out")]
    assert [one["position_age"] for one in objects] == pytest.approx([0, 0, 0, 0, 0.1, 0.2])
    assert [one["position"][2] for one in objects] == pytest.approx([NEAR] * 6)
    assert words[0] == "red 0.85 m" and any(word.endswith(" m, 0.2 s ago") for word in words)
    assert run("track", bag, "--point", "10,20", "--depth-topic", "/other", "--out", tmp_path / "none") == 1
    assert "has no depth /other" in capsys.readouterr().err


def test_a_mask_from_a_file_is_a_prompt(folder, tmp_path):
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), picture({RED: (0, 8)})[..., 0])
    assert run("track", folder, "--mask", mask, "--out", tmp_path / "out") == 0
    assert states(tmp_path / "out")[3]["objects"][0]["area"] > 100


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ([], "give a prompt: --point"),
        (["--point", "6,16", "--frame", "99", "--point", "1,1"], "--frame 99 is not in"),
        (["--point", "600,16"], "outside the 64x64 image"),
        (["--box", "0,0,9,9", "--box", "1,1,8,8"], "put --name before the second"),
        (["--point", "6,16", "--frame", "5"], "--frame 5; it is for those that come after it, so put it before"),
        (["--point", "6,16", "--frame", "50"], "comes after --frame 50"),
        (["--frame", "2", "--frame", "3", "--point", "6,16"], "comes after --frame 2"),
        (["--point", "6,16", "--name", "cup"], "comes after --name cup"),
        (["--frame", "6", "--point", "6,16"], "--frame 6 is not in"),
        (["--image-topic", "/image", "--point", "6,16"], "--image-topic would be ignored"),
        (["--name", os.fsdecode(b"caf\xe9"), "--point", "6,16"], r"the name 'caf\udce9' is not UTF-8 text"),
    ],
)
def test_prompts_that_mean_nothing_are_one_sentence_and_exit_code_one(folder, tmp_path, capsys, arguments, sentence):
    assert run("track", folder, *arguments, "--out", tmp_path / "out") == 1
    assert sentence in capsys.readouterr().err


def test_a_source_that_is_no_recording_is_one_sentence(tmp_path, capsys):
    assert run("track", tmp_path / "nowhere.mp4", "--point", "1,1", "--out", tmp_path / "out") == 1
    assert "nowhere.mp4" in capsys.readouterr().err


def test_each_image_has_its_own_masks_whatever_its_stamp(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for n, moment in enumerate((1, 2, 4, 3, 3, 5)):  # two in the wrong order, one stamp twice
            message = image_message(picture({RED: (4 * n, 8)}), 10**10 + moment * 10**8)
            writer.write("/image", IMAGE, 10**10 + n, message)
    assert run("track", tmp_path / "bag", "--point", "6,16", "--out", tmp_path / "out") == 0
    centres = [line["objects"][0]["centroid"][0] for line in states(tmp_path / "out")]
    assert [after - before for before, after in itertools.pairwise(centres)] == pytest.approx([4] * 5, abs=1)


def test_links_to_themselves_are_one_sentence(folder, tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    assert run("track", folder, "--point", "6,16", "--out", tmp_path / "loop") == 1
    assert run("track", tmp_path / "loop", "--point", "6,16", "--out", tmp_path / "out") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
