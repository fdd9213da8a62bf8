import dataclasses

import torch

from sam2_ros.model.efficientnet import EfficientNetLite
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED_LITE, TEST
from sam2_ros.training.new_trunk import LeastSquares, with_new_trunk


def test_least_squares_find_the_convolution_that_was_there():
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(5, 3, 1)
    fit = LeastSquares(5, 3)
    with torch.no_grad():
        for _ in range(4):
            maps = torch.randn(2, 5, 8, 8)
            fit.add(maps, convolution(maps))
    weight, bias = fit.solve()
    assert torch.allclose(weight, convolution.weight[..., 0, 0], atol=5e-3) and torch.allclose(
        bias, convolution.bias, atol=5e-3
    )


def test_the_new_model_says_of_a_picture_what_the_former_said_as_nearly_as_its_features_can(monkeypatch):
    """One picture of 64 pixels has fewer places than the trunk has features, so the fit is close there."""
    torch.manual_seed(0)
    former = SAM2(dataclasses.replace(TEST, image_size=64)).eval()
    size = dataclasses.replace(EMBEDDED_LITE, hidden_dim=32, memory_dim=16, memory_layers=1, feedforward_dim=32)
    trunk = EfficientNetLite(size)
    with torch.no_grad():
        for value in trunk.parameters():  # keeps the signal's size through all blocks
            value.copy_(torch.randn_like(value) * (1.4 / value[0].numel() ** 0.5 if value.ndim > 1 else 0.1))
    monkeypatch.setattr("sam2_ros.training.new_trunk.folded", lambda state: state)
    image = torch.randn(1, 3, 64, 64)
    model = with_new_trunk(former, trunk.state_dict(), [image], size)
    with torch.no_grad():
        ours, aim = model.encode_image(image), former.encode_image(image)
    error = (ours.stride16 - aim.stride16).pow(2).mean() / aim.stride16.var()
    assert error < 0.2
    assert all(
        torch.equal(value, former.state_dict()[name])
        for name, value in model.state_dict().items()
        if name.startswith(("memory_attention.", "sam_mask_decoder."))
    )
