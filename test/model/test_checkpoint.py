import functools
import hashlib
import json
import os
from pathlib import Path

import pytest
import torch

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.model import checkpoint, names, weights_file
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import SIZES, TEST, TINY

OFFICIAL = json.loads((Path(__file__).parents[1] / "data" / "official_keys.json").read_text())
SHORT = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
#: What SAM 2.1 added to SAM 2.
ADDED = {"no_obj_embed_spatial", "obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias"}


def official_shapes(name, version="2.1"):
    """Name and shape of every tensor of a published checkpoint."""
    variant = OFFICIAL["variants"][f"sam2.1_hiera_{SHORT[name]}"]
    shapes = OFFICIAL["shared"] | variant["shapes"]
    blocks = [run["shapes"] for run in variant["blocks"] for _ in range(run["count"])]
    for index, block in enumerate(blocks):
        shapes |= {f"image_encoder.trunk.blocks.{index}.{key}": shape for key, shape in block.items()}
    return {key: shape for key, shape in shapes.items() if version == "2.1" or key not in ADDED}


def empty_tensors(shapes):
    """Tensors that take no memory, whatever their shape."""
    return {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}


@functools.cache
def small_model():
    torch.manual_seed(0)
    return SAM2(TEST).eval()


def same(model, other):
    ours, theirs = model.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def torch_file(path, contents):
    torch.save(contents, path)
    return path


# Recognition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize("name", SHORT)
def test_every_published_checkpoint_is_recognised_and_loads_strictly(name, version):
    tensors = empty_tensors(official_shapes(name, version))
    size = weights_file.recognise(tensors, {}, Path("published.pt"))
    assert (size.name, size.version_2_1, size.image_size) == (name, version == "2.1", 1024)
    with torch.device("meta"):
        model = SAM2(size)
    model.load_state_dict(tensors, strict=True, assign=True)


def test_published_checkpoints_have_as_many_parameters_as_published():
    counts = {
        name: sum(
            torch.Size(shape).numel()
            for key, shape in official_shapes(name).items()
            if not key.endswith("gaussian_matrix")
        )
        for name in SHORT
    }
    assert counts == {"tiny": 38_962_498, "small": 46_060_354, "base_plus": 80_850_178, "large": 224_446_642}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state},
        lambda state: state,
        lambda state: {"model": state, "optimizer": {"lr": 1e-4}, "epoch": 3},
    ],
    ids=["published", "state dict", "training"],
)
def test_every_way_to_save_a_model_with_pytorch_loads(tmp_path, wrap):
    path = torch_file(tmp_path / "weights.pt", wrap(small_model().state_dict()))
    model = checkpoint.load(path, "cpu")
    assert same(model, small_model()) and not model.training
    identity = checkpoint.identify(str(path))
    assert (identity.name, identity.version, identity.path) == ("test", "2.1", path)
    assert identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_loaded_model_answers_as_the_saved_one(tmp_path):
    checkpoint.save(small_model(), tmp_path / "weights.safetensors")
    images = torch.randn(1, 3, 128, 128)
    loaded = checkpoint.load(tmp_path / "weights.safetensors", "cpu")
    ours, theirs = (model.encode_image(images) for model in (small_model(), loaded))
    assert torch.allclose(ours.stride16, theirs.stride16, atol=1e-6)
    assert torch.allclose(ours.stride4, theirs.stride4, atol=1e-6)


def test_safetensors_keep_the_size_that_tensors_do_not_show(tmp_path):
    model = SAM2(TEST.at(192).as_version_2_0())
    checkpoint.save(model, tmp_path / "folder" / "weights.safetensors")
    loaded = checkpoint.load(tmp_path / "folder" / "weights.safetensors", "cpu")
    assert loaded.size == model.size and same(loaded, model)
    assert checkpoint.identify(tmp_path / "folder" / "weights.safetensors").version == "2.0"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["weights.safetensors"]


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "a:b", "50%d"], ids=ascii)
def test_a_checkpoint_of_any_name_is_loaded(tmp_path, name):
    torch_file(tmp_path / "plain.pt", small_model().state_dict()).rename(tmp_path / f"{name}.pt")
    assert same(checkpoint.load(tmp_path / f"{name}.pt", "cpu"), small_model())
    checkpoint.save(small_model(), tmp_path / "plain.safetensors")
    (tmp_path / "plain.safetensors").rename(tmp_path / f"{name}.safetensors")
    assert same(checkpoint.load(tmp_path / f"{name}.safetensors", "cpu"), small_model())


