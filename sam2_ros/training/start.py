"""Initial weights for a training from random numbers.

The published models start from a trunk trained on masked images, and are wide.  Small models with random
weights learn nothing for a long time if their signals are much weaker than the constants that are added to
them.  So here every layer keeps the size of its signal, constants are small, and attention starts by finding
equal content: a click finds its own place in the image, and a place finds itself in the memories.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from sam2_ros.model.attention import Projections
from sam2_ros.model.layers import Tokens
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import HIERA

#: Standard deviation of learned constants that are added to image features.
CONSTANT = 0.02
#: Of tokens and prompt labels, which are normalised before use or have to be told apart.
TOKEN = 0.5
#: Scale of the residual branches that start near zero in the published configuration.
BRANCH = 0.1
#: Gain of queries and keys where both start equal: sharp enough to point at one place.
LIKENESS = 1.5
#: Equal biases of queries and keys in rotary attention, which make near places attend to each other.
NEARNESS = 1.0
#: Last layers of the heads start this small, so that what they say first is their bias.
HEAD = 0.1
#: Logits to start with: few pixels belong to an object, most objects are visible, masks are poor.
PIXEL_LOGIT, VISIBLE_LOGIT, IOU_LOGIT = -2.0, 2.0, -1.0
#: Gain of what memories say, and of the mask in them: else the image says all.
MEMORY = 2.0
#: The neck adds the projections of strides 32 and 16; what is coarse is nearly the same everywhere, so it starts small.
NECK = (0.15, 0.7)
#: Residual branches of the trunk start small: else it averages the image before it has learned to look.
TRUNK = 0.3


@torch.no_grad()
def initialise(model: SAM2) -> SAM2:
    """Draw fresh weights from torch's global generator; the model itself is returned."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            inputs = module.in_channels // module.groups
            if isinstance(module, nn.Conv2d):
                inputs *= math.prod(module.kernel_size)
            nn.init.trunc_normal_(module.weight, std=1.0 / math.sqrt(inputs))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Tokens):
            nn.init.normal_(module.weight, std=CONSTANT if "no_mask" in name else TOKEN)
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.fill_(BRANCH)
    parts: Any = model  # torch gives the attributes of modules no types
    for convolution, gain in zip(parts.image_encoder.neck.convs, NECK):
        convolution.conv.weight.mul_(gain)
    for block in parts.image_encoder.trunk.blocks if model.size.trunk == HIERA else ():
        block.attn.proj.weight.mul_(TRUNK)
        block.mlp.layers[-1].weight.mul_(TRUNK)
    _expect_little(model)
    _find_what_is_alike(model)
    return model


def _expect_little(model: SAM2) -> None:
    """Let the first answers be the average answer: else learning it comes first, and drowns the prompts."""
    decoder: Any = model.sam_mask_decoder
    heads = [(decoder.pred_obj_score_head, VISIBLE_LOGIT), (decoder.iou_prediction_head, IOU_LOGIT)]
    maps = decoder.output_upscaling[3]
    maps.bias.fill_(1.0)  # a map is then about 1 everywhere, on average
    heads += [(mlp, PIXEL_LOGIT / maps.out_channels) for mlp in decoder.output_hypernetworks_mlps]
    for mlp, logit in heads:
        mlp.layers[-1].weight.mul_(HEAD)
        mlp.layers[-1].bias.fill_(logit)


def _find_what_is_alike(model: SAM2) -> None:
    transformer: Any = model.sam_mask_decoder.transformer
    memory: Any = model.memory_attention
    between = [transformer.final_attn_token_to_image]
    for layer in transformer.layers:
        between += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in between:
        attention.q_proj.weight.mul_(LIKENESS)
        attention.k_proj.weight.copy_(attention.q_proj.weight)
    for layer in memory.layers:
        _look_nearby(layer.self_attn)
        _look_nearby(layer.cross_attn_image)
        layer.cross_attn_image.out_proj.weight.mul_(MEMORY)
    last: Any = model.memory_encoder.mask_downsampler.encoder[-1]
    last.weight.mul_(MEMORY)


def _look_nearby(attention: Projections) -> None:
    attention.q_proj.bias.fill_(NEARNESS)
    attention.k_proj.bias.fill_(NEARNESS)
