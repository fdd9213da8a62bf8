"""EdgeTAM's checkpoint: recognised, complete or refused, folded, at any side; with seeded weights in its place."""

import functools
import hashlib
import shutil

import pytest
import safetensors.torch
import torch
from edgetam_weights import edgetam_shapes, edgetam_weights

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.files import git_blob
from sam2_ros.model import checkpoint, downloads
from sam2_ros.model.names import PUBLISHED, Published, known_names, without_side
from sam2_ros.model.repvit import published_shapes
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EDGETAM, EMBEDDED_LITE, TEST, TINY


@functools.cache
def weights():
    return edgetam_weights()


@pytest.fixture(scope="module")
def edgetam_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "edgetam.pt"
    torch.save({"model": weights()}, path)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    return tmp_path


def changed(tmp_path, change):
    """A checkpoint whose tensors were changed."""
    tensors = dict(weights())
    change(tensors)
    path = tmp_path / "other.pt"
    torch.save({"model": tensors}, path)
    return path


def test_the_model_has_the_names_and_shapes_of_the_published_checkpoint():
    with torch.device("meta"):
        state = SAM2(EDGETAM).state_dict()
    assert published_shapes(state) == edgetam_shapes()
    assert len(edgetam_shapes()) == 982


def test_a_checkpoint_is_recognised_and_loads_without_its_batch_norms(edgetam_file):
    model = checkpoint.load(edgetam_file, "cpu")
    assert model.size == EDGETAM and not model.training
    assert not any(".bn." in name for name in model.state_dict())
    for name in ("spatial_perceiver.latents", "no_obj_ptr", "memory_attention.layers.1.norm1.weight"):
        assert torch.equal(model.state_dict()[name], weights()[name])
    known = checkpoint.identify(edgetam_file)
    assert (known.name, known.version, known.image_side) == ("edgetam", "", 1024)


def test_saved_weights_load_again_with_their_side(edgetam_file, tmp_path):
    model = checkpoint.load(edgetam_file, "cpu", image_side=512)
    checkpoint.save(model, tmp_path / "mine.safetensors")
    again = checkpoint.load(tmp_path / "mine.safetensors", "cpu")
    assert again.size == EDGETAM.at(512)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_batch_norm_that_lacks_is_named(tmp_path):
    path = changed(tmp_path, lambda tensors: tensors.pop("image_encoder.trunk.body.stem.conv1.bn.running_var"))
    with pytest.raises(
        CheckpointError, match=r"looks like EdgeTAM, but 1 tensor \(.*conv1.bn.running_var\) is missing"
    ):
        checkpoint.load(path, "cpu")


def test_a_tensor_of_another_shape_is_named(tmp_path):
    path = changed(tmp_path, lambda tensors: tensors.update({"spatial_perceiver.latents": torch.zeros(128, 64)}))
    with pytest.raises(CheckpointError, match=r"1 tensor \(spatial_perceiver.latents\) is of another shape"):
        checkpoint.load(path, "cpu")


def test_keys_of_another_fork_are_named(tmp_path):
    def rename(tensors):
        for name in [name for name in tensors if name.startswith("spatial_perceiver.")]:
            tensors["perceiver." + name.removeprefix("spatial_perceiver.")] = tensors.pop(name)

    with pytest.raises(CheckpointError, match=r"missing, 44 tensors \(perceiver\..*\) are not known"):
        checkpoint.load(changed(tmp_path, rename), "cpu")


def test_a_truncated_file_is_refused(edgetam_file, tmp_path):
    (tmp_path / "edgetam.pt").write_bytes(edgetam_file.read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match="truncated, damaged or no checkpoint"):
        checkpoint.load(tmp_path / "edgetam.pt", "cpu")


# By name ------------------------------------------------------------------------------------------


