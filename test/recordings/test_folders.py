import json
import os

import cv2
import numpy as np
import pytest

from sam2_ros import recordings
from sam2_ros.errors import InvalidInput, RecordingError
from sam2_ros.recordings import coco_rle
from sam2_ros.recordings.folders import splits
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.recording import Truth
from sam2_ros.types import Frame


def write_pictures(folder, count=5, size=(24, 32), names="{:05d}.png"):
    folder.mkdir(parents=True)
    for index in range(count):
        image = np.full((*size, 3), (0, 0, 10 * index), np.uint8)  # BGR: red grows
        cv2.imwrite(str(folder / names.format(index)), image)
    return folder


def labels_with(*ids, size=(24, 32)):
    labels = np.zeros(size, np.uint8)
    for value in ids:
        labels[value % size[0], :] = value
    return labels


def write_video(path, count=12, rate=10.0, size=(48, 64)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (size[1], size[0]))
    for index in range(count):
        writer.write(np.full((*size, 3), (0, 0, 20 * index), np.uint8))
    writer.release()
    return path


def truths(recording):
    return [event.content for event in recording.events() if isinstance(event.content, Truth)]


def test_a_folder_of_pictures_is_a_stream_of_rgb_frames_in_the_order_of_their_numbers(tmp_path):
    folder = write_pictures(tmp_path / "clip", count=12, names="image{}.png")
    recording = recordings.open(folder, rate=10)
    frames = list(recording)
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [10 * index for index in range(12)]
    assert [frame.stamp for frame in frames] == [100_000_000 * (index + 1) for index in range(12)]
    assert recording.frames == 12
    assert recording.stem(11) == "image11"
    assert not recording.has_truth
    assert len(list(recording)) == 12, "iterating again starts again"


def test_a_picture_that_cannot_be_read_is_skipped_and_named(tmp_path):
    folder = write_pictures(tmp_path / "clip")
    (folder / "00002.png").write_bytes(b"not a picture")
    recording = recordings.open(folder, rate=10)
    assert [frame.stamp for frame in recording] == [100_000_000 * number for number in (1, 2, 4, 5)]
    assert recording.lost == [f"{folder}/00002.png is not a readable picture: 13 bytes are not a readable picture"]
    assert recording.stem(2) == "00003", "results are named after the picture that they belong to"


def test_a_folder_of_unreadable_pictures_is_an_error(tmp_path):
    folder = write_pictures(tmp_path / "clip", count=1)
    (folder / "00000.png").write_bytes(b"")
    with pytest.raises(RecordingError, match="none of the 1 pictures"):
        list(recordings.open(folder))


@pytest.mark.parametrize("between", ["", "480p"])
def test_the_davis_layout_pairs_pictures_with_label_images(tmp_path, between):
    for name in ("bear", "dog"):
        write_pictures(tmp_path / "JPEGImages" / between / name)
        writer = LabelWriter(tmp_path / "Annotations" / between / name)
        for _ in range(5):
            writer.write(labels_with(1, 2, 255))
    found = recordings.find(tmp_path)
    assert [recording.name for recording in found] == ["bear", "dog"]
    events = list(found[1].events())
    assert [type(event.content) for event in events[:2]] == [Frame, Truth]
    assert events[0].content.stamp == events[1].content.stamp
    truth = events[1].content
    assert sorted(truth.masks) == [1, 2]
    assert truth.ignore.sum() == 32
    assert not truth.mask(7, (24, 32)).any()


def test_one_sequence_of_a_data_set_finds_its_annotations_itself(tmp_path):
    folder = write_pictures(tmp_path / "JPEGImages" / "480p" / "bear")
    LabelWriter(tmp_path / "Annotations" / "480p" / "bear").write(labels_with(3))
    recording = recordings.open(folder)
    assert recording.has_truth
    assert [sorted(truth.masks) for truth in truths(recording)] == [[3]]


def test_a_data_set_opened_as_one_recording_lists_its_sequences(tmp_path):
    for name in ("bear", "dog"):
        write_pictures(tmp_path / "JPEGImages" / name)
    with pytest.raises(RecordingError, match="bear, dog"):
        recordings.open(tmp_path)


def test_youtube_vos_annotates_some_pictures_only(tmp_path):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=11)
    writer = LabelWriter(tmp_path / "Annotations" / "clip")
    for index in (0, 5, 10):
        writer.write(labels_with(1), f"{index:05d}")
    recording = recordings.open(tmp_path, rate=10)
    assert [truth.stamp for truth in truths(recording)] == [100_000_000, 600_000_000, 1_100_000_000]


def test_sa_v_masks_may_overlap_and_objects_may_be_unannotated(tmp_path):
    write_pictures(tmp_path / "JPEGImages_24fps" / "sav_000001", count=5)
    for name, pictures in (("000", (0, 4)), ("001", (4,))):
        writer = LabelWriter(tmp_path / "Annotations_6fps" / "sav_000001" / name)
        for index in pictures:
            writer.write(labels_with(1), f"{index:05d}")
    first, last = truths(recordings.open(tmp_path))
    assert sorted(first.masks) == [1]
    assert first.mask(2, (24, 32)) is None, "not annotated is not the same as absent"
    assert (last.masks[1] & last.masks[2]).any()


def test_a_video_is_a_stream_of_stamped_frames(tmp_path):
    recording = recordings.open(write_video(tmp_path / "clip.avi"))
    frames = list(recording)
    assert recording.frames == len(frames) == 12
    assert recording.rate == pytest.approx(10)
    assert [round(frame.stamp / 1e8) for frame in frames] == list(range(1, 13))
    assert abs(int(frames[5].image[..., 0].mean()) - 100) < 6, "red is the first channel"


