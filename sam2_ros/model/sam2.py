"""SAM 2 as four verbs: encode_image, attend, decode, encode_memory.

The model remembers nothing: which frames an object may look at is the caller's business.
Shapes: N objects, B images (1, or one per object), S the image side, h = w = S / 16,
C = hidden_dim, m = memory_dim, K answers.  Nothing here switches gradients or autocast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.errors import InvalidInput
from sam2_ros.model.layers import MLP
from sam2_ros.model.mask_decoder import MaskDecoder, most_stable
from sam2_ros.model.memory_attention import MemoryAttention
from sam2_ros.model.memory_encoder import MemoryEncoder
from sam2_ros.model.neck import ImageEncoder
from sam2_ros.model.position import sine_grid, sine_line
from sam2_ros.model.prompt_encoder import PromptEncoder
from sam2_ros.model.sizes import Size

#: Time codes: six recent frames (0 = the frame before) and the prompted frames (6), whatever their age.
TIME_CODES = 7
#: Pointer distances are divided by this: the farthest of 15 recent frames is at 1.
POINTER_HORIZON = 15
#: Mask logit wherever the object is not visible.
ABSENT_LOGIT = -1024.0
#: Logits of a previous answer enter as a prompt within these bounds.
PROMPT_LOGIT_BOUND = 32.0
#: Masks enter the memory encoder, and mask prompts leave as answers, in -10..10.
MASK_SCALE, MASK_BIAS = 20.0, -10.0

#: What the tracker asks of a model.
VERBS = ("size", "encode_image", "attend", "decode", "decode_mask", "encode_memory")


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the trunk saw on B images; shared by all objects and prompts.

    stride16: (B, C, h, w), from the neck.  stride8: (B, C/4, 2h, 2w) and stride4:
    (B, C/8, 4h, 4w), narrowed for the mask decoder.
    """

    stride16: Tensor
    stride8: Tensor
    stride4: Tensor

    def rows(self, index: Tensor) -> ImageFeatures:
        """The features of image index[i] for object i: index (N,) int64.  For batches of several videos."""
        return ImageFeatures(self.stride16[index], self.stride8[index], self.stride4[index])


@dataclass(frozen=True, slots=True)
class Memories:
    """What N objects with equally long memories remember.

    spatial: (N, M, m, h, w), from encode_memory.
    time_code: (N, M) int64; 0 = the frame before, 5 = six frames before, 6 = a prompted frame.
    pointers: (N, P, C), from decode.
    pointer_distance: (N, P) float32, this frame's index minus the pointer's, in frames.
    """

    spatial: Tensor
    time_code: Tensor
    pointers: Tensor
    pointer_distance: Tensor


