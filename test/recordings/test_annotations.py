import json

import cv2
import numpy as np
import pytest
from recordings.test_folders import truths, write_pictures

from sam2_ros import recordings
from sam2_ros.errors import RecordingError
from sam2_ros.recordings import coco_rle
from sam2_ros.recordings.annotations import MaskletFile

SIZE = (24, 32)
MASK = np.zeros(SIZE, bool)
MASK[5:9, 10:20] = True
CODE = coco_rle.encode(MASK)


def read(tmp_path):
    """The truths of the sequence, and what could not be read."""
    recording = recordings.open(tmp_path)
    return truths(recording), recording.lost


def write_masks(folder, names, values=MASK.astype(np.uint8)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(cv2.imencode(".png", values)[1].tobytes())


def test_masks_of_other_suffix_and_padding_are_used(tmp_path):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=3)
    write_masks(tmp_path / "Annotations" / "clip", ["0.PNG", "1.PNG", "2.PNG"])
    found, lost = read(tmp_path)
    assert len(found) == 3 and not lost


def test_masks_that_belong_to_no_picture_are_counted(tmp_path):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=3)
    write_masks(tmp_path / "Annotations" / "clip", ["00001.png", *(f"other{number}.png" for number in range(6, 12))])
    write_masks(tmp_path / "Annotations" / "clip" / "cup", ["00000.png"])
    (tmp_path / "Annotations" / "clip" / "00002.bmp").write_bytes(b"BM")
    found, lost = read(tmp_path)
    assert [truth.stamp for truth in found] == [round(2e9 / 24)]
    assert any(f"6 masks in {tmp_path}/Annotations/clip belong to no picture (other6.png" in line for line in lost)
    assert any("folders that are not used: cup" in line for line in lost)
    assert any("1 files" in line and "00002.bmp" in line for line in lost)


def test_a_mask_of_another_size_costs_that_mask_only(tmp_path):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=2)
    write_masks(tmp_path / "Annotations" / "clip", ["00000.png"])
    write_masks(tmp_path / "Annotations" / "clip", ["00001.png"], MASK.T.astype(np.uint8))
    found, lost = read(tmp_path)
    assert len(found) == 1
    assert len(lost) == 1 and "has 24x32 pixels and its picture" in lost[0]


def test_pixels_of_255_beside_an_object_are_not_counted_for_it(tmp_path):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=4)
    folder = tmp_path / "Annotations" / "clip"
    void = MASK.astype(np.uint8)
    void[:3] = 255
    write_masks(folder / "1", ["00000.png"], void)
    write_masks(folder / "1", ["00001.png"], np.where(MASK, 255, 0))  # all that is known of it is unclear
    write_masks(folder / "1", ["00002.png"], np.full(SIZE, 255))
    write_masks(folder / "2", ["00001.png", "00003.png"], np.where(MASK, 255, 0))  # black and white alone
    found, lost = read(tmp_path)
    assert not lost
    assert [sorted(truth.masks) for truth in found] == [[1], [1, 2], [2]]
    assert (found[0].masks[1] == MASK).all() and (found[0].ignored(1) == (void == 255)).all()
    assert not found[1].masks[1].any() and (found[1].ignored(1) == MASK).all()
    assert (found[1].masks[2] == MASK).all() and found[1].ignored(2) is None
    assert found[2].mask(1, SIZE) is None, "without a file it is not annotated"


@pytest.mark.parametrize("names", [("1", "001"), ("1", "70000")])
def test_two_folders_of_one_object_are_not_mixed(tmp_path, names):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=1)
    for name in names:
        write_masks(tmp_path / "Annotations" / "clip" / name, ["00000.png"])
    found, lost = read(tmp_path)
    assert list(found[0].masks) == [1] and len(lost) == 1 and "is not used" in lost[0]


def test_pictures_of_one_name_are_refused(tmp_path):
    write_pictures(tmp_path / "clip", count=2)
    write_pictures(tmp_path / "clip2", count=2, names="{:05d}.jpg")
    (tmp_path / "clip" / "00001.jpg").write_bytes((tmp_path / "clip2" / "00001.jpg").read_bytes())
    with pytest.raises(RecordingError, match=r"several pictures of one name \(00001.jpg, 00001.png\)"):
        list(recordings.open(tmp_path / "clip"))