def twelve_bits(index):
    """A scene that trembles a little, by a 12-bit camera."""
    return np.linspace(300 + 9 * index, 2300 - 9 * index, 48 * 64).reshape(48, 64).astype(np.uint16)


def assert_levels_are_kept_and_steady(recording):
    images = [frame.image for frame in recording]
    assert len(images) == 4 and all(len(np.unique(image)) > 200 for image in images)
    assert all(image.max() < images[0].max() for image in images[1:]), "the range does not follow each image"
    assert all((again.image == image).all() for again, image in zip(recording, images)), "again the same"


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_pictures_of_a_camera_with_more_than_eight_bits_are_read_by_one_steady_range(tmp_path, suffix):
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.{suffix}"), twelve_bits(index))
    assert_levels_are_kept_and_steady(recordings.open(tmp_path))
    full = recordings.open(tmp_path, image_range="full")
    assert len(np.unique(next(iter(full)).image)) < 12
    assert [frame.image.max() for frame in recordings.open(tmp_path, image_range="0,2200")] == [255] * 4


def test_a_video_of_sixteen_bits_keeps_its_grey_levels(tmp_path):
    path = str(tmp_path / "clip.mkv")
    writer = cv2.VideoWriter(
        path,
        cv2.CAP_FFMPEG,
        cv2.VideoWriter_fourcc(*"FFV1"),
        10,
        (64, 48),
        [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0],
    )
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no FFV1 of 16 bits")
    for index in range(4):
        writer.write(twelve_bits(index))
    writer.release()
    assert_levels_are_kept_and_steady(recordings.open(path))


def test_what_is_no_range_of_values_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="image_range must be auto, full, or LOW,HIGH"):
        recordings.open(write_pictures(tmp_path / "clip"), image_range="9,1")


def test_a_truncated_video_gives_what_it_has_and_says_what_was_lost(tmp_path):
    path = write_video(tmp_path / "clip.avi", count=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    recording = recordings.open(path)
    count = len(list(recording))
    assert 0 < count < 40
    if recording.frames is not None:
        assert recording.lost


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("clip.mp4", b"no video", "cannot be opened"),
        ("clip.txt", b"text", "of no known kind"),
        ("gone.mp4", None, "does not exist"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        recordings.open(tmp_path / name)


def test_a_folder_of_something_else_says_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(RecordingError, match=r"notes\.txt"):
        recordings.open(tmp_path)


def test_a_training_video_of_sa_v_brings_its_masklets(tmp_path):
    path = write_video(tmp_path / "sav_000001.avi", count=10)
    mask = np.zeros((48, 64), bool)
    mask[10:20, 30:40] = True
    codes = [[coco_rle.encode(mask), coco_rle.encode(mask & (place > 0))] for place in range(3)]
    (tmp_path / "sav_000001_manual.json").write_text(
        json.dumps({"masklet": codes, "masklet_first_appeared_frame": [0.0, 1.0]})
    )
    recording = recordings.open(path)
    assert recording.has_truth
    assert [sorted(truth.masks) for truth in truths(recording)] == [[1], [1, 2], [1, 2]]
    stamps = [frame.stamp for frame in recording]
    assert [truth.stamp for truth in truths(recording)] == stamps[::4]
    (tmp_path / "sav_000001_manual.json").write_text("[]")
    with pytest.raises(RecordingError, match="masklet file"):
        list(recording)


@pytest.mark.parametrize(("ids", "shown"), [((7, 255), [[], [7]]), ((255,), [[1], [1]])])
def test_255_in_grey_label_images_means_the_same_in_all_of_a_sequence(tmp_path, ids, shown):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=2)
    (tmp_path / "Annotations" / "clip").mkdir(parents=True)
    for index, values in enumerate([(255,), ids]):  # at first every object is hidden
        cv2.imwrite(str(tmp_path / "Annotations" / "clip" / f"{index:05d}.png"), labels_with(*values))
    found = truths(recordings.open(tmp_path))
    assert [list(truth.masks) for truth in found] == shown
    assert [truth.ignore is not None for truth in found] == [7 in ids] * 2


def test_a_list_of_sequences_may_come_from_any_system(tmp_path):
    lists = tmp_path / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_bytes(b"\xef\xbb\xbfcup\r\ncaf\xe9\r\n\r\n")
    (lists / "._val.txt").write_bytes(b"Mac OS X")
    assert splits(tmp_path) == {"val": ["cup", os.fsdecode(b"caf\xe9")]}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_list_of_sequences_in_utf_16_is_refused_with_what_to_do(tmp_path, encoding):
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets" / "val.txt").write_bytes("\ufeffcup\n".encode(encoding))
    with pytest.raises(RecordingError, match="val.txt is UTF-16; save it as UTF-8"):
        splits(tmp_path)


def test_a_list_of_pictures_as_davis_2016_has_it_is_one_of_their_sequences(tmp_path):
    lists = tmp_path / "ImageSets" / "2016"
    lists.mkdir(parents=True)
    lines = [
        f"/JPEGImages/480p/{name}/{n:05d}.jpg /Annotations/480p/{name}/{n:05d}.png\n"
        for name in ("bear", "camel")
        for n in range(2)
    ]
    (lists / "val.txt").write_text("".join(lines))
    assert splits(tmp_path) == {"val": ["bear", "camel"]}
