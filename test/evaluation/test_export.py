import json
import os

import numpy as np
import pytest
from recordings.bags import IMAGE, PROMPT, image_message, labels, picture, prompt_message, stamp, write_bag
from recordings.test_pictures import turned_jpeg
from run_command import evaluate, run_command

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.evaluation import export
from sam2_ros.evaluation.export import FORMATS
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.pictures import is_turned, read_picture
from sam2_ros.recordings.recording import Truth

AS_PROMPTED = "--prompt", "recorded", "--model", "first-mask"


@pytest.fixture
def finished(tmp_path, data_set, quick_plots):
    """A run over a data set whose masks are known: those of the first image."""
    return evaluate(tmp_path, data_set, "--model", "first-mask")[1]


def truths(recording):
    return {event.content.stamp: event.content for event in recording.events() if isinstance(event.content, Truth)}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_back_with_its_pictures_and_masks(tmp_path, finished, kind):
    assert run_command("export", str(finished), "--format", kind, "--out", str(tmp_path / "out")) == 0
    found = recordings.find(tmp_path / "out")
    assert [recording.name for recording in found] == ["long", "short"]
    for recording, count in zip(found, (9, 5)):
        frames = list(recording)
        assert len(frames) == count
        assert all((frame.image == picture(index)).all() for index, frame in enumerate(frames))
        step = 4 if kind == "sa-v" else 1  # 6 of 24 images a second
        read = truths(recording)
        assert list(read) == [frame.stamp for frame in frames[::step]]
        assert all((truth.masks[1] == labels(0)).all() and list(truth.masks) == [1] for truth in read.values())


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_can_be_evaluated(tmp_path, finished, kind):
    export.export(finished, kind, tmp_path / "out")
    result, _, _ = evaluate(tmp_path / "again", tmp_path / "out", "--model", "first-mask", "--rules", "every-frame")
    assert (result["j_and_f"], result["objects"]) == (100.0, 2)


