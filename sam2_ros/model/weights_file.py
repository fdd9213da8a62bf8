"""Reads a file of weights: its tensors and their model; errors say in one sentence what the file is instead.

The size and the version are recognised from the tensors, not from the file's name.  Files are
read as tensors only: opening one never runs code from it.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from sam2_ros.errors import CheckpointError, InvalidInput, first_sentence
from sam2_ros.files import plain_name
from sam2_ros.model import repvit
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EDGETAM, HIERA, SIZES, Size

#: Entry of a safetensors file's metadata under which ``checkpoint.save`` writes the size.
SIZE_KEY = "sam2_ros.size"


def what_is_in(path: Path) -> str:
    """Half a sentence on what a file holds: a complete model, or why it cannot be loaded."""
    try:
        tensors, metadata = read(path)
        size = recognise(tensors, metadata, path)
        with torch.device("meta"):
            refuse_incomplete(tensors, SAM2(size), path)
    except CheckpointError as error:
        return str(error)
    return f"it holds {size.title}"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name and the metadata of a checkpoint file, recognised by its first bytes."""
    with open(path, "rb") as file:
        head = file.read(512)
    if not head:
        raise CheckpointError(f"{path} is empty; delete it and download it again")
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise CheckpointError(f"{path} is a web page, not weights; download the file itself, not the page about it")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not weights; fetch the file with: git lfs pull")
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head[:4] != b"PK\x03\x04" and head[:1] != b"\x80":
        raise CheckpointError(f"{path} is neither a PyTorch file nor safetensors; give a SAM 2 checkpoint")
    return _read_torch(path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        # safetensors 0.4 makes tensors on the default device, which others may have set.
        with plain_name(path) as name, safetensors.safe_open(name, framework="pt") as file, torch.device("cpu"):
            names = file.keys()  # it is no dict, and cannot be gone through itself
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is truncated or damaged ({error}); download or copy it again") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        with plain_name(path) as name, warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*TorchScript archive", UserWarning)  # refused below, in one sentence
            contents = torch.load(name, map_location="cpu", weights_only=True)
        if isinstance(contents, torch.jit.ScriptModule):
            raise ValueError("TorchScript, which early versions of torch load")
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, which could run code when opened; save its state dict alone"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if "TorchScript" in str(error):
            raise CheckpointError(f"{path} is a TorchScript program; give the state dict it was made from") from error
        raise CheckpointError(
            f"{path} is truncated, damaged or no checkpoint at all ({first_sentence(error)}); download or copy it again"
        ) from error
    if isinstance(contents, dict) and isinstance(contents.get("model"), dict):
        contents = contents["model"]  # as published, and as training leaves it beside its optimizer
    if not isinstance(contents, dict) or not contents or not all(isinstance(x, Tensor) for x in contents.values()):
        raise CheckpointError(
            f"{path} holds {_in_words(contents)}, and no state dict of a model; "
            'give a checkpoint with tensors by name, or with these under "model"'
        )
    return contents


def _in_words(contents: object) -> str:
    """The kind of an object, for a sentence."""
    if not isinstance(contents, dict):
        return f"a {type(contents).__name__}"
    names = [str(name) for name in contents]
    if not names:
        return "an empty dictionary"
    return f"a dictionary of {', '.join(names[:5])}{', ...' if names[5:] else ''}"


# Which model it is ---------------------------------------------------------------------------------