def test_half_precision_weights_load_in_single_precision(tmp_path):
    state = {name: tensor.half() for name, tensor in small_model().state_dict().items()}
    model = checkpoint.load(torch_file(tmp_path / "half.pt", state), "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_sizes_can_be_told_apart_by_their_tensors():
    facts = [tuple(weights_file._facts_of(size).values()) for size in SIZES.values()]
    assert len(set(facts)) == len(facts)


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["tracker.maskmem_tpos_enc", "detector.backbone.weight"], "SAM 3"),
        (["vision_encoder.backbone.pos_embed", "mask_decoder.iou_token.weight"], "transformers"),
        (["image_encoder.trunk.blocks.0.attn.qkv.weight", "sam_mask_decoder.iou_token.weight"], "EfficientTAM"),
        (["image_encoder.blocks.0.attn.qkv.weight", "mask_decoder.iou_token.weight"], "first SAM"),
        (["backbone.layer1.0.conv1.weight"], "unknown model"),
    ],
)
def test_another_family_is_named_in_the_refusal(tmp_path, names, sentence):
    path = torch_file(tmp_path / "other.pt", {"model": {name: torch.zeros(1) for name in names}})
    with pytest.raises(CheckpointError, match=f"other.pt holds .*{sentence}.*sam2.1_hiera_tiny.pt"):
        checkpoint.load(path, "cpu")


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (b"", "is empty; delete it"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"just some words", "neither a PyTorch file nor safetensors"),
        (b"\x80\x02", "truncated, damaged"),
    ],
    ids=["empty", "web page", "lfs pointer", "text", "pickle stub"],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path, contents, sentence):
    (tmp_path / "file.pt").write_bytes(contents)
    with pytest.raises(CheckpointError, match=f"file.pt.*{sentence}"):
        checkpoint.load(tmp_path / "file.pt", "cpu")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["pt", "safetensors"])
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    whole, cut = tmp_path / f"whole.{kind}", tmp_path / f"cut.{kind}"
    if kind == "pt":
        torch_file(whole, small_model().state_dict())
    else:
        checkpoint.save(small_model(), whole)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="cut.*truncated.*damaged.*again"):
        checkpoint.load(cut, "cpu")


class Surprise:
    """Pickles into a call that a careless loader would make."""

    def __reduce__(self):
        return (print, ("code from a checkpoint",))


def test_a_file_that_would_run_code_is_refused_without_running_it(tmp_path, capsys):
    path = torch_file(tmp_path / "surprise.pt", {"model": Surprise()})
    with pytest.raises(CheckpointError, match="could run code.*state dict alone"):
        checkpoint.load(path, "cpu")
    assert "code from a checkpoint" not in capsys.readouterr().out


def test_a_compiled_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "program.pt")
    with pytest.raises(CheckpointError, match="is a TorchScript program"):
        checkpoint.load(tmp_path / "program.pt", "cpu")


@pytest.mark.parametrize("contents", [{"epoch": 3}, {}, [1, 2], {"model": {"weight": 3}}])
def test_a_file_without_a_state_dict_is_refused(tmp_path, contents):
    with pytest.raises(CheckpointError, match="no state dict"):
        checkpoint.load(torch_file(tmp_path / "other.pt", contents), "cpu")


def test_missing_and_additional_tensors_are_counted_and_named(tmp_path):
    state = dict(small_model().state_dict())
    del state["no_obj_ptr"]
    state["adapter.weight"] = torch.zeros(1)
    sentence = r"1 tensor \(no_obj_ptr\) is missing, 1 tensor \(adapter.weight\) is not known"
    with pytest.raises(CheckpointError, match=sentence):
        checkpoint.load(torch_file(tmp_path / "edited.pt", state), "cpu")


