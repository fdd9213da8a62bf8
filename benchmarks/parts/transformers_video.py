"""The video models of the transformers library as a stream, with the weights of our model.

They need what ``make test`` installs.  They look for one object after the other, and encode the memories of all
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model.sizes import PERCEIVER, Size

#: The methods in which they spend their time, by the method of ours that does the same.
METHODS = {
    "encode": "get_image_features",
    "attend": "_prepare_memory_conditioned_features",
    "decode": "_single_frame_forward",
    "remember": "_encode_new_memory",
}


def transformers_model(size: Size, weights: Mapping[str, Tensor]) -> Any:
    """Their model of that size, in eval mode."""
    if size.memory == PERCEIVER:
        from transformers_edgetam import transformers_edgetam

        return transformers_edgetam(size.image_size, dict(weights))
    from transformers_oracle import transformers_video_model

    return transformers_video_model(size, dict(weights))


def _session(size: Size) -> Any:
    if size.memory == PERCEIVER:
        from transformers.models.edgetam_video.modeling_edgetam_video import EdgeTamVideoInferenceSession

        return EdgeTamVideoInferenceSession
    from transformers import Sam2VideoInferenceSession

    return Sam2VideoInferenceSession


class TransformersStream:
    """A video of ``images`` (frames, 3, S, S), as pixels.normalise makes them, and objects boxed on frame 0."""

    def __init__(
        self,
        size: Size,
        model: Any,
        images: Tensor,
        camera: tuple[int, int],
        boxes: Sequence[tuple[float, float, float, float]],
    ) -> None:
        """camera: height and width of the masks that come out."""
        self._model, self._camera = model, camera
        device = images.device
        places = dict(inference_device=device, inference_state_device=device, video_storage_device=device)
        self._session = _session(size)(images, *camera, dtype=torch.float32, **places)
        scale = torch.tensor((size.image_size / camera[1], size.image_size / camera[0]), device=device)
        for number, box in enumerate(boxes):
            corners = torch.tensor(box, device=device).reshape(1, 1, 2, 2) * scale
            labels = torch.tensor((2, 3), dtype=torch.int32, device=device)[None, None]
            place = self._session.obj_id_to_idx(number)
            self._session.add_point_inputs(place, 0, {"point_coords": corners, "point_labels": labels})
            self._session.obj_with_new_inputs.append(number)

    @torch.inference_mode()
    def track(self, number: int) -> list[Tensor]:
        """The masks (1, H, W) of all objects on frame ``number``."""
        logits = self._model(self._session, frame_idx=number).pred_masks
        large = F.interpolate(logits.float(), size=self._camera, mode="bilinear", align_corners=False)
        return list((large > 0).cpu())
