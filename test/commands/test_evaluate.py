import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from recordings.bags import IMAGE, PROMPT, image_message, labels, picture, prompt_message, stamp, write_bag
from recordings.bags.depth_bags import write_depth_bag
from run_command import evaluate, files_of, run_command

from sam2_ros import recordings
from sam2_ros.engines import openvino
from sam2_ros.errors import CheckpointError, InvalidInput, RecordingError
from sam2_ros.evaluation import baselines, batch, report
from sam2_ros.evaluation.evaluate import Job
from sam2_ros.evaluation.metrics import boundary_accuracy, region_similarity
from sam2_ros.evaluation.results import percent, plain, run_folder
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.labels import read_labels
from sam2_ros.recordings.recording import stamp_of
from sam2_ros.stream.tracker_setup import named_value

pytestmark = pytest.mark.usefixtures("quick_plots")


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_numbers_are_those_of_masks_compared_by_hand(tmp_path, data_set):
    result, _, code = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert code == 0
    expected = {}
    for name, count in (("long", 9), ("short", 5)):
        still = labels(0) > 0  # what it never moves; the first and the last image do not count
        pairs = [(still, labels(index) > 0) for index in range(1, count - 1)]
        expected[name] = [
            100 * np.mean([measure(*pair) for pair in pairs]) for measure in (region_similarity, boundary_accuracy)
        ]
    for entry in result["sequences"]:
        assert [entry["j"], entry["f"]] == pytest.approx(expected[entry["name"]], abs=0.01)
        assert entry["j_and_f"] == pytest.approx((entry["j"] + entry["f"]) / 2, abs=0.01)
    assert result["j"] == pytest.approx(np.mean([j for j, _ in expected.values()]), abs=0.01)
    assert (result["frames"], result["objects"], result["failed"]) == (14, 2, [])
    assert [result["latency"][stage]["count"] for stage in ("track", "prompt", "delay")] == [14, 2, 14]


def test_a_run_keeps_labels_scores_timings_and_pictures(tmp_path, data_set):
    _, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    sequence = folder / "sequences" / "long"
    assert [path.name for path in sorted((sequence / "labels").iterdir())] == [f"{index:05d}.png" for index in range(9)]
    assert (read_labels(sequence / "labels" / "00004.png") == labels(0)).all()
    scores, timing = read(sequence / "scores.csv"), read(sequence / "timing.csv")
    assert len(scores) == len(timing) == 9
    assert float(scores[0]["j"]) == 1.0 and scores[0]["state"] == "VISIBLE"
    assert timing[0]["prompted"] == "1" and timing[1]["prompted"] == ""
    assert (sequence / "sheet.jpg").stat().st_size > 1000


def test_the_report_is_one_page_that_needs_nothing_else(tmp_path, data_set, monkeypatch):
    monkeypatch.undo()  # with the plots as they are
    result, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    page = (folder / "report.html").read_text()
    assert f'<div class="big">{result["j_and_f"]:.1f}</div>' in page
    assert page.count("data:image/jpeg;base64,") == 2
    sources = re.findall(r"(?:src|href)=\"([^\"]{5})", page)
    assert sources and set(sources) == {"data:"}
    assert "<script" not in page


def test_the_report_does_without_matplotlib(tmp_path, data_set, monkeypatch):
    _, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    monkeypatch.setattr(report.plots, "AVAILABLE", False)
    page = report.page(folder)
    assert "pip install" in page and "data:image/png" not in page


def test_a_result_names_the_engine_that_computed_the_model_after_another_was_wrong(
    tmp_path, data_set, weights, monkeypatch
):
    def fail(*_, **__):
        raise CheckpointError("OpenVINO computes something else than PyTorch on this machine")

    monkeypatch.setattr(openvino, "is_installed", lambda: True)
    monkeypatch.setattr(openvino, "prepare", fail)
    options = "--model", weights, "--engine", "openvino", "--set", "precision=float32"
    result, _, _ = evaluate(tmp_path, data_set, *options)
    used = {"device": "cpu", "precision": "float32", "model_engine": "torch"}
    assert [entry["computed"] for entry in result["sequences"]] == [used, used]
    assert used.items() <= result["configuration"].items()