def test_masks_that_lie_there_are_not_replaced(tmp_path, finished):
    export.export(finished, "davis", tmp_path / "out")
    corrected = tmp_path / "out" / "Annotations" / "long" / "00000.png"
    corrected.write_bytes(b"by hand")
    with pytest.raises(RecordingError, match="is not an empty folder; name a new one"):
        export.export(finished, "davis", tmp_path / "out")
    assert corrected.read_bytes() == b"by hand"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_an_export_that_fails_leaves_nothing_that_blocks_the_next_try(tmp_path, finished, monkeypatch, kind, error):
    def failing(*_):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(export, "read_labels", failing)
        with pytest.raises(RecordingError if isinstance(error, OSError) else KeyboardInterrupt):
            export.export(finished, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export.export(finished, kind, tmp_path / "out") == 2


@pytest.mark.parametrize(
    "text", ["3", "[]", '{"sequences": [{}]}', '{"sequences": 3}', '{"sequences": ["x"]}', "[" * 99999]
)
def test_a_result_that_is_none_is_a_sentence(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RecordingError, match="is not a (whole )?result of an evaluation"):
        export.export(tmp_path, "davis", tmp_path / "out")


def test_a_data_set_whose_name_is_no_text_is_evaluated_reported_and_exported(tmp_path, data_set):
    name = os.fsdecode(b"caf\xe9")
    for part in ("JPEGImages", "Annotations"):
        (data_set / part / "short").rename(data_set / part / name)
    odd = data_set.rename(tmp_path / os.fsdecode(b"d\xe9 #1"))
    _, folder, code = evaluate(tmp_path, odd, "--model", "first-mask")
    assert code == 0 and r"caf\udce9" in (folder / "report.html").read_text(encoding="utf-8")
    for kind in FORMATS:
        assert export.export(folder, kind, tmp_path / kind) == 2
        assert name in {one.name for one in recordings.find(tmp_path / kind)}
    assert b"caf\xe9\n" in (tmp_path / "davis" / "ImageSets" / "val.txt").read_bytes()


def test_only_some_images_are_annotated_when_asked_for(tmp_path, finished):
    for kind in ("davis", "coco-rle"):
        export.export(finished, kind, tmp_path / kind, every=4)
        assert len(truths(recordings.open(tmp_path / kind / "JPEGImages" / "long"))) == 3


def test_youtube_vos_lists_the_images_that_show_each_object(tmp_path, finished):
    export.export(finished, "youtube-vos", tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["videos"]["short"]["objects"] == {
        "1": {"category": "1", "frames": [f"{index:05d}" for index in range(5)]}
    }


def test_a_bag_becomes_a_data_set_with_the_names_of_its_objects(tmp_path):
    bag = write_bag(tmp_path / "bag", count=6)
    export.export(evaluate(tmp_path, bag, *AS_PROMPTED)[1], "youtube-vos", tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["videos"]["bag"]["objects"]["1"]["category"] == "square"
    frames = list(recordings.open(tmp_path / "out"))
    assert len(frames) == 6
    assert np.abs(frames[3].image.astype(int) - picture(3)).mean() < 5, "JPEG"


def test_a_run_without_label_images_is_refused(tmp_path, data_set, weights):
    _, folder, _ = evaluate(tmp_path, data_set, "--model", weights, "--prompt", "images", "--every", 99)
    with pytest.raises(RecordingError, match="no label images"):
        export.export(folder, "davis", tmp_path / "out")


def test_a_recording_that_is_gone_is_said(tmp_path, finished, data_set):
    data_set.rename(tmp_path / "moved")
    with pytest.raises(RecordingError, match="does not exist"):
        export.export(finished, "davis", tmp_path / "out")


def recorded(tmp_path, annotated, count=6):
    """A run over a bag in which the square, whose true id is 3, is annotated on some images only."""
    with BagWriter(tmp_path / "bag", kept_free=0) as writer:
        for index in range(count):
            writer.write("/camera/image", IMAGE, stamp(index), image_message(picture(index), stamp(index)))
            if index in annotated:
                writer.write("/ground_truth", IMAGE, stamp(index) + 1, image_message(3 * labels(index), stamp(index)))
        writer.write("/sam2_ros/prompt", PROMPT, stamp(0) + 2, prompt_message("square", (10, 20), stamp(0)))
    return evaluate(tmp_path, tmp_path / "bag", *AS_PROMPTED)[1]


def test_an_object_has_one_id_in_all_images_though_its_truth_begins_late(tmp_path):
    export.export(recorded(tmp_path, annotated=[3, 4]), "davis", tmp_path / "out")
    assert [list(truth.masks) for truth in truths(recordings.open(tmp_path / "out")).values()] == [[3]] * 6


def test_objects_of_a_recording_without_truth_keep_their_names(tmp_path):
    export.export(recorded(tmp_path, annotated=[]), "youtube-vos", tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert [one["category"] for one in meta["videos"]["bag"]["objects"].values()] == ["square"]


def test_sa_v_has_six_masks_of_a_second_of_a_bag_too(tmp_path):
    export.export(recorded(tmp_path, annotated=[0]), "sa-v", tmp_path / "out")
    masks = tmp_path / "out" / "Annotations_6fps" / "bag" / "000"
    assert [path.stem for path in sorted(masks.iterdir())] == ["00000", "00002", "00004"], "10 images a second"


def test_label_images_are_in_the_order_of_their_numbers(tmp_path, finished):
    folder = finished / "sequences" / "short" / "labels"
    for index in range(5):
        (folder / f"{index:05d}.png").rename(folder / f"{99_997 + index}.png")
    (_, short) = export.masklets_of(finished)
    assert [path.stem for path in short.labels] == ["99997", "99998", "99999", "100000", "100001"]


def test_a_picture_that_exif_data_turn_is_exported_as_it_was_segmented(tmp_path):
    for index in range(2):
        (tmp_path / "in" / "JPEGImages" / "clip").mkdir(parents=True, exist_ok=True)
        shown = read_picture(turned_jpeg(tmp_path / "in" / "JPEGImages" / "clip" / f"{index}.jpg", 6))
        LabelWriter(tmp_path / "in" / "Annotations" / "clip").write((shown[..., 0] > 128).astype(np.uint8), str(index))
    export.export(evaluate(tmp_path, tmp_path / "in", "--model", "first-mask")[1], "davis", tmp_path / "out")
    path = tmp_path / "out" / "JPEGImages" / "clip" / "1.jpg"
    assert not is_turned(path) and read_picture(path).shape == shown.shape
    assert recordings.read_labels(tmp_path / "out" / "Annotations" / "clip" / "1.png").shape == shown.shape[:2]
