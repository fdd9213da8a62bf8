import itertools

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.training.clips import ClipSource, ClipStock
from sam2_ros.training.motion import elsewhere, lingering


@pytest.fixture(scope="module")
def source():
    return ClipSource(ClipStock(seed=3))


def test_a_clip_has_frames_and_a_mask_of_every_object_on_every_frame(source):
    clip = source.draw(0, frames=4, side=96)
    frames, objects = clip.masks.shape[:2]
    assert clip.frames.shape == (4, 96, 96, 3) and clip.frames.dtype == np.uint8
    assert frames == 4 and 1 <= objects <= 3 and clip.masks.shape[2:] == (96, 96)


def test_every_object_can_be_prompted_on_the_first_frame(source):
    for index in range(12):
        assert source.draw(index, frames=2, side=64).masks[0].any(axis=(1, 2)).all()


def test_the_same_number_is_the_same_clip_and_another_is_another(source):
    again = ClipSource(ClipStock(seed=3))
    clip, same, other = source.draw(5, 3, 64), again.draw(5, 3, 64), source.draw(6, 3, 64)
    assert (clip.frames == same.frames).all() and (clip.masks == same.masks).all()
    assert (clip.frames != other.frames).any()


def test_a_clip_may_be_larger_than_the_noise_that_is_laid_over_it(source):
    side = len(source.grain) + 32
    clip = source.draw(1, frames=1, side=side)
    assert clip.frames.shape == (1, side, side, 3) and clip.masks.any()
    random = np.random.default_rng(0)
    first, second = (source._grain(random, side) for _ in range(2))
    assert first.shape == (side, side, 3) and (first != second).any()


def test_things_move_and_some_disappear(source):
    clips = [source.draw(index, 6, 64) for index in range(30)]
    moved = [(clip.masks[0] != clip.masks[-1]).any() for clip in clips]
    gone = [
        not clip.masks[number, one].any() for clip in clips for number in range(6) for one in range(clip.masks.shape[1])
    ]
    assert np.mean(moved) > 0.5 and any(gone)


def test_things_linger_in_front_of_others_and_come_back_elsewhere():
    random = np.random.default_rng(0)
    target = np.cumsum(random.normal(0, 0.02, (40, 2)), axis=0) + 0.5
    apart = np.abs(lingering(random, target) - target).max(axis=1)
    assert (apart < 0.1).sum() >= 10 and apart[0] > 0.2
    away = elsewhere(random, 40)
    outside = ((away < 0) | (away > 1)).any(axis=1)
    assert not outside[0] and not outside[-1] and outside.sum() >= 4
    assert np.abs(away[0] - away[-1]).max() > 0.1


def test_more_goes_out_of_sight_where_things_linger():
    absent = []
    for share in (0.0, 1.0):
        drawn = ClipSource(ClipStock(seed=3, lingering_share=share))
        absent.append(np.mean([(~drawn.draw(index, 8, 64).masks[1:].any(axis=(2, 3))).mean() for index in range(12)]))
    assert absent[1] > 2 * absent[0]


def test_look_alikes_can_be_made_to_cross():
    def crossings(share):
        drawn = ClipSource(ClipStock(seed=3, crossing_share=share))
        random = np.random.default_rng(0)
        found = 0
        for _ in range(40):
            layers = drawn._layers(random, 8, 64, 3)
            for one, other in itertools.combinations(layers, 2):
                if one.sprites is other.sprites:
                    middle = np.array([one.sprites.shape[1] / 2] * 2 + [1])
                    apart = np.linalg.norm(((one.matrices - other.matrices) @ middle)[:, :2], axis=1)
                    found += apart[0] > 16 and apart.min() < 8
        return found

    assert crossings(1.0) > 2 * crossings(0.0)


def test_footage_is_seen_by_another_camera_with_its_masks_on_the_same_pixels(tmp_path):
    folder = davis_folder(tmp_path, 1)
    source, still = (
        ClipSource(ClipStock(seed=1, footage=folder, footage_share=1.0, plain_share=1.0, held_out=held_out))
        for held_out in (False, True)
    )
    clips, plain = ([one.draw(index, 3, 64) for index in range(8)] for one in (source, still))
    assert any((one.masks != other.masks).any() for one, other in zip(clips, plain))
    for one in clips:
        inside, outside = (one.frames[:, :, :, 0][one.masks[:, 0] == value].mean() for value in (True, False))
        assert abs(inside - outside) > 10