def test_tensors_of_other_shapes_are_refused(tmp_path):
    state = small_model().state_dict() | {"no_obj_ptr": torch.zeros(1, 7)}
    with pytest.raises(CheckpointError, match=r"1 tensor \(no_obj_ptr\) is of another shape"):
        checkpoint.load(torch_file(tmp_path / "edited.pt", state), "cpu")


def test_a_size_of_ones_own_needs_our_format(tmp_path):
    shapes = official_shapes("tiny") | {"image_encoder.trunk.patch_embed.proj.weight": [48, 3, 7, 7]}
    with pytest.raises(CheckpointError, match="'embed_dim': 48.*sam2_ros.model.checkpoint.save"):
        weights_file.recognise(empty_tensors(shapes), {}, tmp_path)


@pytest.mark.parametrize("text", ["no json", "[1]", '{"name": "x"}', '{"colour": "red"}'])
def test_a_size_that_cannot_be_read_is_refused(tmp_path, text):
    with pytest.raises(CheckpointError, match="names a size"):
        weights_file.recognise(empty_tensors(official_shapes("tiny")), {weights_file.SIZE_KEY: text}, tmp_path)


def test_a_missing_file_is_refused_with_the_known_names(tmp_path):
    with pytest.raises(CheckpointError, match="no file .*nowhere.pt.*not a known name.*embedded.*sam2.1_hiera_tiny"):
        checkpoint.load(tmp_path / "nowhere.pt", "cpu")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder"):
        checkpoint.load(tmp_path, "cpu")


def test_missing_embedded_weights_are_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(names.SHIPPED, "embedded", tmp_path / "embedded.safetensors")
    with pytest.raises(CheckpointError, match="weights that ship with this package are missing"):
        checkpoint.load(device="cpu")
    checkpoint.save(small_model(), tmp_path / "embedded.safetensors")
    assert same(checkpoint.load(device="cpu"), small_model())


def test_a_model_is_put_on_a_gpu_if_there_is_one_unless_the_caller_says_otherwise(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(checkpoint, "available", lambda device: asked.append(device) or torch.device("cpu"))
    checkpoint.save(small_model(), tmp_path / "weights.safetensors")
    checkpoint.load(tmp_path / "weights.safetensors")
    checkpoint.load(tmp_path / "weights.safetensors", "cpu")
    assert asked == ["auto", "cpu"]


def test_weights_can_be_identified_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=f"sam2.1_hiera_tiny.pt .SHA256 .*is not in {tmp_path}"):
        checkpoint.identify("tiny", download=False)
    assert TINY.name in names.known_names()


# Devices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("computes", [True, False])
def test_auto_is_a_gpu_only_where_it_computes(monkeypatch, caplog, computes):
    zeros = torch.zeros

    def stand_in(count, device):
        if str(device) == "cuda" and not computes:
            raise RuntimeError("no kernel image is available for execution on the device")
        return zeros(count, device="meta" if str(device) == "cuda" else device)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", stand_in)
    assert str(checkpoint.available("auto")) == ("meta" if computes else "cpu")
    assert ("no kernel image" in caplog.text) != computes


def test_weights_that_may_not_be_read_are_refused_with_the_reason(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "model.pt")

    monkeypatch.setattr(checkpoint, "read", refuse)
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    for ask in (checkpoint.load, checkpoint.identify):
        with pytest.raises(CheckpointError, match="model.pt cannot be read: .*Permission denied"):
            ask(path)


def test_a_device_without_room_for_the_model_is_refused_with_what_to_do(tmp_path, monkeypatch):
    def refuse(module, device=None, **_):
        if device is not None:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 MiB")
        return module

    monkeypatch.setattr(torch.nn.Module, "to", refuse)
    with pytest.raises(InvalidInput, match="out of memory.*name a smaller model, or use the device cpu"):
        checkpoint.load("embedded", "cpu")