def test_the_published_name_loads_the_file_that_was_carried_there(edgetam_file, cache, monkeypatch):
    known = Published("http://127.0.0.1:9/edgetam.pt", git_blob=git_blob(edgetam_file))
    monkeypatch.setitem(PUBLISHED, "edgetam", known)
    shutil.copy(edgetam_file, cache / "edgetam.pt")
    assert checkpoint.load("edgetam", "cpu").size == EDGETAM
    assert checkpoint.load("edgetam_512", "cpu").size == EDGETAM.at(512)
    assert checkpoint.identify("edgetam_768").image_side == 768


def test_another_model_under_the_published_name_is_named(cache):
    torch.save(SAM2(TEST).state_dict(), cache / "edgetam.pt")
    found = r"edgetam.pt is not what was published \(its git blob id differs\).*it holds SAM 2.1 test"
    with pytest.raises(CheckpointError, match=found):
        checkpoint.load("edgetam_512", "cpu")


def zeros_of_tiny():
    """The tensors of SAM 2.1 tiny, which cost no time to make."""
    with torch.device("meta"):
        state = SAM2(TINY).state_dict()
    return {name: torch.zeros(tensor.shape) for name, tensor in state.items()}


def renamed(tensors):
    """EdgeTAM with the perceiver under the name that another fork gives it."""
    return {name.replace("spatial_perceiver.latents_2d", "spatial_perceiver.grid"): x for name, x in tensors.items()}


@pytest.mark.parametrize(
    "name, contents, found",
    [
        ("edgetam", lambda: {"model": zeros_of_tiny()}, "it holds SAM 2.1 tiny; delete it"),
        ("edgetam_512", lambda: zeros_of_tiny(), "it holds SAM 2.1 tiny; delete it"),
        ("tiny", lambda: {"model": weights()}, "it holds EdgeTAM; delete it"),
        ("sam2_hiera_large", lambda: {"model": weights()}, "it holds EdgeTAM; delete it"),
        (
            "edgetam",
            lambda: {"model": renamed(weights())},
            r"looks like EdgeTAM, but 1 tensor \(.*latents_2d\) is missing, ",
        ),
        (
            "edgetam",
            lambda: {"state_dict": {}, "epoch": 3},
            "holds a dictionary of state_dict, epoch, and no state dict",
        ),
        ("edgetam", lambda: {"model": {"vision_encoder.x": torch.zeros(1)}}, "naming of the transformers library"),
    ],
    ids=["SAM 2", "SAM 2 without model", "EdgeTAM as tiny", "EdgeTAM as large", "fork", "no model", "transformers"],
)
def test_a_file_that_is_not_what_its_name_says_is_called_what_it_is(cache, name, contents, found):
    known = PUBLISHED[without_side(name)[0]]
    torch.save(contents(), cache / known.file_name)
    with pytest.raises(CheckpointError, match=f"{known.file_name} is not what was published .*: .*{found}"):
        checkpoint.load(name, "cpu")


def test_a_safetensors_file_under_the_published_name_is_called_what_it_is(cache):
    safetensors.torch.save_file(weights(), cache / "edgetam.pt")
    with pytest.raises(CheckpointError, match="is not what was published .*it holds EdgeTAM; delete it"):
        checkpoint.load("edgetam", "cpu")
    assert checkpoint.load(cache / "edgetam.pt", "cpu").size == EDGETAM, "by its path it is used as it is"


def test_a_truncated_file_under_the_published_name_is_named(edgetam_file, cache):
    (cache / "edgetam.pt").write_bytes(edgetam_file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="is not what was published .*truncated, damaged or no checkpoint"):
        checkpoint.load("edgetam", "cpu")


def test_a_damaged_file_under_the_published_name_is_named(cache):
    (cache / "edgetam.pt").write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match="is not what was published.*is a web page"):
        checkpoint.load("edgetam", "cpu")


def test_where_nothing_may_be_downloaded_the_sentence_has_the_checksum(cache):
    blob = "abd54d22bbd22ba3e53cf59a307e59e0f3701be6"
    with pytest.raises(CheckpointError, match=f"edgetam.pt .git blob id {blob}. is not in {cache}"):
        checkpoint.identify("edgetam", download=False)


