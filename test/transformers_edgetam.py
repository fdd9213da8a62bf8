"""The EdgeTAM of the transformers library as a second opinion: the same published weights under other names.

Import this module after ``pytest.importorskip("transformers.models.edgetam_video")``.
"""

from __future__ import annotations

from edgetam_oracle import official_package
from torch import Tensor
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, EdgeTamVisionConfig, TimmWrapperConfig
from transformers.models.timm_wrapper import modeling_timm_wrapper as wrapper
from transformers_oracle import renamed, video_name

with official_package():
    import timm

# It finds no timm, and wants torchvision beside it, which the trunk does not need.
wrapper.timm = timm
wrapper.requires_backends = lambda *_: None

#: Names that SAM 2 does not have; applied after those of its image model and before those of videos.
FURTHER = (
    (r"^(memory_attention\..*)linear1\.", r"\1mlp.up_proj."),
    (r"^(memory_attention\..*)linear2\.", r"\1mlp.down_proj."),
    (r"^(memory_attention|spatial_perceiver)\.norm\.", r"\1.layer_norm."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"\.attn\.norm_x\.", ".layer_norm_input."),
    (r"\.attn\.norm_latents\.", ".layer_norm_latents."),
    (r"^(spatial_perceiver\..*)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\..*)\.attn\.to_", r"\1.cross_attention.to_"),
    (r"^(spatial_perceiver\..*)\.self_attn\.to_", r"\1.self_attention.to_"),
    (r"\.to_(q|k|v)\.", r".\1_proj."),
    (r"\.to_out\.", ".o_proj."),
    (r"\.(self_)?ff\.0\.", r".\1mlp.layer_norm."),
    (r"\.(self_)?ff\.1\.", r".\1mlp.up_proj."),
    (r"\.(self_)?ff\.3\.", r".\1mlp.down_proj."),
)


def _apart(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys and values are projected apart from each other there."""
    apart = {}
    for name, tensor in weights.items():
        if ".to_kv." in name:
            apart[name.replace("to_kv", "to_k")], apart[name.replace("to_kv", "to_v")] = tensor.chunk(2)
        else:
            apart[name] = tensor
    return apart


def _renamed(name: str) -> str:
    if name.startswith("image_encoder.trunk.body."):
        return name.replace("image_encoder.trunk.body.", "vision_encoder.backbone.timm_model.")
    return video_name(name, FURTHER)


def transformers_edgetam(side: int, weights: dict[str, Tensor]) -> EdgeTamVideoModel:
    """Their model at an image side, with published weights, in eval mode."""
    grid = [side // 16] * 2
    trunk = TimmWrapperConfig(
        architecture="repvit_m1", model_args=dict(in_chans=3, features_only=True, out_indices=[0, 1, 2, 3])
    )
    config = EdgeTamVideoConfig(
        vision_config=EdgeTamVisionConfig(
            backbone_config=trunk, backbone_feature_sizes=[[side // stride] * 2 for stride in (4, 8, 16)]
        ),
        prompt_encoder_config=dict(image_size=side),
        image_size=side,
        memory_attention_rope_feat_sizes=grid,
        enable_occlusion_spatial_embedding=False,
        enable_temporal_pos_encoding_for_object_pointers=False,
    )
    model = EdgeTamVideoModel(config)
    model.load_state_dict(renamed(_apart(weights), _renamed), strict=True)
    return model.eval()
