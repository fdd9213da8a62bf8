"""The mask decoder: tokens ask the image where the object is (SAM, section 3; SAM 2, appendix C.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2_ros.model.attention import TwoWayTransformer
from sam2_ros.model.layers import MLP, LayerNorm2d, Tokens
from sam2_ros.model.sizes import Size

#: One mask for unambiguous prompts (token 0) and three for ambiguous ones (tokens 1 to 3).
MASK_TOKENS = 4
#: A single mask is stable when lowering and raising its threshold by this logit ...
STABILITY_DELTA = 0.05
#: ... changes its area by less than this share.
STABILITY_SHARE = 0.98


class MaskDecoder(nn.Module):
    """Masks, their predicted IoU, the object score and the mask tokens for one view of an image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.hidden_dim
        self.transformer = TwoWayTransformer(width, size.feedforward_dim)
        self.obj_score_token = Tokens(1, width)
        self.iou_token = Tokens(1, width)
        self.mask_tokens = Tokens(MASK_TOKENS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, kernel_size=2, stride=2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.conv_s0 = nn.Conv2d(width, width // 8, kernel_size=1)
        self.conv_s1 = nn.Conv2d(width, width // 4, kernel_size=1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP((width, width, width, width // 8)) for _ in range(MASK_TOKENS)
        )
        self.iou_prediction_head = MLP((width, width, width, MASK_TOKENS))
        self.pred_obj_score_head = MLP((width, width, width, 1))

    def forward(
        self, image: Tensor, image_position: Tensor, prompts: Tensor, skips: tuple[Tensor, Tensor], masks: slice
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decode the mask tokens in ``masks``.

        image: (N, C, h, w), mask prompt added; image_position: (1, C, h, w); prompts: (N, T, C);
        skips: stride 4 (B, C/8, 4h, 4w) and stride 8 (B, C/4, 2h, 2w), B = 1 or N.
        Returns mask logits (N, K, 4h, 4w), IoU (N, K) in 0..1, the tokens (N, K, C) and the
        object score (N,) as a logit.
        """
        height, width = image.shape[-2:]
        own = torch.cat((self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((own.expand(prompts.shape[0], -1, -1), prompts), dim=1)
        tokens, image = self.transformer(
            image.flatten(2).transpose(1, 2), image_position.flatten(2).transpose(1, 2), tokens
        )
        mask_tokens = tokens[:, 2 : 2 + MASK_TOKENS][:, masks]
        maps = self._upscale(torch.unflatten(image.transpose(1, 2), 2, (height, width)), skips)
        mlps = list(self.output_hypernetworks_mlps)[masks]
        filters = torch.stack([mlp(token) for mlp, token in zip(mlps, mask_tokens.unbind(1))], dim=1)  # (N, K, C/8)
        logits = torch.unflatten(filters @ maps.flatten(2), 2, maps.shape[-2:])
        iou = self.iou_prediction_head(tokens[:, 1]).sigmoid()[:, masks]
        return logits, iou, mask_tokens, self.pred_obj_score_head(tokens[:, 0])[:, 0]

    def _upscale(self, image: Tensor, skips: tuple[Tensor, Tensor]) -> Tensor:
        """(N, C, h, w) to (N, C/8, 4h, 4w), with the sharper features of the image added on the way."""
        first, norm, activation, second, last_activation = self.output_upscaling
        stride4, stride8 = skips
        image = activation(norm(first(image) + stride8))
        sharp: Tensor = last_activation(second(image) + stride4)
        return sharp


def most_stable(logits: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """The single mask where it is stable, else the best of the three ambiguous ones.

    logits (N, 4, a, a) and iou (N, 4) of all mask tokens; returns (N, 1, a, a) and (N, 1).
    """
    single = logits[:, 0].flatten(1)
    inner = (single > STABILITY_DELTA).sum(1, dtype=torch.float32)
    outer = (single > -STABILITY_DELTA).sum(1, dtype=torch.float32)
    stable = torch.where(outer > 0, inner / outer, 1.0) >= STABILITY_SHARE
    return _picked(logits, iou, torch.where(stable, 0, 1 + iou[:, 1:].argmax(1)))


def most_obedient(logits: Tensor, iou: Tensor, points: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The single mask, unless another mask misses fewer clicks; of several that miss the fewest, the highest IoU.

    logits and iou as for ``most_stable``; points (N, K, 2) in pixels of the side x side image; labels (N, K), where 1
    and 0 are clicks.  Returns (N, 1, a, a) and (N, 1).
    """
    clicked = _at(logits, (points + 0.5) * logits.shape[-1] / side - 0.5)
    wrong = ((clicked > 0) != (labels == 1)[:, None]) & ((labels == 0) | (labels == 1))[:, None]
    count = wrong.sum(2, dtype=torch.float32)
    best = (iou - count).argmax(1)  # an IoU is at most 1, so it decides between equal counts only
    return _picked(logits, iou, torch.where(count[:, 0] <= count.amin(1), 0, best))


def _at(logits: Tensor, places: Tensor) -> Tensor:
    """Logits (N, 4, a, a) at places (N, K, 2), x and y in their pixels, between which they are linear: (N, 4, K)."""
    side = logits.shape[-1]
    distances = places.clamp(0, side - 1)[..., None] - torch.arange(side, device=places.device)
    across, down = (1 - distances.abs()).clamp(min=0)[:, None].unbind(3)  # (N, 1, K, a): shares of columns and of rows
    return ((down @ logits) * across).sum(3)


def _picked(logits: Tensor, iou: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The mask of each object with its number, and its IoU; chosen: the numbers (N,)."""
    places = chosen[:, None, None, None].expand(-1, 1, *logits.shape[2:])
    return logits.gather(1, places), iou.gather(1, chosen[:, None])
