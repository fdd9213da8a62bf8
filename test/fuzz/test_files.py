"""Files of somebody else: bags, videos, pictures, masks, weights and settings with damage anywhere."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml
from fuzz.doors import changed, damaged, door, fuzz, json_values, texts
from hypothesis import given
from hypothesis import strategies as st
from recordings.bags import labels, picture, write_bag
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from run_command import run_command

from sam2_ros import recordings
from sam2_ros.model import checkpoint
from sam2_ros.model.names import SHIPPED
from sam2_ros.recordings import coco_rle
from sam2_ros.recordings.labels import decode_labels, encode_labels
from sam2_ros.recordings.pictures import read_picture
from sam2_ros.tracking.tracker import TrackerSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def as_sqlite(bag, target):
    """The same messages in the other storage."""
    with Writer(target, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer, Reader(bag) as reader:
        topics = {
            one.id: writer.add_connection(one.topic, one.msgtype, msgdef=one.msgdef.data, rihs01=one.digest)
            for one in reader.connections
        }
        for connection, time, raw in reader.messages():
            writer.write(topics[connection.id], time, raw)
    return target


@pytest.fixture(scope="module")
def bags(folder):
    """A bag in each storage, as (folder, bytes of its storage file)."""
    mcap = write_bag(folder / "trial", 3, size=(16, 24))
    sqlite = as_sqlite(mcap, folder / "trial_sqlite")
    return {path: next(file for file in path.iterdir() if file.suffix in (".mcap", ".db3")) for path in (mcap, sqlite)}


def read_all(recording):
    """Every event of a recording, as the commands take them."""
    for event in recording.events():
        assert event.topic
    return recording.lost


@pytest.mark.parametrize("storage", ["mcap", "db3"])
@fuzz(1)
@given(data=st.data())
def test_a_damaged_bag_gives_what_is_whole_or_is_refused(bags, folder, storage, data) -> None:
    bag, file = next((bag, file) for bag, file in bags.items() if file.suffix == f".{storage}")
    target = folder / f"damaged_{storage}"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bag, target)
    (target / file.name).write_bytes(data.draw(damaged([file.read_bytes()])))
    before = sorted(path.name for path in target.iterdir())
    with door(f"bag, {storage}"):
        read_all(recordings.open(target))
    assert sorted(path.name for path in target.iterdir()) == before, "reading a bag writes nothing beside it"


@fuzz(1)
@given(data=st.data())
def test_a_bag_with_other_metadata_is_read_or_refused(bags, folder, data) -> None:
    bag = next(iter(bags))
    target = folder / "metadata"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(bag, target)
    text = (bag / "metadata.yaml").read_text()
    tree = yaml.safe_load(text)
    written = data.draw(
        st.one_of(damaged([text.encode()]), changed(tree).map(lambda value: json.dumps(value).encode()))
    )
    (target / "metadata.yaml").write_bytes(written)
    with door("bag, metadata"):
        read_all(recordings.open(target))


@pytest.fixture(scope="module")
def videos(folder):
    """A small video in each container that this OpenCV writes."""
    found = {}
    for suffix, code in ((".mp4", "mp4v"), (".avi", "MJPG"), (".avi", "XVID"), (".mkv", "mp4v"), (".webm", "VP80")):
        path = folder / f"whole_{code}{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 10, (64, 48))
        for index in range(8):
            writer.write(picture(index))
        writer.release()
        if path.is_file() and path.stat().st_size:
            found[path.name] = path.read_bytes()
    assert len(found) >= 3
    return found


@fuzz(2)
@given(data=st.data())
def test_a_damaged_video_gives_the_images_that_can_be_decoded_or_is_refused(videos, folder, data) -> None:
    name = data.draw(st.sampled_from(sorted(videos)))
    path = folder / f"damaged{name[name.rindex('.') :]}"
    path.write_bytes(data.draw(damaged([videos[name]])))
    with door("video"):
        read_all(recordings.open(path))


def picture_files():
    files = [cv2.imencode(suffix, picture(0))[1].tobytes() for suffix in (".jpg", ".png", ".bmp", ".webp", ".tiff")]
    return [*files, encode_labels(labels(0)), encode_labels(labels(0).astype(np.uint16))]


@fuzz(4)
@given(data=damaged(picture_files()), suffix=st.sampled_from([".jpg", ".png", ".bmp", ".webp", ".tif"]))
def test_a_damaged_picture_is_read_or_refused(folder, data, suffix) -> None:
    path = folder / f"picture{suffix}"
    path.write_bytes(data)
    with door("picture file"):
        image = read_picture(path)
        assert image is None or (image.dtype == np.uint8 and image.shape[2] == 3)


@fuzz(4)
@given(
    data=damaged(
        [
            encode_labels(labels(0)),
            encode_labels(labels(0).astype(np.uint16)),
            cv2.imencode(".png", labels(0) * 255)[1].tobytes(),
        ]
    )
)
def test_a_damaged_label_image_is_read_or_refused(data) -> None:
    with door("label image"):
        assert decode_labels(data).ndim == 2


@fuzz(1)
@given(data=st.data())
def test_a_folder_of_damaged_pictures_and_masks_gives_what_is_whole_or_is_refused(folder, data) -> None:
    root = folder / "davis"
    shutil.rmtree(root, ignore_errors=True)
    for kind, suffix, files in (("JPEGImages", ".jpg", picture_files()), ("Annotations", ".png", picture_files()[-2:])):
        (root / kind / "one").mkdir(parents=True)
        for index in range(3):
            content = data.draw(damaged(files, most=2))
            (root / kind / "one" / f"{index:05d}{suffix}").write_bytes(content)
    with door("folder of pictures and masks"):
        read_all(recordings.open(root))


def coco_file():
    code = coco_rle.encode(labels(0).astype(bool))
    polygon = [[4.0, 16.0, 20.0, 16.0, 20.0, 32.0, 4.0, 32.0]]
    runs = {"size": code["size"], "counts": coco_rle.decompress(code["counts"])}
    return {
        "videos": [
            {
                "id": 1,
                "file_names": [f"one/{index:05d}.jpg" for index in range(3)],
                "height": 48,
                "width": 64,
                "length": 3,
            }
        ],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [code, None, runs]},
            {"id": 2, "video_id": 1, "category_id": 1, "segmentations": [polygon, code, None]},
        ],
        "categories": [{"id": 1, "name": "object"}],
    }


def sa_v_file():
    code = coco_rle.encode(labels(0).astype(bool))
    return {
        "masklet": [[code, code], [code, code]],
        "masklet_first_appeared_frame": [0.0, 1.0],
        "masklet_id": [0, 1],
        "video_id": "whole",
        "video_frame_count": 8,
        "masklet_num": 2,
    }


@pytest.fixture(scope="module")
def pictures_with_json(folder):
    (folder / "coco" / "JPEGImages" / "one").mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(folder / "coco" / "JPEGImages" / "one" / f"{index:05d}.jpg"), picture(index))
    return folder / "coco"


def as_text(value):
    """JSON as bytes; signs of halves of characters stay as they are written there."""
    return json.dumps(value).encode()


@fuzz(2)
@given(content=st.one_of(changed(coco_file()).map(as_text), damaged([as_text(coco_file())]), json_values.map(as_text)))
def test_any_coco_file_for_videos_is_read_or_refused(pictures_with_json, content) -> None:
    (pictures_with_json / "annotations.json").write_bytes(content)
    with door("JSON, COCO for videos"):
        read_all(recordings.open(pictures_with_json))


@fuzz(2)
@given(content=st.one_of(changed(sa_v_file()).map(as_text), damaged([as_text(sa_v_file())]), json_values.map(as_text)))
def test_any_masklet_file_is_read_or_refused(videos, folder, content) -> None:
    path = folder / "masklets.mp4"
    path.write_bytes(videos["whole_mp4v.mp4"])
    (folder / "masklets_manual.json").write_bytes(content)
    with door("JSON, masklets of SA-V"):
        read_all(recordings.open(path))


def result_file():
    found = {"id": 1, "name": "cup", "j": 0.5, "f": 0.5, "j_and_f": 50.0, "frames": 3}
    sequence = {
        "name": "one",
        "folder": "one",
        "path": "data/one",
        "error": "",
        "objects": [found],
        "names": {"cup": 1},
        "j_and_f": 50.0,
        "frames": 3,
        "lost": [],
        "refused": [],
    }
    configuration = {"topics": {}, "prompt": "1-click", "rules": {"name": "davis"}, "tracker": {"hole_area": 8}}
    return {"configuration": configuration, "sequences": [sequence], "j_and_f": 50.0}


@fuzz(2)
@given(
    content=st.one_of(changed(result_file()).map(as_text), damaged([as_text(result_file())]), json_values.map(as_text))
)
def test_any_result_file_is_compared_and_exported_or_refused(folder, content) -> None:
    from sam2_ros.evaluation import export

    (folder / "run").mkdir(exist_ok=True)
    (folder / "run" / "result.json").write_bytes(content)
    with door("JSON, results of a run"):
        run_command("compare", str(folder / "run"), str(folder / "run"))
    with door("JSON, results of a run"):
        export.masklets_of(folder / "run")


@pytest.fixture(scope="module")
def weights(folder):
    """Two small checkpoints of other networks and the head of ours, one in each form of file."""
    state = {"model": {"a.weight": torch.zeros(3, 4), "b.bias": torch.ones(5)}}
    torch.save(state, folder / "other.pt")
    ours = SHIPPED["embedded"].read_bytes()
    return {".pt": [(folder / "other.pt").read_bytes()], ".safetensors": [ours[:60_000] + b"\x00" * 1000]}


@fuzz(2)
@given(data=st.data())
def test_damaged_weights_are_refused(weights, folder, data) -> None:
    suffix = data.draw(st.sampled_from(sorted(weights)))
    path = folder / f"damaged{suffix}"
    path.write_bytes(data.draw(damaged(weights[suffix])))
    with door("checkpoint"):
        checkpoint.load(path, "cpu")


DEFAULTS = {name: getattr(TrackerSettings(), name) for name in TrackerSettings.__dataclass_fields__}


@st.composite
def setting_values(draw):
    """Values for one or two settings, half of them of the kind that is meant."""
    values = {}
    for name in draw(st.lists(st.sampled_from(sorted(DEFAULTS)), min_size=1, max_size=2)):
        default = DEFAULTS[name]
        meant = (
            st.booleans()
            if isinstance(default, bool)
            else st.integers(-1, 40)
            if isinstance(default, int)
            else st.floats(0, 5)
            if isinstance(default, float)
            else st.sampled_from([default, "float32", "other"])
        )
        values[name] = draw(st.one_of(meant, meant, json_values))
    return values


@fuzz(4)
@given(values=setting_values())
def test_settings_of_any_values_are_taken_as_they_are_meant_or_refused(values) -> None:
    with door("settings"):
        found = TrackerSettings(**values)
        for name, value in values.items():
            assert getattr(found, name) == value
            assert isinstance(value, bool) == isinstance(DEFAULTS[name], bool), (
                "no truth value for a number, or a number for one"
            )


def recipe_file():
    return {
        "seed": 3,
        "footage": "",
        "device": "cpu",
        "stages": [
            {"steps": 10, "frames": 1, "clips": 2, "side": 128, "rate": 1e-4, "end_rate": "1e-5"},
            {"steps": 10, "frames": 4, "clips": 1, "side": 128, "rate": 1e-4, "end_rate": 1e-5, "clicks": 2},
        ],
    }


@fuzz(2)
@given(
    content=st.one_of(
        changed(recipe_file()).map(as_text), damaged([yaml.safe_dump(recipe_file()).encode()]), json_values.map(as_text)
    )
)
def test_any_training_file_is_read_or_refused(folder, content) -> None:
    from sam2_ros.training import recipe

    path = folder / "recipe.yaml"
    path.write_bytes(content)
    with door("YAML, training"):
        recipe.read_settings(path)


@st.composite
def run_length_codes(draw):
    """A code whose runs fill its size, or do not."""
    height, width = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    runs = draw(st.lists(st.integers(0, 30), min_size=1, max_size=8))
    runs.append(max(height * width - sum(runs), 0))
    text = coco_rle.compress(runs)
    counts = draw(
        st.one_of(st.sampled_from([runs, text, text.encode()]), damaged([text.encode()], most=1), texts, json_values)
    )
    size = draw(
        st.one_of(st.just([height, width]), st.just([height, width]), st.lists(st.integers(-3, 2**40), max_size=3))
    )
    return {"size": size, "counts": counts}


@fuzz(4)
@given(code=run_length_codes())
def test_a_run_length_code_is_a_mask_or_is_refused(code) -> None:
    with door("run-length code"):
        assert coco_rle.decode(code).shape == tuple(code["size"])
