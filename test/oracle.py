"""The official SAM 2 code as a test oracle, with seeded weights that both sides share.

Nothing is downloaded: the weights are pseudo-random but not degenerate, so that a mistake
anywhere shows in the masks.  Import this module after ``pytest.importorskip("sam2")``.
"""

from __future__ import annotations

import functools
import unittest.mock
import zlib

import numpy as np
import torch
from torch import Tensor

from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import Size

#: Official configuration of each size; 2.0 and 2.1 have a folder each.
CONFIGS = {"tiny": "hiera_t", "small": "hiera_s", "base_plus": "hiera_b+", "large": "hiera_l"}


def seeded_weights(
    shapes: dict[str, tuple[int, ...]], seed: int = 0, *, object_score: float | None = None
) -> dict[str, Tensor]:
    """Uniform weights of sensible scale, each name its own stream, so that shapes elsewhere do not matter.

    Norm scales lie around 1 and layer scales around 0.5; projections that look at memories
    are doubled, or their errors stay invisible.  object_score: the bias of the occlusion
    head (very negative = every object absent, very positive = present).
    """
    weights = {name: _weight(name, tuple(shape), seed) for name, shape in shapes.items()}
    if object_score is not None:
        weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(object_score)
    return weights


def _weight(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    stream = np.random.RandomState(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.from_numpy((stream.random_sample(shape) * 2 - 1).astype(np.float32))
    if name.endswith("positional_encoding_gaussian_matrix"):
        return values * 1.7
    if name.endswith("gamma"):
        return 0.5 + 0.2 * values
    if len(shape) == 1:
        is_norm_scale = name.endswith("weight")
        return 1 + 0.2 * values if is_norm_scale else 0.1 * values
    if any(part in name for part in ("embed", "token", "tpos_enc", "no_obj", "no_mem")) and "proj" not in name:
        return values * (0.5 if "pos_embed" in name else 1.0)
    fan_in = int(np.prod(shape[1:]))
    scale = 2.0 if "cross_attn_image." in name and name.endswith("_proj.weight") else 1.0
    return values * scale * (3 / fan_in) ** 0.5


def official_model(
    size: Size, *, video: bool = False, postprocessing: bool = True, overrides: tuple[str, ...] = ()
) -> torch.nn.Module:
    """The official model of a published ``size`` at its image side, on the CPU, in eval mode, weights not set.

    video: the video predictor, else the plain model.  postprocessing: the stability
    fallback, and in the video predictor binarised prompt masks and hole filling, as the
    official builders switch them on.  overrides: further Hydra overrides.
    """
    import sam2  # noqa: F401  registers its configuration folder with Hydra
    from hydra import compose
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    family = "sam2.1" if size.version_2_1 else "sam2"
    changes = [f"++model.image_size={size.image_size}"]
    for attention in ("self_attention", "cross_attention"):
        changes.append(f"++model.memory_attention.layer.{attention}.feat_sizes=[{size.grid},{size.grid}]")
    if video:
        changes.append("++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor")
    if postprocessing:
        decoder = "++model.sam_mask_decoder_extra_args.dynamic_multimask"
        changes += [
            f"{decoder}_via_stability=true",
            f"{decoder}_stability_delta=0.05",
            f"{decoder}_stability_thresh=0.98",
        ]
    if postprocessing and video:
        changes += ["++model.binarize_mask_from_pts_for_mem_enc=true", "++model.fill_hole_area=8"]
    config = compose(f"configs/{family}/{family}_{CONFIGS[size.name]}.yaml", overrides=[*changes, *overrides])
    OmegaConf.resolve(config)
    # Initial values take most of the time and are overwritten anyway.
    fillers = dict.fromkeys(("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_"), unittest.mock.DEFAULT)
    with unittest.mock.patch.multiple(torch.nn.init, **fillers):
        return instantiate(config.model, _recursive_=True).eval()


def pair(
    size: Size,
    seed: int = 0,
    *,
    object_score: float | None = None,
    video: bool = False,
    postprocessing: bool = True,
    overrides: tuple[str, ...] = (),
) -> tuple[SAM2, torch.nn.Module]:
    """Our model and the official one with identical seeded weights, both in eval mode."""
    theirs = official_model(size, video=video, postprocessing=postprocessing, overrides=overrides)
    shapes = {name: tuple(value.shape) for name, value in theirs.state_dict().items()}
    weights = seeded_weights(shapes, seed, object_score=object_score)
    theirs.load_state_dict(weights, strict=True)
    with torch.device("meta"):
        ours = SAM2(size)
    ours.load_state_dict(weights, strict=True, assign=True)
    return ours.to(memory_format=torch.channels_last).eval(), theirs


@functools.lru_cache(maxsize=4)
def shared_pair(size: Size, seed: int = 1, object_score: float = 4.0) -> tuple[SAM2, torch.nn.Module]:
    """The same, built once for the tests that leave both models as they are."""
    return pair(size, seed, object_score=object_score)


def seeded_image(size: Size, seed: int = 0, batch: int = 1) -> Tensor:
    """Normalised images with structure at several scales: (batch, 3, S, S) float32."""
    generator = torch.Generator().manual_seed(seed)
    side, image = size.image_size, 0.0
    for grid in (2, 8, 32):
        coarse = torch.randn(batch, 3, grid, grid, generator=generator)
        image = image + torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return image


def official_view(theirs, outputs, frames, place, now):
    """Frame ``now`` as two objects see it in the official model ``theirs``: (2, C, h, w).

    outputs: of its image encoder.  frames: memory and pointer of both objects by index of frame; 100 was prompted.
    place: positions of a memory.
    """
    _, vision, positions, sides = theirs._prepare_backbone_features(outputs)
    stored = {
        index: {"maskmem_features": memory, "maskmem_pos_enc": [place], "obj_ptr": pointer}
        for index, (memory, pointer) in frames.items()
    }
    return theirs._prepare_memory_conditioned_features(
        now,
        False,
        [vision[2].expand(-1, 2, -1)],
        [positions[2].expand(-1, 2, -1)],
        sides[2:],
        {"cond_frame_outputs": {100: stored.pop(100)}, "non_cond_frame_outputs": stored},
        num_frames=2 * now,
    )