def test_two_runs_agree_to_the_byte_also_when_done_in_parallel(tmp_path, data_set, weights):
    options = "--model", weights, "--prompt", "1-click", "--set", "precision=float32"
    _, first, _ = evaluate(tmp_path, data_set, *options)
    _, second, _ = evaluate(tmp_path, data_set, *options)
    _, parallel, _ = evaluate(tmp_path, data_set, *options, "--jobs", 2)
    assert len({first, second, parallel}) == 3
    assert len(files_of(first)) == 18
    assert files_of(first) == files_of(second) == files_of(parallel)


def test_a_bag_is_evaluated_with_the_prompts_and_corrections_in_it(tmp_path, weights):
    original = write_bag(tmp_path / "original", count=8)
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for event in recordings.open(original).events():
            writer.copy(event.stored)
        writer.write("/sam2_ros/prompt", PROMPT, stamp(4) + 50, prompt_message("square", (2, 2), stamp(4), label=0))
    result, folder, _ = evaluate(tmp_path, tmp_path / "bag", "--model", weights)
    (entry,) = result["sequences"]
    assert (entry["prompted_frames"], entry["clicks"], entry["frames"]) == (2, 2, 8)
    assert [found["name"] for found in entry["objects"]] == ["square"]
    prompted = [row["prompted"] for row in read(folder / "sequences" / "bag" / "timing.csv")]
    assert prompted == ["square", "", "", ""] * 2


def test_positions_of_a_bag_with_depth_are_compared_with_those_of_the_true_masks(tmp_path, capsys):
    bag = write_depth_bag(tmp_path / "bag", truth=True, count=8)
    result, folder, code = evaluate(tmp_path, bag, "--model", "first-mask", "--prompt", "mask")
    (found,) = result["sequences"][0]["positions"]
    assert code == 0 and (found["images"], found["measured"], found["with_truth"], found["valid"]) == (8, 8, 8, 1.0)
    rows = read(folder / "sequences" / "bag" / "positions.csv")
    errors = [float(row["error_mm"]) for row in rows]  # of a mask that stays while the object moves on
    assert errors[0] == 0 and min(np.diff(errors)) > -0.01 and 45 < errors[-1] < 65
    assert result["positions"]["median_mm"] == found["median_mm"]
    assert f"1: position {found['median_mm']:.1f} mm off (median)" in capsys.readouterr().out
    page = (folder / "report.html").read_text()
    assert "<h2>Positions</h2>" in page and f"<td>{found['p95_mm']:.1f}</td>" in page
    assert result["configuration"]["depth"]["depth_scale"] == 0.001


def test_without_depth_a_report_has_no_positions(tmp_path, data_set):
    result, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert result["positions"] is None and "Positions" not in (folder / "report.html").read_text()
    assert not (folder / "sequences" / "short" / "positions.csv").exists()


@pytest.mark.parametrize("prompt", ["online", "online-sam", "online-restart", "offline"])
def test_interactive_protocols_give_a_curve(tmp_path, data_set, weights, prompt):
    options = ("--budgets", "1,3", "--sequences", "short", "--clicks", 1)
    result, _, code = evaluate(tmp_path, data_set, "--model", weights, "--prompt", prompt, *options)
    assert code == 0
    curve = result["sequences"][0]["curve"]
    assert [point["frames"] for point in curve] == ([1, 2, 3] if prompt == "offline" else [1, 3])
    counts = [(point["prompted_frames"], point["frames"]) for point in curve]
    assert all(prompted <= allowed for prompted, allowed in counts)
    if prompt != "online-sam":  # whose masks are empty, with random weights, and cannot start an object
        assert all(prompted == allowed for prompted, allowed in counts), "random weights fail on every frame"


def test_single_images_are_scored_by_clicks(tmp_path, data_set, weights):
    result, _, _ = evaluate(tmp_path, data_set, "--model", weights, "--prompt", "images", "--every", 4)
    assert set(result["sequences"][0]["image_iou"]) == {"1", "3", "5"}
    assert [one["annotated"] for one in result["sequences"]] == [3, 2]