# Sides --------------------------------------------------------------------------------------------


def test_every_family_takes_a_side(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "test.safetensors"
    checkpoint.save(SAM2(TEST), path)
    assert checkpoint.load(path, "cpu", image_side=192).size == TEST.at(192)
    assert checkpoint.load(path, "cpu").size == TEST
    assert checkpoint.identify(path, image_side=192).image_side == 192
    with pytest.raises(InvalidInput, match="multiple of 32 pixels, got 100"):
        checkpoint.identify(path, image_side=100)
    assert checkpoint.load("embedded", "cpu", image_side=384).size.image_size == 384
    assert checkpoint.load("embedded_384", "cpu").size.image_size == 384


def test_short_names_with_a_side_are_known(cache, monkeypatch):
    assert {"embedded_320", "edgetam", "edgetam_512", "tiny_512"} <= set(known_names())
    path = cache / "sam2.1_hiera_tiny.pt"
    torch.save({name: value.zero_() for name, value in SAM2(TINY).state_dict().items()}, path)
    known = Published("http://127.0.0.1:9/sam2.1_hiera_tiny.pt", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(PUBLISHED, "tiny", known)
    assert checkpoint.load("tiny_512", "cpu").size == TINY.at(512)
    assert checkpoint.load("embedded_320", "cpu").size == EMBEDDED_LITE.at(320)


@pytest.mark.parametrize("side", [100, 384, 640, 1000])
def test_a_side_that_the_perceiver_does_not_divide_is_refused_by_value(edgetam_file, side):
    with pytest.raises(InvalidInput, match=f"must be a multiple of 256 pixels, got {side}"):
        checkpoint.load(edgetam_file, "cpu", image_side=side)


@pytest.mark.parametrize(
    "name, side, words",
    [
        ("edgetam", 384, "multiple of 256 pixels, got 384; the nearest that edgetam can take are 256 and 512"),
        ("edgetam_100", 0, "got 100; the nearest that edgetam can take are 256 and 512"),
        ("edgetam", 10240, "got 10240; the nearest that edgetam can take are 3840 and 4096"),
        ("large", 1000, "multiple of 32 pixels, got 1000; the nearest that large can take are 992 and 1024"),
        ("sam2_hiera_base_plus_50", 0, "got 50; the nearest that base_plus can take are 32 and 64"),
    ],
)
def test_a_side_that_a_published_model_cannot_take_is_refused_before_it_is_downloaded(
    cache, monkeypatch, name, side, words
):
    monkeypatch.setattr(downloads.urllib.request, "urlopen", None)
    for ask in (checkpoint.load, checkpoint.identify):
        with pytest.raises(InvalidInput, match=words):
            ask(name, image_side=side)


def test_two_sides_that_differ_are_refused(cache):
    with pytest.raises(InvalidInput, match="tiny_512 is for images of 512 pixels, but the image side is set to 768"):
        checkpoint.load("tiny_512", "cpu", image_side=768)


def test_a_file_may_end_as_a_side_does(tmp_path):
    path = tmp_path / "weights_512"
    checkpoint.save(SAM2(TEST), path)
    assert checkpoint.load(path, "cpu").size == TEST


@torch.no_grad()
@pytest.mark.parametrize("side", [256, 512])
def test_a_smaller_side_gives_smaller_features_and_as_many_tokens(edgetam_file, side):
    model = checkpoint.load(edgetam_file, "cpu", image_side=side)
    features = model.encode_image(torch.randn(1, 3, side, side))
    assert features.stride16.shape == (1, 256, side // 16, side // 16)
    logits = torch.randn(2, 1, side // 4, side // 4)
    assert model.encode_memory(features, logits, torch.ones(2), binarize=False).shape == (2, 512, 64)
