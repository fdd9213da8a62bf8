"""The smallest model of each family, with random weights: milliseconds per frame, and memories of the family's form."""

from __future__ import annotations

import dataclasses

import torch

from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, PERCEIVER, TEST, Size

#: EdgeTAM's rules and its perceiver, behind the small trunk of TEST.
EDGETAM_TEST = dataclasses.replace(TEST, name="test_edgetam", image_size=256, memory=PERCEIVER, version_2_1=False)
#: What is less in a model with the trunk of another one.
SMALL = {"image_size": 64, "hidden_dim": 32, "memory_dim": 16, "memory_layers": 1, "feedforward_dim": 32}
EMBEDDED_TEST = dataclasses.replace(EMBEDDED_LITE, **SMALL)
FAMILIES = {"SAM 2.1": TEST, "EdgeTAM": EDGETAM_TEST}


def tiny_model(size: Size = TEST, object_score: float = 0.0) -> SAM2:
    """A model in eval mode, the same for each call; object_score: the bias of the occlusion head, in logits."""
    torch.manual_seed(0)
    model = SAM2(size).eval()
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(object_score)
    return model