def recognise(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> Size:
    """The size that the tensors belong to."""
    is_edgetam = any(name.startswith(("spatial_perceiver.", "image_encoder.trunk.body.")) for name in tensors)
    family = "" if is_edgetam else _other_family(tensors)
    if family:
        raise CheckpointError(
            f"{path} holds {family}; this program runs SAM 2, SAM 2.1 and EdgeTAM in Meta's format, "
            "for example sam2.1_hiera_tiny.pt"
        )
    if SIZE_KEY in metadata:
        return size_from_text(metadata[SIZE_KEY], path)
    if is_edgetam:
        return EDGETAM
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for size in SIZES.values():
        if _facts_of(size) == _facts_in(shapes):
            return size if "no_obj_embed_spatial" in shapes else size.as_version_2_0()
    raise CheckpointError(
        f"{path} holds a SAM 2 of a size that is not known here ({_facts_in(shapes)}); "
        "weights of a size of your own must be written by sam2_ros.model.checkpoint.save"
    )


def refuse_incomplete(tensors: dict[str, Tensor], model: SAM2, path: Path) -> None:
    """CheckpointError unless the tensors of ``model`` are all there, with their shapes, and no others."""
    state = model.state_dict()
    if repvit.is_published(tensors):
        expected = repvit.published_shapes(state)
    else:
        expected = {name: tuple(x.shape) for name, x in state.items()}
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    misshapen = [name for name in tensors if name in expected and tensors[name].shape != expected[name]]
    if missing or unknown or misshapen:
        raise CheckpointError(
            f"{path} looks like {model.size.title}, but {_count(missing)} missing, {_count(unknown)} not known and "
            f"{_count(misshapen)} of another shape; give a complete checkpoint"
        )


def _other_family(names: dict[str, Tensor]) -> str:
    """Whose weights these are, unless they are SAM 2's: a few words, or nothing."""

    def some(*starts: str) -> bool:
        return any(name.startswith(starts) for name in names)

    if some("tracker", "detector"):
        return "SAM 3 weights"
    if some("vision_encoder.", "vision_model."):
        return "weights in the naming of the transformers library"
    if some("mask_decoder.", "prompt_encoder.", "image_encoder.blocks."):
        return "weights of the first SAM (images only)"
    if not some("image_encoder.trunk.", "sam_mask_decoder."):
        return "weights of an unknown model"
    trunks = {"image_encoder.trunk.pos_embed_window", "image_encoder.trunk.stem.weight"}
    if not trunks & set(names) or "sam_mask_decoder.conv_s0.weight" not in names:
        return "EfficientTAM weights (a plain vision transformer as trunk), or an incomplete SAM 2"
    return ""


def _facts_in(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """The numbers that tell sizes apart, read from a checkpoint's shapes; -1 where the tensor is missing."""

    def dimension(name: str, axis: int) -> int:
        shape = shapes.get(name, ())
        return shape[axis] if -len(shape) <= axis < len(shape) else -1

    def count(start: str) -> int:
        return len({name[len(start) :].split(".")[0] for name in shapes if name.startswith(start)})

    return {
        "embed_dim": dimension("image_encoder.trunk.patch_embed.proj.weight", 0),
        "blocks": count("image_encoder.trunk.blocks."),
        "coarsest": dimension("image_encoder.neck.convs.0.conv.weight", 1),
        "window": dimension("image_encoder.trunk.pos_embed_window", -1),
        "position_background_size": dimension("image_encoder.trunk.pos_embed", -1),
        "hidden_dim": dimension("no_mem_embed", -1),
        "memory_dim": dimension("maskmem_tpos_enc", -1),
        "memory_layers": count("memory_attention.layers."),
        "feedforward_dim": dimension("memory_attention.layers.0.linear1.weight", 0),
    }


def _facts_of(size: Size) -> dict[str, int]:
    """The same numbers of a known size."""
    facts = {name: getattr(size, name) for name in ("hidden_dim", "memory_dim", "memory_layers", "feedforward_dim")}
    hiera = {
        "embed_dim": size.embed_dim,
        "position_background_size": size.position_background_size,
        "window": size.window_spec[0],
    }
    if size.trunk != HIERA:
        hiera = dict.fromkeys(hiera, -1)
    return facts | hiera | {"blocks": size.blocks, "coarsest": size.channels[-1]}


def size_from_text(text: str, path: Path) -> Size:
    """The size that ``save`` wrote."""
    try:
        fields: dict[str, Any] = json.loads(text)
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return Size(**values)
    except (ValueError, TypeError, AttributeError, InvalidInput) as error:
        raise CheckpointError(
            f"{path} names a size that this version does not understand ({error}); "
            "update sam2_ros, or save the weights again"
        ) from error


def _count(names: list[str]) -> str:
    example = f" ({names[0]}{', ...' if names[1:] else ''})" if names else ""
    return f"{len(names)} tensor{'' if len(names) == 1 else 's'}{example} {'is' if len(names) == 1 else 'are'}"
