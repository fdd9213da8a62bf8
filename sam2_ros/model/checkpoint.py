"""Loads a model from a name or a path; errors say in one sentence why not."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from sam2_ros.cpu_threads import on_passing_thread
from sam2_ros.errors import CheckpointError, InvalidInput, first_sentence, needs_room
from sam2_ros.files import sha256
from sam2_ros.model import repvit
from sam2_ros.model.downloads import published_file
from sam2_ros.model.layers import to_channels_last
from sam2_ros.model.names import PUBLISHED, SHIPPED, known_names, without_side
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EDGETAM, SIZES
from sam2_ros.model.weights_file import SIZE_KEY, read, recognise, refuse_incomplete
from sam2_ros.node_settings import NodeSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Identity:
    """Which weights these are, and for which images.

    name: of the size.  version: of SAM, "2.0" or "2.1"; empty for another family.  sha256: of the file's bytes.
    path: of the file.  image_side: of the square to which images are scaled [pixels].
    """

    name: str
    version: str
    sha256: str
    path: Path
    image_side: int

    def noted(self) -> dict[str, Any]:
        """The identity of a model in recordings and results: everything but the place of its file."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}


def load(
    name_or_path: str | Path = NodeSettings.model, device: torch.device | str = "auto", image_side: int = 0
) -> SAM2:
    """The model of a known name or of a file (.pt or .safetensors), in eval mode, on ``device``.

    device: any that torch knows; "auto", as in the node and the commands, is a GPU if there is one that computes.
    image_side: of the square to which images are scaled [pixels]; 0 = what the name or the file says.  A smaller
    one is faster and loses small objects.
    Raises CheckpointError when the file is missing and cannot be downloaded, cannot be read, is
    damaged, or holds another family of models, and InvalidInput for a device that is not here
    or has no room for the model, and for a side that the model cannot take.
    """
    device = available(device)
    name, image_side = _name_and_side(name_or_path, image_side)
    with _readable(name):
        path = locate(name)
        return on_passing_thread(lambda: _built(path, device, image_side))


def _built(path: Path, device: torch.device, image_side: int) -> SAM2:
    tensors, metadata = read(path)
    size = recognise(tensors, metadata, path)
    if image_side:
        size = size.at(image_side)
    with torch.device("meta"):  # no time spent on initial values
        model = SAM2(size)
    refuse_incomplete(tensors, model, path)
    if repvit.is_published(tensors):
        tensors = repvit.folded(tensors)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=True, assign=True)
    with needs_room(size.title, device):
        to_channels_last(model.to(device))
        return model.eval()


def threads() -> int:
    """How many CPU threads compute models in this process."""
    return torch.get_num_threads()


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
        size = recognise(*read(path), path)
        if image_side:
            size = size.at(image_side)
        version = "" if size.name == EDGETAM.name else "2.1" if size.version_2_1 else "2.0"
        return Identity(size.name, version, sha256(path), path, size.image_size)


def file_sha256(name_or_path: str | Path) -> str:
    """The checksum of the file that ``load`` has read, as ``Identity`` has it; raises as load does."""
    name = _name_and_side(name_or_path, 0)[0]
    with _readable(name):
        return sha256(locate(name, download=False))


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
    name = str(name_or_path)
    if name in SHIPPED:
        if not SHIPPED[name].is_file():
            raise CheckpointError(
                f"the weights that ship with this package are missing: {SHIPPED[name]}; "
                "install it again, or name other weights, for example tiny"
            )
        return SHIPPED[name]
    if name in PUBLISHED:
        return published_file(PUBLISHED[name], download)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the .pt or .safetensors file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}, and it is not a known name ({', '.join(known_names())})")
    return path
