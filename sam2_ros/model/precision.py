"""What a model computes in: bfloat16 where the device is fast in it and the answers allow it, else float32.

Which methods of a model may be computed in a lower precision is declared here, for every family and device.  In
these, autocast lowers products and convolutions; weights stay in float32, and so do sums over the layers of a
transformer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sam2_ros.model.interface import Candidates, Found, ImageFeatures, Memories, Model, PromptInputs, WrappedModel
from sam2_ros.model.sizes import EFFICIENTNET_STAGES, Size

#: The first GPUs that compute in bfloat16 (Ampere).
BFLOAT16_SINCE = (8, 0)
#: The methods of a model that are computed in the precision that is wanted.  Those that decode are not: a small error
#: changes which of three masks is chosen, and on a CPU they are too small to become faster.
LOWERED = frozenset({"encode_image", "attend", "encode_memory"})


def lowered(size: Size) -> frozenset[str]:
    """The methods of a model of this size that are computed in the precision that is wanted.

    In an EfficientNet large numbers nearly cancel each other in the first layers, whose norms are merged into the
    convolutions: in bfloat16 its features are off by 6 %, those of other trunks by 1 % at most.
    """
    return LOWERED - {"encode_image"} if size.trunk in EFFICIENTNET_STAGES else LOWERED


def precision(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; "auto" is bfloat16 on a GPU that computes in it, float32 elsewhere.

    ``torch.cuda.is_bf16_supported`` would not do: older GPUs emulate it, and are slower than in float32.
    """
    if wanted != "auto":
        named: torch.dtype = getattr(torch, wanted)
        return named
    fast = device.type == "cuda" and torch.cuda.get_device_capability(device) >= BFLOAT16_SINCE
    return torch.bfloat16 if fast else torch.float32


def computed_in(model: Model, wanted: str) -> Model:
    """The model, computed in ``precision``; an ``InPrecision`` keeps the one that it has."""
    dtype = precision(wanted, model.device)
    return model if isinstance(model, InPrecision) or dtype == torch.float32 else InPrecision(model, dtype)


class InPrecision(WrappedModel):
    """A model with a precision for each of its methods, for the tracker and for training."""

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        """dtype: of the methods that ``lowered`` names; the others are computed in float32."""
        super().__init__(model)
        self.dtype = dtype
        self._lowered = lowered(model.size) if dtype != torch.float32 else frozenset[str]()

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """What the trunk sees on the images; see ``Model.encode_image``.  The sharp features stay as they come."""
        with self._computing("encode_image"):
            return super().encode_image(images)

    def attend(self, features: ImageFeatures, memories: Memories | None) -> Tensor:
        """The image as each object sees it; see ``Model.attend``."""
        with self._computing("attend"):
            return super().attend(features, memories).float()

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
        with self._computing("decode"):
            return super().decode(
                view, _in_float32(features), prompt, multimask=multimask, stability_fallback=stability_fallback
            )

    def decode_mask(self, features: ImageFeatures, masks: Tensor) -> Found:
        """A mask prompt is the answer itself; see ``Model.decode_mask``."""
        with self._computing("decode_mask"):
            return super().decode_mask(_in_float32(features), masks)

    def encode_memory(
        self, features: ImageFeatures, mask_logits: Tensor, object_score: Tensor, *, binarize: bool
    ) -> Tensor:
        """The tokens to remember; see ``Model.encode_memory``."""
        with self._computing("encode_memory"):
            return super().encode_memory(features, mask_logits, object_score, binarize=binarize).float()

    def _computing(self, method: str) -> torch.autocast:
        is_lowered = method in self._lowered
        return torch.autocast(self.device.type, self.dtype if is_lowered else None, enabled=is_lowered)


def _in_float32(features: ImageFeatures) -> ImageFeatures:
    return ImageFeatures(features.stride16.float(), features.stride8.float(), features.stride4.float())