def coco(tmp_path, *tracks, count=3, **video):
    """A sequence of ``count`` pictures with a COCO file; each track is a list of segmentations, or a whole entry."""
    if not (tmp_path / "JPEGImages" / "clip").exists():
        write_pictures(tmp_path / "JPEGImages" / "clip", count=count)
    entry = {"id": 1, "file_names": [f"clip/{index:05d}.jpg" for index in range(count)], **video}
    entries = [track if isinstance(track, dict) else {"video_id": 1, "segmentations": track} for track in tracks]
    content = {"videos": [None, {"id": 7, "file_names": []}, {"id": 8}, entry], "annotations": ["?", *entries]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    return read(tmp_path)


def test_polygons_are_filled(tmp_path):
    square = [10, 5, 20, 5, 20, 9, 10, 9]
    found, lost = coco(tmp_path, [[square], [square, [0, 0, 3, 0, 0, 1.2]], None])
    assert not lost and [sorted(truth.masks) for truth in found] == [[1], [1], []]
    assert (found[0].masks[1] == MASK).all()
    assert found[1].masks[1].sum() == MASK.sum() + 2, "two centres lie in the triangle"


DAMAGED = {
    "no counts": {"size": list(SIZE)},
    "non-ASCII counts": {"size": list(SIZE), "counts": "ü5"},
    "odd signs": {"size": list(SIZE), "counts": " !"},
    "surrogates": {"size": list(SIZE), "counts": "\ud800"},
    "negative size": {"size": [-24, -32], "counts": CODE["counts"]},
    "other size": {"size": [32, 24], "counts": CODE["counts"]},
    "half a size": {"size": [24.5, 32], "counts": CODE["counts"]},
    "one side": {"size": [24], "counts": CODE["counts"]},
    "huge": {"size": [10**9, 10**9], "counts": [10**18]},
    "huge runs": {"size": list(SIZE), "counts": [10**30, -1]},
    "long run": {"size": list(SIZE), "counts": "o" * 5000 + "0"},
    "nan": {"size": list(SIZE), "counts": [float("nan")]},
    "nested": {"size": list(SIZE), "counts": [[768]]},
    "texts": {"size": list(SIZE), "counts": ["768"]},
    "nothing": {},
    "a number": 5,
    "a text": "x",
    "true": True,
    "polygon of texts": [["a"] * 6],
    "short polygon": [[1, 2, 3, 4]],
    "odd polygon": [[1, 2, 3, 4, 5, 6, 7]],
    "infinite polygon": [[1, 2, 3, float("inf"), 5, 6]],
    "mixed": [[1, 2, 3, 4, 5, 6], 7],
}


@pytest.mark.parametrize("code", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_code_costs_one_object_on_one_image(tmp_path, code):
    found, lost = coco(tmp_path, [CODE, code, CODE], [None, CODE, None], [CODE, None, None])
    assert [sorted(truth.masks) for truth in found] == [[1, 3], [2, 3], [1]]
    assert found[1].mask(1, SIZE) is None and not found[1].masks[3].any(), "absent is not the same as unknown"
    assert len(lost) == 1 and "object 1 on 00001" in lost[0]


def test_sizes_that_are_written_as_floats_are_read(tmp_path):
    found, lost = coco(tmp_path, [{"size": [24.0, 32.0], "counts": [0.0, 768.0]}] * 3)
    assert not lost and found[0].masks[1].all()


@pytest.mark.parametrize(
    ("track", "sentence"),
    [
        ({"video_id": 1, "object_id": 3, "segmentations": [CODE]}, "its list ends after 1 images"),
        ({"video_id": 1, "object_id": 3}, "no list of segmentations"),
        ({"video_id": 1, "object_id": 3, "segmentations": 5}, "no list of segmentations"),
        ({"video_id": 1, "object_id": 2, "segmentations": [CODE] * 3}, "two objects have the number 2"),
        *(
            ({"video_id": 1, "object_id": number, "segmentations": [CODE] * 3}, "is not a number of an object")
            for number in (0, -1, 1.5, "3", None, [1], {"a": 1}, True, 70000)
        ),
    ],
)
def test_a_damaged_track_costs_that_track(tmp_path, track, sentence):
    found, lost = coco(tmp_path, {"video_id": 1, "object_id": 2, "segmentations": [CODE] * 3}, track)
    assert all(2 in truth.masks for truth in found) and len(found) == 3
    assert sentence in lost[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"5",
        b"\xff\xfe\x00",
        b'{"videos": 3, "annotations": []}',
        b'{"videos": []}',
        b"[" * 100_000,
        b'{"videos": [], "annotations": [NaN',
    ],
)
def test_what_is_no_coco_file_is_refused_by_name(tmp_path, content):
    write_pictures(tmp_path / "JPEGImages" / "clip", count=1)
    (tmp_path / "annotations.json").write_bytes(content)
    with pytest.raises(RecordingError, match="annotations.json is not a COCO file for videos"):
        read(tmp_path)


def test_a_sequence_that_the_coco_file_does_not_know_says_so(tmp_path):
    found, lost = coco(tmp_path, [CODE] * 3, file_names=["other/00000.jpg"])
    assert not found and "has no video with pictures in a folder clip" in lost[0]
    found, lost = coco(tmp_path, [CODE] * 3, file_names=["clip/7.jpg", "clip/00001.jpg", None])
    assert len(found) == 1 and "1 annotated images of clip" in lost[0]


@pytest.mark.parametrize("number", ["1", None, float("nan"), [1]])
def test_annotations_of_no_video_in_the_coco_file_are_said(tmp_path, number):
    found, lost = coco(tmp_path, [CODE] * 3, {"video_id": number, "segmentations": [CODE] * 3})
    assert [sorted(truth.masks) for truth in found] == [[1]] * 3
    assert len(lost) == 1 and "1 annotations are not used: no video has their video_id" in lost[0]


@pytest.mark.parametrize("annotated", [[-1], [3], [0, True], 5, "0"])
def test_a_damaged_list_of_annotated_images_is_said_and_every_image_counts(tmp_path, annotated):
    found, lost = coco(tmp_path, [CODE] * 3, annotated=annotated)
    assert len(found) == 3 and len(lost) == 1 and "annotated of clip is not a list of places" in lost[0]


def test_masks_beyond_the_last_image_of_a_video_are_said(tmp_path):
    found, lost = coco(tmp_path, [CODE] * 5)
    assert len(found) == 3 and len(lost) == 1 and "object 1 has masks of 5 images, its video has 3" in lost[0]


def test_a_second_video_of_the_same_folder_is_said(tmp_path):
    coco(tmp_path, [CODE] * 3)
    file = tmp_path / "annotations.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"videos": [content["videos"][-1], {**content["videos"][-1], "id": 2}]}))
    found, lost = read(tmp_path)
    assert len(found) == 3 and len(lost) == 1 and "2 videos with pictures in a folder clip; the first one" in lost[0]


def test_many_sentences_become_a_number(tmp_path):
    _, lost = coco(tmp_path, *[["x"] * 3] * 30)
    assert len(lost) == 9 and lost[-1] == "and 82 more sentences about masks"


# -- SA-V ----------------------------------------------------------------------------------------


def masklets(tmp_path, **content):
    (tmp_path / "a_manual.json").write_text(json.dumps(content))
    return MaskletFile(tmp_path / "a_manual.json")


def test_the_first_appearance_in_a_masklet_file_counts_annotated_images(tmp_path):
    found = masklets(tmp_path, masklet=[[CODE, CODE]] * 4, masklet_first_appeared_frame=[0.0, 2.0])
    shown = {index: sorted(truth.masks) for index in range(16) if (truth := found.truth(index, 1, SIZE))}
    assert shown == {0: [1], 4: [1], 8: [1, 2], 12: [1, 2]}
    assert not found.all_lost()


@pytest.mark.parametrize("first", [None, [], [0], 5, ["x", None], [[1], {}], [float("nan")] * 2, [float("inf")] * 2])
def test_a_damaged_list_of_first_appearances_leaves_the_masks(tmp_path, first):
    found = masklets(tmp_path, masklet=[[CODE, CODE]], masklet_first_appeared_frame=first)
    assert 2 in found.truth(0, 1, SIZE).masks


def test_a_damaged_masklet_costs_one_object_on_one_image(tmp_path):
    found = masklets(tmp_path, masklet=[[CODE, DAMAGED["huge"]], None, [None, CODE], 7, [CODE, CODE]])
    shown = {index: sorted(truth.masks) for index in range(16) if (truth := found.truth(index, 1, SIZE))}
    assert shown == {0: [1], 8: [2]}
    lost = found.all_lost()
    assert len(lost) == 3 and "object 2 on image 0" in lost[0] and "1 images beyond the last of the video" in lost[2]