def test_objects_that_cover_too_little_are_not_asked_for(source):
    for index in range(8):
        assert (source.draw(index, 1, 64, smallest=0.05).masks[0].mean(axis=(1, 2)) > 0.04).all()


def test_objects_that_go_out_of_sight_can_be_asked_for_before_others(source):
    def hidden(vanishing):
        masks = [source.draw(index, 6, 64, objects=1, vanishing=vanishing).masks for index in range(20)]
        return sum(not mask.any(axis=(2, 3)).all() for mask in masks)

    assert hidden(1.0) > hidden(0.0)


def davis_folder(
    folder, values, beside=0, encode=lambda label: cv2.imencode(".png", label)[1].tobytes(), dtype=np.uint8
):
    """Two short videos of a bright square on grey that moves to the right; ``beside`` it, labels of a strip below."""
    for name in ("one", "two"):
        (folder / "JPEGImages" / name).mkdir(parents=True)
        (folder / "Annotations" / name).mkdir(parents=True)
        for number in range(5):
            image, label = np.full((60, 90, 3), 90, np.uint8), np.zeros((60, 90), dtype)
            label[50:] = beside
            image[15:45, 10 + 8 * number : 40 + 8 * number] = (40, 220, 250)
            label[15:45, 10 + 8 * number : 40 + 8 * number] = values
            cv2.imwrite(str(folder / "JPEGImages" / name / f"{number:05d}.jpg"), image)
            (folder / "Annotations" / name / f"{number:05d}.png").write_bytes(encode(label))
    return folder


@pytest.mark.parametrize("value", [1, 255])
def test_footage_gives_its_object_with_the_mask_on_its_pixels(tmp_path, value):
    from sam2_ros.training.footage import Footage

    footage = Footage(davis_folder(tmp_path, value))
    images, masks = footage.clip(np.random.default_rng(0), 3, 64)
    masks = masks[:, 0]
    inside, outside = images[masks > 200].mean(axis=0), images[masks < 50].mean(axis=0)
    assert inside[0] > 220 and inside[2] < 70 and abs(outside - 90).max() < 25


@pytest.mark.parametrize(
    "value, beside, dtype",
    [
        (1, 16, np.uint8),  # equally bright in the palette of PASCAL VOC
        (1, 255, np.uint8),  # 255 means unknown
        (3, 700, np.uint16),  # more than eight bits
        (255, 511, np.uint16),  # where 255 is an object like others
    ],
)
def test_objects_are_told_apart_by_what_the_file_stores(tmp_path, value, beside, dtype):
    from sam2_ros.recordings.labels import IGNORE_LABEL, encode_labels
    from sam2_ros.training.footage import Footage, _an_object

    footage = Footage(davis_folder(tmp_path, value, beside, encode_labels, dtype))
    label = footage.sequences[0].label(0)
    wanted = {_an_object(np.random.default_rng(seed), label) for seed in range(20)}
    assert wanted == ({value} if beside == IGNORE_LABEL else {value, beside})
    assert (label == value).sum() == 30 * 30


def test_white_among_ids_is_no_object_of_footage(tmp_path):
    from sam2_ros.recordings.labels import ids_in
    from sam2_ros.training.footage import Footage

    folder = davis_folder(tmp_path, 3)
    path = folder / "Annotations" / "one" / "00000.png"
    cv2.imwrite(str(path), np.where(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) == 3, 255, 0).astype(np.uint8))
    one = Footage(folder).sequences[0]
    assert [ids_in(one.label(number)) for number in (0, 1)] == [[], [3]]


def test_all_objects_of_footage_can_be_asked_for_at_once(tmp_path):
    source = ClipSource(ClipStock(seed=1, footage=davis_folder(tmp_path, 1, 2), footage_share=1.0, plain_share=1.0))
    assert max(source.draw(index, 2, 64).masks.shape[1] for index in range(8)) == 2


def test_footage_that_rarely_shows_an_object_is_drawn_from_where_it_does(tmp_path):
    folder = davis_folder(tmp_path, 1)
    for path in sorted((folder / "Annotations").rglob("*.png"))[1:]:
        cv2.imwrite(str(path), np.zeros((60, 90), np.uint8))
    source = ClipSource(ClipStock(seed=1, footage=folder, footage_share=1.0, plain_share=1.0))
    assert all(source.draw(index, 1, 64).masks[0, 0].any() for index in range(30))


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    folder = davis_folder(tmp_path, 1)
    for path in (folder / "JPEGImages").rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(RecordingError, match="0000..jpg is not a readable picture"):
        ClipSource(ClipStock(seed=1, footage=folder, footage_share=1.0)).draw(0, 2, 64)