def test_a_recording_that_cannot_be_evaluated_does_not_stop_the_others(tmp_path, data_set):
    bag = write_bag(tmp_path / "bag", truth=False, prompts=False)
    result, folder, code = evaluate(tmp_path, bag, data_set, "--model", "first-mask")
    assert code == 1
    assert result["failed"] == ["bag"]
    assert "neither prompts nor ground truth" in result["sequences"][0]["error"]
    assert result["sequences"][1]["j_and_f"] is not None
    assert "neither prompts nor ground truth" in (folder / "report.html").read_text()


def test_a_recording_that_cannot_be_read_does_not_stop_the_others(tmp_path, data_set):
    (tmp_path / "broken.mcap").write_bytes(b"no bag")
    result, _, code = evaluate(tmp_path, tmp_path / "broken.mcap", data_set, "--model", "first-mask")
    assert code == 1 and result["failed"] == ["broken"]
    assert "broken.mcap" in result["sequences"][0]["error"]
    assert [entry["j_and_f"] is None for entry in result["sequences"]] == [True, False, False]
    with pytest.raises(RecordingError, match="broken.mcap"):
        evaluate(tmp_path, tmp_path / "broken.mcap", "--model", "first-mask")


@pytest.fixture
def out_of_memory(monkeypatch):
    """A tracker that ends as torch does on a GPU that is full, on the third image of a sequence of nine."""

    class Greedy(baselines.FirstMask):
        def track(self, frame):
            if frame.stamp == stamp_of(6, 24.0):
                raise RuntimeError("CUDA out of memory")
            return super().track(frame)

    monkeypatch.setitem(baselines.BASELINES, "first-mask", Greedy)


def test_an_error_that_nobody_foresaw_is_the_result_of_its_recording(tmp_path, data_set, out_of_memory):
    result, _, code = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert code == 1 and result["failed"] == ["long"]
    assert result["sequences"][0]["error"] == "RuntimeError: CUDA out of memory"
    assert result["sequences"][1]["j_and_f"] is not None


def test_pictures_may_lie_elsewhere_behind_a_link(tmp_path, data_set):
    (data_set / "JPEGImages").rename(tmp_path / "frames")
    (data_set / "JPEGImages").symlink_to(tmp_path / "frames")
    result, _, code = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert code == 0 and result["objects"] == 2


def test_a_click_for_a_bag_with_prompts_only_is_refused_with_what_to_do(tmp_path):
    bag = write_bag(tmp_path / "bag", truth=False)
    result, _, _ = evaluate(tmp_path, bag, "--model", "first-mask", "--prompt", "1-click")
    assert "has no ground truth, which --prompt 1-click needs" in result["sequences"][0]["error"]
    assert "--prompt recorded" in result["sequences"][0]["error"]


def test_several_truths_that_may_be_meant_are_named_with_the_option_to_choose(tmp_path):
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for topic in ("/camera/image", "/sim/a/truth", "/sim/b/truth"):
            writer.write(topic, IMAGE, 1, image_message(picture(0), 1))
    result, _, _ = evaluate(tmp_path, tmp_path / "bag", "--model", "first-mask")
    assert "/sim/a/truth, /sim/b/truth; choose with --truth-topic" in result["sequences"][0]["error"]


def test_a_curve_of_a_sequence_that_is_too_short_for_scores_is_left_out(tmp_path, data_set):
    result, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask", "--sequences", "short")
    points = [{"frames": frames, "j_and_f": None, "prompted_frames": 1, "clicks": 1} for frames in (1, 2)]
    result["sequences"][0]["curve"] = points
    (folder / "result.json").write_text(json.dumps(result))
    assert "clicks against J&amp;F" not in report.page(folder)
    points[0]["j_and_f"], points[1]["j_and_f"] = 0.5, 0.6
    (folder / "result.json").write_text(json.dumps(result))
    assert ("clicks against J&amp;F" in report.page(folder)) == report.plots.AVAILABLE


def test_the_mean_curve_of_many_sequences_is_taken_at_equal_numbers_of_frames():
    assert report._mean_line([[(1, 50.0), (2, 60.0)], [(2, 80.0), (3, 90.0)]]) == [(1, 50.0), (2, 70.0), (3, 90.0)]


