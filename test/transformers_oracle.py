"""The SAM 2 of the transformers library as a second opinion: the same weights under other names.

Import this module after ``pytest.importorskip("transformers")``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel

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

#: The same for what only the model of videos has, applied after them.
RENAMED_IN_VIDEOS = (
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"^(memory_encoder\.memory_fuser\..*)\.norm\.", r"\1.layer_norm."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.gamma$", ".scale"),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.o_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    (r"^obj_ptr_proj\.layers\.0\.", "object_pointer_proj.proj_in."),
    (r"^obj_ptr_proj\.layers\.1\.", "object_pointer_proj.layers.0."),
    (r"^obj_ptr_proj\.layers\.2\.", "object_pointer_proj.proj_out."),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
)
#: The mask's convolutions and norms on its way down, which are numbered in one row.
DOWNSAMPLED = re.compile(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.")


def their_name(name: str, rules: Iterable[tuple[str, str]] = RENAMED) -> str:
    """The name in transformers of an official weight, by rules of pattern and replacement."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def video_name(name: str, further: Iterable[tuple[str, str]] = ()) -> str:
    """The same in their model of videos; ``further`` rules are applied between those of images and of videos."""
    numbered = DOWNSAMPLED.match(name)
    if numbered and int(numbered[1]) < 12:
        layer, part = divmod(int(numbered[1]), 3)
        start = f"memory_encoder.mask_downsampler.layers.{layer}.{'layer_norm' if part else 'conv'}."
        return start + name[numbered.end() :]
    return their_name(name, (*RENAMED, *further, *RENAMED_IN_VIDEOS))


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


def _vision_config(size: Size) -> dict[str, object]:
    """Their image encoder of a published size at its image side."""
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
    return dict(
        backbone_config=backbone,
        backbone_channel_list=list(reversed(size.channels)),
        backbone_feature_sizes=[[size.image_size // stride] * 2 for stride in (4, 8, 16)],
    )


def transformers_model(size: Size, weights: dict[str, Tensor]) -> Sam2Model:
    """Their image model of a published size at its image side, with official weights, in eval mode."""
    config = Sam2Config(vision_config=_vision_config(size), prompt_encoder_config=dict(image_size=size.image_size))
    model = Sam2Model(config)
    of_images = {name: tensor for name, tensor in weights.items() if name.startswith(("image_encoder.", "sam_"))}
    theirs = {**renamed(of_images), "no_memory_embedding": weights["no_mem_embed"]}
    model.load_state_dict(theirs, strict=True)
    return model.eval()


def transformers_video_model(size: Size, weights: dict[str, Tensor]) -> Sam2VideoModel:
    """Their model of videos of a published SAM 2.1 at its image side, with official weights, in eval mode."""
    config = Sam2VideoConfig(
        vision_config=dict(model_type="sam2_vision_model", **_vision_config(size)),
        prompt_encoder_config=dict(image_size=size.image_size),
        image_size=size.image_size,
        memory_attention_rope_feat_sizes=[size.grid] * 2,
        enable_occlusion_spatial_embedding=size.version_2_1,
        enable_temporal_pos_encoding_for_object_pointers=size.version_2_1,
    )
    model = Sam2VideoModel(config)
    model.load_state_dict(renamed(weights, video_name), strict=True)
    return model.eval()