@dataclass(frozen=True, slots=True)
class PromptInputs:
    """Prompts for N objects, in pixels of the S x S input, the centre of the first pixel at (0, 0).

    points: (N, K, 2) float32, box corners first, then clicks; or None.
    labels: (N, K) int32; 1 positive, 0 negative, 2 top-left, 3 bottom-right, -1 padding.
    mask_logits: (N, 1, 4h, 4w), the previous answer on this frame, clamped to -32..32; or None.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask_logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One answer for each of N objects; float32.

    logits: (N, 1, 4h, 4w), ABSENT_LOGIT everywhere where the object is not visible.
    iou: (N,), predicted.  object_score: (N,), a logit; visible where positive.  pointer: (N, C).
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """K answers for each of N objects: logits (N, K, 4h, 4w), iou (N, K), object_score (N,), pointer (N, K, C)."""

    logits: Tensor
    iou: Tensor
    object_score: Tensor
    pointer: Tensor

    def best(self) -> Found:
        """For each object the answer with the highest predicted IoU."""
        rows, best = torch.arange(len(self.iou), device=self.iou.device), self.iou.argmax(1)
        return Found(
            self.logits[rows, best][:, None], self.iou[rows, best], self.object_score, self.pointer[rows, best]
        )


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
        self.register_buffer("memory_position", sine_grid(memory_width, size.grid), persistent=False)
        self.to(memory_format=torch.channels_last)  # the faster layout for what alternates between maps and tokens

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Look at images (B, 3, S, S), RGB, as pixels.normalise makes them: once per frame.

        Raises InvalidInput for another side than the model's.
        """
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
        """The image as each object sees it, given its memories: (N, C, h, w).

        None: nothing is remembered yet (an object's first prompted frame); (B, C, h, w).
        """
        if memories is None:
            return features.stride16 + self.no_mem_embed.view(-1, 1, 1)
        spatial = memories.spatial.flatten(3).transpose(2, 3)  # (N, M, hw, m)
        # The tokens of one pointer follow each other; they carry time but no place.
        pointers = memories.pointers.unflatten(2, (-1, self.size.memory_dim)).flatten(1, 2)
        values = torch.cat((spatial.flatten(1, 2), pointers), dim=1)  # (N, M hw + P C/m, m)
        keys = values + torch.cat((self._memory_positions(memories), self._pointer_positions(memories)), dim=1)
        return self.memory_attention(features.stride16, keys, values, unplaced=pointers.shape[1])

    def _memory_positions(self, memories: Memories) -> Tensor:
        """Place and time of each spatial memory token: (N, M hw, m)."""
        place = self.memory_position.flatten(1).T  # (hw, m)
        time = self.maskmem_tpos_enc[memories.time_code, 0]  # (N, M, 1, m)
        return (place + time).flatten(1, 2)

    def _pointer_positions(self, memories: Memories) -> Tensor:
        """Time of each pointer token, in SAM 2.1 only: (N, P C/m, m)."""
        width, memory_width = self.size.hidden_dim, self.size.memory_dim
        if not self.size.version_2_1:
            rows, count, _ = memories.pointers.shape
            return memories.pointers.new_zeros(rows, count * (width // memory_width), memory_width)
        time = self.obj_ptr_tpos_proj(sine_line(memories.pointer_distance / POINTER_HORIZON, width))
        return time.repeat_interleave(width // memory_width, dim=1)

    def decode(
        self,
        view: Tensor,
        features: ImageFeatures,
        prompt: PromptInputs | None = None,
        *,
        multimask: bool,
        stability_fallback: bool = True,
    ) -> Candidates:
        """Masks of N objects: K = 3 answers if ``multimask`` (an ambiguous prompt, or none), else 1.

        view: (N or 1, C, h, w), from attend.  prompt None: track, nobody said anything here.
        stability_fallback: in eval mode, replace a single mask that would change much with
        its threshold by the best of the other three.
        """
        fallback = stability_fallback and not multimask and not self.training
        masks = slice(1, None) if multimask else slice(None) if fallback else slice(1)
        logits, iou, tokens, score = self._decode_masks(view, features, prompt or PromptInputs(), masks)
        if fallback:
            (logits, iou), tokens = most_stable(logits, iou), tokens[:, :1]
        visible = score > 0
        logits = torch.where(visible[:, None, None, None], logits, ABSENT_LOGIT)
        pointer = torch.where(visible[:, None, None], self.obj_ptr_proj(tokens), self.no_obj_ptr)
        return Candidates(logits.float(), iou.float(), score.float(), pointer.float())

    def _decode_masks(
        self, view: Tensor, features: ImageFeatures, prompt: PromptInputs, masks: slice
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        encoder, points, labels = self.sam_prompt_encoder, prompt.points, prompt.labels
        if points is None:
            rows = view.shape[0] if prompt.mask_logits is None else prompt.mask_logits.shape[0]
            points = torch.zeros(rows, 1, 2, dtype=torch.float32, device=view.device)
            labels = torch.full((rows, 1), -1, dtype=torch.int32, device=view.device)
        image = view + encoder.embed_masks(prompt.mask_logits)
        image = image.expand(points.shape[0], -1, -1, -1)
        return self.sam_mask_decoder(
            image,
            encoder.image_positions(),
            encoder.embed_points(points, labels),
            (features.stride4, features.stride8),
            masks,
        )

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """A mask prompt is the answer itself: masks (N, 1, S, S), 0 or 1; only the pointer is decoded.

        The object is visible when its mask has a pixel; the score is then 10, else -10.  A mask so
        thin that the smaller grid would hold less than half of it is widened there: the released
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
        """What to remember of this frame: (N, m, h, w).

        mask_logits: (N, 1, 4h, 4w); object_score: (N,).  binarize: the mask is what a person
        saw and accepted, so its edge is hard.
        """
        side = self.size.image_size
        masks = F.interpolate(mask_logits, size=(side, side), mode="bilinear", align_corners=False)
        masks = (masks > 0).to(masks.dtype) if binarize else masks.sigmoid()
        memory = self.memory_encoder(features.stride16, masks * MASK_SCALE + MASK_BIAS)
        if not self.size.version_2_1:
            return memory
        absent = (object_score <= 0).to(memory.dtype)
        return memory + absent[:, None, None, None] * self.no_obj_embed_spatial[..., None, None].to(memory.dtype)


def _small_parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def refuse_no_model(model: object) -> None:
    """Raises InvalidInput unless ``model`` has the verbs of SAM2, as what torch.compile makes of it has."""
    if not isinstance(model, nn.Module) or not all(hasattr(model, verb) for verb in VERBS):
        wrapped = "; give its .module" if hasattr(model, "module") else ""
        raise InvalidInput(
            "the model must be one that sam2_ros.model.checkpoint.load returns, as in "
            f"Tracker(load('embedded')); got {type(model).__name__}{wrapped}"
        )