def test_the_clock_drops_frames_and_counts_them(tmp_path, weights):
    bag = write_bag(tmp_path / "bag", count=12)
    fast = 1_000  # nanoseconds between images: no machine keeps up
    with BagWriter(tmp_path / "fast", kept_free=0) as writer:
        for event in recordings.open(bag).events():
            shift = event.time // stamp(0)
            writer.write(event.topic, event.stored.type, stamp(0) + shift * fast, event.stored.raw)
    result, _, _ = evaluate(tmp_path, tmp_path / "fast", "--model", weights, "--on-clock")
    assert result["frames"] == 12 and result["tracked"] == 2, "the first, and the newest when that was done"


def test_an_unknown_sequence_is_refused_with_those_that_there_are(tmp_path, data_set):
    with pytest.raises(RecordingError, match="no sequence is called medium; there are: long, short"):
        evaluate(tmp_path, data_set, "--model", "first-mask", "--sequences", "medium")


def new_run(out, name):
    with run_folder(out, name) as run:
        (run / "result.json").touch()
    return run


def test_a_run_that_is_refused_leaves_nothing_and_the_newest_stays_latest(tmp_path, data_set):
    refused = data_set, "--model", "first-mask", "--sequences", "medium"
    with pytest.raises(RecordingError):
        evaluate(tmp_path, *refused)
    assert not (tmp_path / "runs").exists()
    new_run(tmp_path / "runs", "night")
    with pytest.raises(RecordingError):
        evaluate(tmp_path, *refused)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["latest", "night"]
    assert (tmp_path / "runs" / "latest").readlink() == Path("night")


def test_a_list_of_a_data_set_chooses_its_sequences(tmp_path, data_set, capsys):
    lists = data_set / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("short\n")
    every, _, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert [one["name"] for one in every["sequences"]] == ["long", "short"]
    assert "published numbers are of one of its lists: --split val" in capsys.readouterr().out
    listed, _, _ = evaluate(tmp_path, data_set, "--model", "first-mask", "--split", "val")
    assert [one["name"] for one in listed["sequences"]] == ["short"]
    assert "published numbers" not in capsys.readouterr().out
    with pytest.raises(RecordingError, match=r"no list ImageSets/test.txt; its lists: val"):
        evaluate(tmp_path, data_set, "--model", "first-mask", "--split", "test")
    (lists / "val.txt").write_text("short\nmy cup\n")
    with pytest.raises(RecordingError, match=r"lacks 1 of the 2 sequences of its list val: my cup"):
        evaluate(tmp_path, data_set, "--model", "first-mask", "--split", "val")


def test_a_data_set_that_is_one_of_its_lists_needs_no_choice(tmp_path, data_set, capsys):
    (data_set / "ImageSets").mkdir()
    (data_set / "ImageSets" / "train.txt").write_text("elsewhere\n")
    (data_set / "ImageSets" / "val.txt").write_text("long\nshort\n")
    evaluate(tmp_path, data_set, "--model", "first-mask")
    assert "--split" not in capsys.readouterr().out


def test_an_unknown_model_is_refused_before_anything_is_written(tmp_path, data_set):
    with pytest.raises(Exception, match="no-such-model"):
        evaluate(tmp_path, data_set, "--model", "no-such-model")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", ["--jobs", "--threads", "--clicks", "--every"])
def test_a_count_below_one_is_refused(tmp_path, option, capsys):
    with pytest.raises(SystemExit):
        run_command("evaluate", str(tmp_path), option, "0")
    assert f"argument {option}: '0' must be a whole number, 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["offline", "images"])
def test_protocols_that_look_at_every_image_refuse_the_clock(tmp_path, protocol):
    with pytest.raises(InvalidInput, match=f"--prompt {protocol} looks at every image"):
        run_command("evaluate", str(tmp_path), "--on-clock", "--prompt", protocol)