def test_masks_of_another_size_than_their_pictures_are_refused(tmp_path):
    from sam2_ros.training.footage import Footage, check_footage

    folder = davis_folder(tmp_path, 1)
    label = folder / "Annotations" / "two" / "00000.png"
    cv2.imwrite(str(label), np.ones((30, 45), np.uint8))
    with pytest.raises(RecordingError, match="two/00000.jpg has 90x60 pixels and its masks, .*two/00000.png, 45x30"):
        check_footage(folder)
    with pytest.raises(RecordingError, match="bring them to one size"):
        for seed in range(50):
            Footage(folder).clip(np.random.default_rng(seed), 2, 64)


def test_footage_is_any_kind_of_picture_in_the_order_of_its_numbers_and_what_is_left_out_is_said(tmp_path):
    from sam2_ros.training.footage import Footage, check_footage

    folder = davis_folder(tmp_path, 1)
    for number in range(5):
        for part in ("JPEGImages", "Annotations"):
            (old,) = (folder / part / "two").glob(f"{number:05d}.*")
            picture = cv2.imread(str(old), cv2.IMREAD_UNCHANGED)
            assert cv2.imwrite(str(old.with_name(f"{number + 7}.png")), picture)
            old.unlink()
    assert [path.stem for path in Footage(folder).sequences[1].pictures] == ["7", "8", "9", "10", "11"]
    assert check_footage(folder).endswith(": 2 videos, 10 pictures with masks")
    for number in range(5):
        (folder / "Annotations" / "two" / f"{number + 7}.png").unlink()
    assert check_footage(folder).endswith(
        "1 videos, 5 pictures with masks; left out, with fewer than two masks of their pictures' names: two"
    )


def test_labels_in_colours_that_are_no_ids_are_refused_before_any_clip_is_drawn(tmp_path):
    from sam2_ros.training.footage import check_footage

    folder = davis_folder(tmp_path, 1)
    check_footage(folder)
    cv2.imwrite(str(folder / "Annotations" / "two" / "00000.png"), np.full((60, 90, 3), (0, 0, 100), np.uint8))
    with pytest.raises(RecordingError, match="two/00000.png is a colour picture"):
        check_footage(folder)


def test_objects_are_cut_out_of_footage(tmp_path):
    from sam2_ros.training.footage import Footage

    sprites = Footage(davis_folder(tmp_path, 1)).cutouts(np.random.default_rng(0), 3, 40)
    assert sprites.shape == (3, 40, 40, 4) and sprites[0, 20, 20, 3] == 255 and sprites[0, 0, 0, 3] == 0


def test_a_source_with_footage_draws_from_it(tmp_path):
    source = ClipSource(ClipStock(seed=1, footage=davis_folder(tmp_path, 1)))
    assert all(source.draw(index, 2, 64).masks[0].any() for index in range(6))


def test_a_source_can_draw_the_footage_alone_with_nothing_on_top(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a scene was drawn")

    monkeypatch.setattr(ClipSource, "_layers", refuse)
    source = ClipSource(ClipStock(seed=1, footage=davis_folder(tmp_path, 1), footage_share=1.0, plain_share=1.0))
    assert all(source.draw(index, 2, 64).masks.shape[1] == 1 for index in range(12))


def test_scenes_without_anything_to_ask_for_are_an_error_with_a_remedy(tmp_path):
    source = ClipSource(ClipStock(seed=1, footage=davis_folder(tmp_path, 0), footage_share=1.0, plain_share=1.0))
    with pytest.raises(RecordingError, match="lower smallest"):
        source.draw(0, 2, 64)


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="JPEGImages"):
        ClipSource(ClipStock(footage=tmp_path))


def test_an_empty_folder_of_pictures_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="no pictures"):
        ClipSource(ClipStock(pictures=tmp_path))


def test_held_out_clips_use_other_photographs():
    from sam2_ros.training.textures import HELD_OUT_PHOTOGRAPHS, TRAINING_PHOTOGRAPHS

    assert not set(HELD_OUT_PHOTOGRAPHS) & set(TRAINING_PHOTOGRAPHS)
