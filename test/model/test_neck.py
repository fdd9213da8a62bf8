import pytest
import torch

pytest.importorskip("sam2", reason="the official package is not installed")

from oracle import seeded_image, shared_pair

from sam2_ros.model.sizes import BASE_PLUS, TINY


@torch.no_grad()
@pytest.mark.parametrize("size", [TINY.at(256), BASE_PLUS.at(256)], ids=lambda size: size.name)
def test_image_features_are_the_official_ones(size):
    ours, theirs = shared_pair(size)
    images = seeded_image(size, batch=2)
    features = ours.encode_image(images)
    expected = theirs.forward_image(images)["backbone_fpn"]
    for mine, theirs_ in zip((features.stride4, features.stride8, features.stride16), expected, strict=True):
        assert mine.shape == theirs_.shape and theirs_.std() > 0.5
        assert (mine - theirs_).abs().max() < 1e-4
