"""What a model computes in: by the device, and by the method."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_models import EMBEDDED_TEST, FAMILIES, SMALL, tiny_model

from sam2_ros.model import precision
from sam2_ros.model.interface import Memories
from sam2_ros.model.precision import InPrecision, computed_in
from sam2_ros.model.sizes import EDGETAM, TEST, WHOLE_MAP
from sam2_ros.tracking.exported import with_tensors
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

CUDA = torch.device("cuda:1")


@pytest.mark.parametrize(
    "capability, dtype",
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((8, 7), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_a_gpu_that_only_emulates_bfloat16_computes_in_float32(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability if device == CUDA else (0, 0))
    assert precision.precision("auto", CUDA) == dtype


def test_a_processor_computes_in_float32_and_a_wish_is_granted():
    assert precision.precision("auto", torch.device("cpu")) == torch.float32
    assert precision.precision("float16", CUDA) == torch.float16


# What each method is computed in ---------------------------------------------------------------------

#: The largest error of a method in bfloat16, as a share of the root mean square in float32.
BOUNDS = {"encode_image": 1.5e-2, "attend": 5e-3, "encode_memory": 1.5e-2, "decode": 1e-2}
#: One for each trunk and each form of memories.
SIZES = {
    **FAMILIES,
    "SAM 2.0": TEST.as_version_2_0(),
    "EfficientNet": EMBEDDED_TEST,
    "RepViT": dataclasses.replace(EDGETAM, memory=WHOLE_MAP, **SMALL),
}


@torch.inference_mode()
def errors(model, lowered):
    """The error of each method for two objects with two memories, and of masks after all of them."""
    images = torch.randn(1, 3, model.size.image_size, model.size.image_size)
    features, coarse = model.encode_image(images), lowered.encode_image(images)
    shown = torch.randn(2, 1, 4 * model.size.grid, 4 * model.size.grid)
    answers = {"encode_image": [(getattr(coarse, name), getattr(features, name)) for name in features.__slots__]}
    tokens, low_tokens = (one.encode_memory(features, shown, torch.ones(2), binarize=False) for one in (model, lowered))
    answers["encode_memory"] = [(low_tokens, tokens)]
    past = torch.tensor([[0, 6]] * 2), torch.randn(2, 3, model.size.hidden_dim), torch.tensor([[1.0, 2.0, 9.0]] * 2)
    memories = Memories(torch.stack((tokens, 0.5 * tokens), dim=1), *past)
    view = model.attend(features, memories)
    answers["attend"] = [(lowered.attend(features, memories), view)]
    expected = model.decode(view, features, multimask=True)
    low_memories = Memories(torch.stack((low_tokens, 0.5 * low_tokens), dim=1), *past)
    found = lowered.decode(lowered.attend(coarse, low_memories), coarse, multimask=True)
    answers["decode"] = [(getattr(found, name), getattr(expected, name)) for name in expected.__slots__]
    return {
        method: max(float((low.float() - value).norm() / value.norm()) for low, value in pairs)
        for method, pairs in answers.items()
    }


@pytest.mark.parametrize("name", SIZES)
def test_each_method_in_bfloat16_is_near_the_same_in_float32(name):
    model = tiny_model(SIZES[name], object_score=5.0)
    found = errors(model, InPrecision(model, torch.bfloat16))
    assert all(found[method] <= bound for method, bound in BOUNDS.items()), found
    assert all(found[method] > 0 for method in precision.lowered(model.size)), found


def test_methods_that_decide_are_computed_in_float32_and_those_of_a_trunk_that_needs_it():
    assert precision.LOWERED == {"encode_image", "attend", "encode_memory"}
    model = tiny_model(SIZES["EfficientNet"])
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected, found = model.encode_image(images), InPrecision(model, torch.bfloat16).encode_image(images)
    assert torch.equal(found.stride16, expected.stride16)


@torch.inference_mode()
@pytest.mark.parametrize("ambient", [False, True])
def test_masks_are_decoded_in_float32_whatever_is_wanted(ambient):
    model = tiny_model(object_score=5.0)
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    masks = (torch.randn(2, 1, 128, 128) > 0).float()
    answers = [model.decode(features.stride16, features, multimask=True), model.decode_mask(features, masks)]
    with torch.autocast("cpu", torch.bfloat16, enabled=ambient):
        one = InPrecision(model, torch.bfloat16)
        found = [one.decode(features.stride16, features, multimask=True), one.decode_mask(features, masks)]
    for expected, answer in zip(answers, found):
        assert all(torch.equal(getattr(expected, name), getattr(answer, name)) for name in expected.__slots__)


def test_a_model_that_has_a_precision_keeps_it():
    model = tiny_model()
    assert computed_in(model, "auto") is computed_in(model, "float32") is model
    given = InPrecision(model, torch.float32)
    assert computed_in(given, "bfloat16") is given
    assert computed_in(model, "bfloat16").dtype == torch.bfloat16
    assert (given.size, given.device, given.precision) == (model.size, model.device, model.precision)
    assert given.checksum() == model.checksum()


def test_a_tracker_that_wants_bfloat16_decodes_in_float32_and_remembers_in_float32():
    model, seen = tiny_model(object_score=5.0), {}

    def watched(name):
        method = getattr(model, name)

        def call(*args, **options):
            seen[name] = torch.is_autocast_enabled("cpu")
            return method(*args, **options)

        return call

    for name in (*precision.LOWERED, "decode", "decode_mask"):
        setattr(model, name, watched(name))
    tracker = Tracker(model, TrackerSettings(precision="bfloat16"))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    tracker.track(Frame(image, 1))
    tracker.prompt(Prompt("clicked", points=[(20, 20)], labels=[1]))
    tracker.prompt(Prompt("given", mask=image[..., 0] > 128))
    tracker.track(Frame(image, 2))
    assert seen == {"encode_image": True, "attend": True, "encode_memory": True, "decode": False, "decode_mask": False}
    kept = []
    with_tensors(tracker.export("clicked").contents, kept.append)
    assert {tensor.dtype for tensor in kept} == {torch.float32}
