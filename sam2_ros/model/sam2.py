"""SAM 2 as five methods: encode_image, attend, decode, decode_mask, encode_memory.

``interface`` declares them and documents their arguments and results.  Here C is hidden_dim and m memory_dim.
Nothing here switches gradients or autocast.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.errors import InvalidInput
from sam2_ros.model.interface import (
    ABSENT_LOGIT,
    TIME_CODES,
    Candidates,
    Found,
    ImageFeatures,
    Memories,
    PromptInputs,
)
from sam2_ros.model.layers import MLP, to_channels_last
from sam2_ros.model.mask_decoder import MaskDecoder, most_obedient, most_stable
from sam2_ros.model.memory_attention import MemoryAttention
from sam2_ros.model.memory_encoder import MemoryEncoder
from sam2_ros.model.memory_tokens import MEMORY_TOKENS
from sam2_ros.model.neck import ImageEncoder
from sam2_ros.model.position import sine_line
from sam2_ros.model.prompt_encoder import PromptEncoder
from sam2_ros.model.sizes import Size

#: Pointer distances are divided by this: the farthest of 15 recent frames is at 1.
POINTER_HORIZON = 15
#: Masks enter the memory encoder, and mask prompts leave as answers, in -10..10.
MASK_SCALE, MASK_BIAS = 20.0, -10.0


class SAM2(nn.Module):
    """SAM 2 or SAM 2.1 (https://arxiv.org/abs/2408.00714), of any size in sizes.py."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        width, memory_width = size.hidden_dim, size.memory_dim
        self.image_encoder = ImageEncoder(size)
        self.memory_attention = MemoryAttention(size)
        self.memory_encoder = MemoryEncoder(size)
        self.sam_prompt_encoder = PromptEncoder(size)
        self.sam_mask_decoder = MaskDecoder(size)
        self.obj_ptr_proj = MLP((width, width, width, width))
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.maskmem_tpos_enc = _small_parameter(TIME_CODES, 1, 1, memory_width)
        self.no_mem_embed = _small_parameter(1, 1, width)
        self.no_mem_pos_enc = _small_parameter(1, 1, width)  # in every checkpoint, read by nobody
        self.no_obj_ptr = _small_parameter(1, width)
        if size.version_2_1:
            self.no_obj_embed_spatial = _small_parameter(1, memory_width)
            self.obj_ptr_tpos_proj = nn.Linear(width, memory_width)
        # The name that it has in the checkpoints of families that compress their memories.
        self.spatial_perceiver = MEMORY_TOKENS[size.memory](size)
        to_channels_last(self)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.no_mem_embed.device

    @property
    def precision(self) -> torch.dtype:
        """The type of its weights."""
        return self.no_mem_embed.dtype

    def checksum(self) -> str:
        """SHA-256 of the names and values of all weights."""
        digest = hashlib.sha256()
        for name, value in self.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().float().contiguous().numpy())
        return digest.hexdigest()

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What the trunk sees on the images; see ``Model.encode_image``."""
        side = self.size.image_size
        if images.shape[-2:] != (side, side):
            raise InvalidInput(
                f"this model takes {side}x{side} images, got {tuple(images.shape)}; "
                "use pixels.normalise, or build the size with .at(side)"
            )
        decoder = self.sam_mask_decoder
        stride4, stride8, stride16 = self.image_encoder(images, decoder.conv_s0, decoder.conv_s1)
        return ImageFeatures(stride16, stride8, stride4)

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it; see ``Model.attend``."""
        if memories is None:
            return features.stride16 + self.no_mem_embed.view(-1, 1, 1)
        seen: Tensor = self.memory_attention(features.stride16, *self.keys_and_values(memories))
        return seen

    def keys_and_values(self, memories: Memories) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """What the memory attention looks at: keys and values (N, M T + P C/m, m), and the rotary table of the keys."""
        # The tokens of one pointer follow each other; they have a position in time but none in the image.
        pointers = torch.unflatten(memories.pointers, 2, (-1, self.size.memory_dim)).flatten(1, 2)
        values = self._turned_first(memories.tokens, pointers)
        keys = values + self._turned_first(self._memory_positions(memories), self._pointer_positions(memories))
        return keys, values, self._turns(memories.tokens.shape[1])

    def _turned_first(self, memories: Tensor, pointers: Tensor) -> Tensor:
        """Tokens of memories (N, M, T, m) and of pointers (N, P C/m, m) in a row, first those whose keys are turned."""
        unturned = self.spatial_perceiver.unturned
        parts = (memories[:, :, unturned:], memories[:, :, :unturned]) if unturned else (memories,)
        return torch.cat((*(part.flatten(1, 2) for part in parts), pointers), dim=1)

    def _memory_positions(self, memories: Memories) -> Tensor:
        """The positions of each memory token, in the image and in time: (N, M, T, m)."""
        time = self.maskmem_tpos_enc[memories.time_code, 0]  # (N, M, 1, m)
        return self.spatial_perceiver.positions + time

    def _pointer_positions(self, memories: Memories) -> Tensor:
        """Time of each pointer token, in SAM 2.1 only: (N, P C/m, m)."""
        width, memory_width = self.size.hidden_dim, self.size.memory_dim
        if not self.size.version_2_1:
            rows, count, _ = memories.pointers.shape
            return memories.pointers.new_zeros(rows, count * (width // memory_width), memory_width)
        time: Tensor = self.obj_ptr_tpos_proj(sine_line(memories.pointer_distance / POINTER_HORIZON, width))
        return time[:, :, None].expand(-1, -1, width // memory_width, -1).flatten(1, 2)

    def _turns(self, memories: int) -> tuple[Tensor, Tensor]:
        """The rotary table of the keys: every memory is turned alike; pointers are not."""
        part = self.spatial_perceiver
        return part.cosine[part.unturned :].repeat(memories, 1), part.sine[part.unturned :].repeat(memories, 1)

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """Candidate masks; see ``Model.decode``."""
        fallback = stability_fallback and not multimask and not self.training
        masks = slice(1, None) if multimask else slice(None) if fallback else slice(1)
        asked = prompt or PromptInputs()
        logits, iou, tokens, score = self._decode_masks(view, features, asked, masks)
        if fallback:
            (logits, iou), tokens = self.clearest(logits, iou, *asked.clicked(view)), tokens[:, :1]
        visible = score > 0
        logits = torch.where(visible[:, None, None, None], logits, ABSENT_LOGIT)
        pointer = torch.where(visible[:, None, None], self.obj_ptr_proj(tokens), self.no_obj_ptr)
        return Candidates(logits.float(), iou.float(), score.float(), pointer.float())

    def clearest(self, logits: Tensor, iou: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """One of the four masks (N, 4, a, a) for a clear prompt, by the rule of this size: (N, 1, a, a) and (N, 1)."""
        if self.size.obeys_clicks:
            return most_obedient(logits, iou, points, labels, self.size.image_size)
        return most_stable(logits, iou)

    def _decode_masks(
        self, view: Tensor, features: ImageFeatures, prompt: PromptInputs, masks: slice
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What ``MaskDecoder.forward`` returns."""
        encoder = self.sam_prompt_encoder
        points, labels = prompt.clicked(view)
        image = view + encoder.embed_masks(prompt.mask_logits)
        image = image.expand(points.shape[0], -1, -1, -1)
        decoded: tuple[Tensor, Tensor, Tensor, Tensor] = self.sam_mask_decoder(
            image,
            encoder.image_positions(),
            encoder.embed_points(points, labels),
            (features.stride4, features.stride8),
            masks,
        )
        return decoded

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """A mask prompt is the answer itself; see ``Model.decode_mask``.

        A mask so thin that the smaller grid would hold less than half of it is widened there: the released
        predictor remembers next to nothing of it.
        """
        small = (self.size.image_size // 4, self.size.image_size // 4)
        logits = F.interpolate(masks * MASK_SCALE + MASK_BIAS, size=small, mode="bilinear", antialias=True)
        lost = (logits > 0).float().mean(dim=(1, 2, 3)) < masks.mean(dim=(1, 2, 3)) / 2
        logits = torch.where(lost[:, None, None, None], F.max_pool2d(masks, 4) * MASK_SCALE + MASK_BIAS, logits)
        prompt = PromptInputs(mask_logits=self.mask_downsample(masks))
        found = self.decode(features.stride16, features, prompt, multimask=False, stability_fallback=False)
        visible = masks.flatten(1).any(dim=1)
        pointer = torch.where(visible[:, None], found.pointer[:, 0], self.no_obj_ptr)
        score = visible.float() * MASK_SCALE + MASK_BIAS
        return Found(logits, torch.ones_like(score), score, pointer.float())

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """The tokens to remember; see ``Model.encode_memory``."""
        side = self.size.image_size
        masks = F.interpolate(mask_logits, size=(side, side), mode="bilinear", align_corners=False)
        masks = (masks > 0).to(masks.dtype) if binarize else masks.sigmoid()
        memory: Tensor = self.memory_encoder(features.stride16, masks * MASK_SCALE + MASK_BIAS)
        if self.size.version_2_1:
            absent = (object_score <= 0).to(memory.dtype)[:, None, None, None]
            memory = memory + absent * self.no_obj_embed_spatial[..., None, None].to(memory.dtype)
        return self.spatial_perceiver(memory)


def _small_parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))