@pytest.mark.parametrize(
    "options, part",
    [
        (("--clicks", "2"), "--clicks belongs to the prompts online and offline, not to auto"),
        (("--prompt", "3-click", "--clicks", "2"), "--prompt 1-click, 3-click or 5-click"),
        (("--prompt", "mask", "--budgets", "1,2"), "--budgets belongs to"),
        (("--prompt", "images", "--clicks", "1"), "--clicks belongs to"),
        (("--prompt", "online", "--every", "2"), "--every belongs to the prompt images, not to online"),
        (("--model", "opencv", "--set", "hole_area=0"), "opencv has no settings of the tracker; leave out --set"),
        (("--model", "first-mask", "--paper"), "leave out --paper"),
        (("--model", "opencv", "--image-side", "512"), "opencv takes images as they are; leave out --image-side"),
        (("--set", "hole_area=99999"), "hole_area must be at most 4096"),
        (("--device", "toaster"), "device 'toaster' cannot be used"),
        (("--set", "visible_margin=nan"), "visible_margin must be a number"),
        (("--set", "hole_area=0", "--set", "hole_area=8"), "--set hole_area is given twice, with 0 and 8"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(tmp_path, options, part):
    with pytest.raises(InvalidInput) as error:
        run_command("evaluate", str(tmp_path), *options, "--out", str(tmp_path / "runs"))
    assert part in str(error.value) and not (tmp_path / "runs").exists()


def test_the_table_of_sequences_links_sorts_and_sets_its_last_row_apart(tmp_path, data_set):
    _, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    page = report.page(folder)
    table = page[page.index('<table class="sorts"') : page.index("</table>")]
    assert re.findall(r'<a href="#(s\d)">(\w+)</a>', table) == [("s0", "long"), ("s1", "short")]
    assert all(f'<h2 id="s{number}">' in page for number in (0, 1))
    assert "all objects" in table[table.index("<tfoot>") :] and "all objects" not in table[: table.index("<tfoot>")]
    heads = re.findall("<th>(.*?)</th>", table)
    assert "prompts" in heads and "clicks" not in heads
    assert heads[:5] == ["sequence", "objects", "J&amp;F", "J", "J in view"]
    cells = re.findall("<td>(.*?)</td>", table[table.index("<tfoot>") :])
    assert len(cells) == len(heads) and cells[1] == "2"


def test_a_score_is_rounded_once(tmp_path):
    for share in (0.315496, 0.3154999, 0.31545, 0.5, 1.0):
        shown = report._number(percent(share))
        assert shown == report._number(percent(plain(share))) == f"{round(100 * share, 4):.1f}"
    assert report._number(percent(0.315496)) == "31.5"
    assert report._number(-0.0) == "0.0"


def test_settings_of_the_tracker_are_given_by_name():
    assert named_value("hole_area=0") == ("hole_area", 0)
    assert named_value("non_overlapping=false") == ("non_overlapping", False)
    for text, message in (
        ("hole_area=big", "hole_area must be a number"),
        ("nonsense=1", "hole_area"),
        ("non_overlapping=no", "true or"),
    ):
        with pytest.raises(InvalidInput, match=message):
            named_value(text)


def test_runs_of_one_name_are_numbered_and_the_newest_is_latest(tmp_path):
    assert [new_run(tmp_path, "night").name for _ in range(3)] == ["night", "night-2", "night-3"]
    assert (tmp_path / "latest").resolve().name == "night-3"


def test_what_is_not_a_number_becomes_null():
    assert plain({"a": float("nan"), "b": (np.float64(1.5), Path("x")), 3: np.int64(2)}) == {
        "a": None,
        "b": [1.5, "x"],
        "3": 2,
    }


def test_masks_that_cannot_be_used_fail_their_sequence(tmp_path, data_set):
    for path in (data_set / "Annotations" / "short").iterdir():
        path.rename(path.with_name(f"{path.stem}_1.png"))
    result, _, code = evaluate(tmp_path, data_set, "--model", "first-mask")
    found = result["sequences"]
    assert code == 1 and found[0]["error"] in (None, "")
    assert "no ground truth could be used: 5 masks in" in found[1]["error"]


def test_options_of_bags_are_refused_where_no_recording_is_a_bag(tmp_path, data_set):
    with pytest.raises(InvalidInput, match="--node would be ignored"):
        batch.work_list([data_set], Job(data_set, tmp_path, topics=(("node", "/cam"),)), tmp_path)
