"""Weights: from a name or a path to a model, or to one sentence that says why not.

The size and the version are recognised from the tensors, not from the file's name.  Files are
read as tensors only: opening one never runs code from it.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sam2_ros.errors import CheckpointError, InvalidInput, first_sentence, needs_room
from sam2_ros.files import plain_name
from sam2_ros.model import repvit
from sam2_ros.model.downloads import (
    PUBLISHED,
    known_names,
    published_file,
    sha256,
    without_side,
)
from sam2_ros.model.layers import to_channels_last
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EDGETAM, HIERA, SIZES, Size

logger = logging.getLogger(__name__)

#: The weights that ship with this package.
EMBEDDED = Path(__file__).parents[1] / "weights" / "embedded.safetensors"
#: Entry of a safetensors file's metadata under which ``save`` writes the size.
SIZE_KEY = "sam2_ros.size"


@dataclass(frozen=True)
class Identity:
    """Which weights these are, and for which images.

    name: of the size.  version: of SAM, "2.0" or "2.1"; empty for another family.  sha256: of the file's bytes.
    path: of the file.  image_side: of the square to which images are brought [pixels].
    """

    name: str
    version: str
    sha256: str
    path: Path
    image_side: int

    def noted(self) -> dict[str, Any]:
        """What recordings and results say of a model: everything but where its file is on this machine."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}


def load(name_or_path: str | Path = "embedded", device: torch.device | str = "auto", image_side: int = 0) -> SAM2:
    """The model of a known name or of a file (.pt or .safetensors), in eval mode, on ``device``.

    device: any that torch knows; "auto", as in the node and the commands, is a GPU if there is one that computes.
    image_side: of the square to which images are brought [pixels]; 0 = what the name or the file says.  A smaller
    one is faster and loses small objects.
    Raises CheckpointError when the file is missing and cannot be downloaded, cannot be read, is
    damaged, or holds another family of models, and InvalidInput for a device that is not here
    or has no room for the model, and for a side that the model cannot take.
    """
    device = available(device)
    name, image_side = _name_and_side(name_or_path, image_side)
    with _readable(name):
        path = locate(name)
        tensors, metadata = _read(path)
    size = _recognise(tensors, metadata, path)
    if image_side:
        size = size.at(image_side)
    with torch.device("meta"):  # no time spent on initial values
        model = SAM2(size)
    _refuse_incomplete(tensors, model, path)
    if repvit.is_published(tensors):
        tensors = repvit.folded(tensors)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True, assign=True)
    with needs_room(size.name, device):
        to_channels_last(model.to(device))
        return model.eval()


def use_threads(count: int) -> None:
    """Let models in this process use ``count`` CPU threads; 0 = as many as torch has chosen."""
    if count:
        torch.set_num_threads(count)


def available(device: torch.device | str) -> torch.device:
    """The device of that name, proven by computing something on it; else InvalidInput.

    "auto" is a GPU if there is one that computes, else the CPU.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        try:
            return available("cuda")
        except InvalidInput as error:  # too old for this torch, or nothing of its memory is free
            logger.warning("%s: the CPU is used", error)
            return torch.device("cpu")
    try:
        return (torch.zeros(1, device=device) + 1).device
    except (RuntimeError, AssertionError) as error:  # torch answers a missing CUDA with an assertion
        raise InvalidInput(
            f"device {str(device)!r} cannot be used: {first_sentence(error)}; use auto or cpu"
        ) from error


def identify(name_or_path: str | Path, download: bool = True, image_side: int = 0) -> Identity:
    """Size, version and checksum of the weights that ``load`` would load; raises as load does.

    download: whether published weights that are not here may be fetched; CheckpointError if not.
    """
    name, image_side = _name_and_side(name_or_path, image_side)
    with _readable(name):
        path = locate(name, download)
        size = _recognise(*_read(path), path)
        if image_side:
            size = size.at(image_side)
        version = "" if size.name == EDGETAM.name else "2.1" if size.version_2_1 else "2.0"
        return Identity(size.name, version, sha256(path), path, size.image_size)


def what_is_in(path: Path) -> str:
    """Half a sentence on what a file holds: a complete model, or why it cannot be loaded."""
    try:
        tensors, metadata = _read(path)
        size = _recognise(tensors, metadata, path)
        with torch.device("meta"):
            _refuse_incomplete(tensors, SAM2(size), path)
    except CheckpointError as error:
        return str(error)
    return f"it holds {size.title}"


def save(model: SAM2, path: str | Path) -> None:
    """Write a model as safetensors, with its size, so that ``load`` reads it back; replaces the file at once or not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    unfinished = path.with_name(path.name + ".part")
    size = json.dumps(dataclasses.asdict(model.size))
    safetensors.torch.save_file(tensors, unfinished, metadata={"format": "pt", SIZE_KEY: size})
    os.replace(unfinished, path)


# Where the file is ---------------------------------------------------------------------------------


@contextmanager
def _readable(name_or_path: str | Path) -> Iterator[None]:
    """Files that may not be read, and media that fail, as CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"the weights {name_or_path} cannot be read: {error}") from error


def _name_and_side(name_or_path: str | Path, image_side: int) -> tuple[str, int]:
    """What to locate, and the side that the name or the caller gives, 0 for none.

    Raises InvalidInput when the two differ, and for a side that a published model cannot take.
    """
    name, side = without_side(str(name_or_path))
    if side and image_side not in (0, side):
        raise InvalidInput(
            f"{name_or_path} is for images of {side} pixels, but the image side is set to {image_side}; "
            f"set it to 0, or name {name}"
        )
    side = side or image_side
    if side and name in PUBLISHED:  # refused before anything is downloaded
        SIZES[PUBLISHED[name].size].at(side)
    return name, side


def locate(name_or_path: str | Path, download: bool = True) -> Path:
    """The file of a known name without a side, or of a path; download: as for ``identify``.  CheckpointError."""
    if str(name_or_path) == "embedded":
        if not EMBEDDED.is_file():
            raise CheckpointError(
                f"the weights that ship with this package are missing: {EMBEDDED}; "
                "install it again, or name other weights, for example tiny"
            )
        return EMBEDDED
    if str(name_or_path) in PUBLISHED:
        return published_file(PUBLISHED[str(name_or_path)], download)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the .pt or .safetensors file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}, and it is not a known name ({', '.join(known_names())})")
    return path


# What is in the file -------------------------------------------------------------------------------


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
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
    """What an object is, for a sentence."""
    if not isinstance(contents, dict):
        return f"a {type(contents).__name__}"
    names = [str(name) for name in contents]
    return f"a dictionary of {', '.join(names[:5])}{', ...' * (len(names) > 5)}" if names else "an empty dictionary"


# Which model it is ---------------------------------------------------------------------------------


def _recognise(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> Size:
    """The size that the tensors belong to."""
    is_edgetam = any(name.startswith(("spatial_perceiver.", "image_encoder.trunk.body.")) for name in tensors)
    family = "" if is_edgetam else _other_family(tensors)
    if family:
        raise CheckpointError(
            f"{path} holds {family}; this program runs SAM 2, SAM 2.1 and EdgeTAM in Meta's format, "
            "for example sam2.1_hiera_tiny.pt"
        )
    if SIZE_KEY in metadata:
        return _size_from_text(metadata[SIZE_KEY], path)
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


def _refuse_incomplete(tensors: dict[str, Tensor], model: SAM2, path: Path) -> None:
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


def _size_from_text(text: str, path: Path) -> Size:
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
