"""Objects with a full memory on one image, for a trial: zeros that take the time and the memory of real ones."""

from __future__ import annotations

import torch
from torch import Tensor

from sam2_ros.model.interface import ImageFeatures, Memories, Model

#: Memories and pointers that an object with one prompted frame sees when its memory is full.
FULL_MEMORY = (7, 16)


def encode(model: Model) -> ImageFeatures:
    """The features of an image of zeros."""
    return model.encode_image(_zeros(model, 1, 3, model.size.image_size, model.size.image_size))


def follow(model: Model, features: ImageFeatures, objects: int) -> None:
    """Compute once what a tracker does to follow objects onto an image: attend, decode, encode_memory."""
    size, (memories, pointers) = model.size, FULL_MEMORY
    logits = _zeros(model, objects, 1, 4 * size.grid, 4 * size.grid)
    tokens = model.encode_memory(features, logits, _zeros(model, objects), binarize=False)
    view = model.attend(
        features,
        Memories(
            tokens[:, None].repeat(1, memories, 1, 1),
            _zeros(model, objects, memories).long(),
            _zeros(model, objects, pointers, size.hidden_dim),
            _zeros(model, objects, pointers),
        ),
    )
    model.decode(view, features, multimask=True)


def _zeros(model: Model, *shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float32, device=model.device)
