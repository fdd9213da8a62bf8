"""The SAM 2 of the transformers library as a second opinion: the same weights under other names.

Import this module after ``pytest.importorskip("transformers")``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from transformers import Sam2Config, Sam2Model

from sam2_ros.model.sizes import Size

#: Official names (of a start or a part) and theirs, applied in this order.
RENAMED = (
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.norm(\d|_final_attn)\.", r".layer_norm\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(_mlps\.\d|_head)\.layers\.0\.", r"\1.proj_in."),
    (r"(_mlps\.\d|_head)\.layers\.1\.", r"\1.layers.0."),
    (r"(_mlps\.\d|_head)\.layers\.2\.", r"\1.proj_out."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
)


def their_name(name: str, rules: Iterable[tuple[str, str]] = RENAMED) -> str:
    """The name in transformers of an official weight, by rules of pattern and replacement."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def renamed(weights: dict[str, Tensor], name_of: Callable[[str], str] = their_name) -> dict[str, Tensor]:
    """Official weights under their names; their prompt encoder holds its points in one tensor."""
    gaussian = weights["sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"]
    points = [weights[f"sam_prompt_encoder.point_embeddings.{i}.weight"] for i in range(4)]
    rest = {name: w for name, w in weights.items() if "point_embeddings" not in name and "pe_layer" not in name}
    return {
        "shared_image_embedding.positional_embedding": gaussian,
        "prompt_encoder.shared_embedding.positional_embedding": gaussian,
        "prompt_encoder.point_embed.weight": torch.cat(points),
    } | {name_of(name): tensor for name, tensor in rest.items()}


def transformers_model(size: Size, weights: dict[str, Tensor]) -> Sam2Model:
    """Their image model of a published size at its image side, with official weights, in eval mode."""
    features = [[size.image_size // stride] * 2 for stride in (4, 8, 16)]
    backbone = dict(
        model_type="sam2_hiera_det_model",
        hidden_size=size.embed_dim,
        num_attention_heads=size.num_heads,
        blocks_per_stage=list(size.stages),
        embed_dim_per_stage=list(size.channels),
        num_attention_heads_per_stage=[size.num_heads * 2**stage for stage in range(4)],
        global_attention_blocks=list(size.global_attention_blocks),
        window_size_per_stage=list(size.window_spec),
        window_positional_embedding_background_size=[size.position_background_size] * 2,
        image_size=[size.image_size] * 2,
    )
    config = Sam2Config(
        vision_config=dict(
            backbone_config=backbone,
            backbone_channel_list=list(reversed(size.channels)),
            backbone_feature_sizes=features,
        ),
        prompt_encoder_config=dict(image_size=size.image_size),
    )
    model = Sam2Model(config)
    of_images = {name: tensor for name, tensor in weights.items() if name.startswith(("image_encoder.", "sam_"))}
    theirs = {**renamed(of_images), "no_memory_embedding": weights["no_mem_embed"]}
    model.load_state_dict(theirs, strict=True)
    return model.eval()
