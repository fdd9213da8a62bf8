"""Seeded weights of EdgeTAM under the names of its published checkpoint.

Names and shapes come from the models that the official configuration builds; nothing is downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from oracle import seeded_weights
from torch import Tensor

KEYS = json.loads((Path(__file__).parent / "data" / "edgetam_keys.json").read_text())
#: The batch norms that end a branch beside an unchanged one: damped, or values would grow with every block.
LAST_OF_BRANCH = (
    "token_mixer.conv.bn.weight",
    "token_mixer.conv1.bn.weight",
    "channel_mixer.conv2.bn.weight",
    "ffn.conv2.bn.weight",
)


def edgetam_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the published checkpoint."""
    shapes = {name: tuple(shape) for name, shape in KEYS["plain"].items()}
    for name, shape in KEYS["normed"].items():
        shapes[f"{name}.c.weight"] = tuple(shape)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{kind}"] = (shape[0],)
        shapes[f"{name}.bn.num_batches_tracked"] = ()
    return shapes


def edgetam_weights(seed: int = 0, *, object_score: float | None = None) -> dict[str, Tensor]:
    """As ``oracle.seeded_weights``, with batch norms that have seen something and a perceiver whose errors show."""
    counters = {name: torch.tensor(1000) for name, shape in edgetam_shapes().items() if not shape}
    others = {name: shape for name, shape in edgetam_shapes().items() if shape}
    weights = seeded_weights(others, seed, object_score=object_score)
    for name, tensor in weights.items():
        if name.endswith("running_var"):
            tensor.mul_(3).add_(1)  # 0.7 to 1.3
        elif name.endswith(LAST_OF_BRANCH):
            tensor.mul_(0.3)
        elif name.endswith((".to_q.weight", ".to_kv.weight")):
            tensor.mul_(2)
        elif name.startswith("spatial_perceiver.latents"):
            tensor.mul_(8)  # about 1.7: latents that differ
    return weights | counters
