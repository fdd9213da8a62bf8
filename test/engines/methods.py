"""One round of all methods of a model, to compare an engine with PyTorch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sam2_ros.model.interface import Memories, PromptInputs

#: The largest difference that rounding makes.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Case:
    """How many objects, memories, pointers and points."""

    objects: int
    memories: int
    pointers: int
    points: int


CASES = (Case(1, 1, 1, 1), Case(3, 2, 5, 2), Case(2, 7, 16, 3))


@torch.inference_mode()
def answers(model, case: Case) -> dict[str, torch.Tensor]:
    """What every method answers to the same random inputs."""
    draw = torch.Generator().manual_seed(7)
    size, count, device = model.size, case.objects, model.device

    def random(*shape):
        return torch.randn(*shape, generator=draw).to(device)

    features = model.encode_image(random(1, 3, size.image_size, size.image_size))
    found = {"stride16": features.stride16, "stride8": features.stride8, "stride4": features.stride4}
    found["first view"] = model.attend(features, None)
    logits, score = 4 * random(count, 1, 4 * size.grid, 4 * size.grid), random(count)
    for binarize in (False, True):
        tokens = model.encode_memory(features, logits, score, binarize=binarize)
        found[f"memory, {binarize}"] = tokens
    memories = Memories(
        tokens[:, None] + 0.1 * random(count, case.memories, *tokens.shape[1:]),
        torch.randint(0, 7, (count, case.memories), generator=draw).to(device),
        random(count, case.pointers, size.hidden_dim),
        torch.randint(1, 16, (count, case.pointers), generator=draw).to(device).float(),
    )
    found["view"] = view = model.attend(features, memories)
    points = size.image_size * torch.rand(count, case.points, 2, generator=draw).to(device)
    labels = torch.randint(0, 2, (count, case.points), generator=draw, dtype=torch.int32).to(device)
    prompts = {
        "nothing": None,
        "points": PromptInputs(points, labels),
        "a mask": PromptInputs(mask_logits=logits),
        "both": PromptInputs(points, labels, logits),
    }
    for words, prompt in prompts.items():
        for multimask, fallback in ((True, True), (False, True), (False, False)):
            candidates = model.decode(view, features, prompt, multimask=multimask, stability_fallback=fallback)
            for name in ("logits", "iou", "object_score", "pointer"):
                found[f"{name} for {words}, {multimask}, {fallback}"] = getattr(candidates, name)
    masks = torch.zeros(count, 1, size.image_size, size.image_size, device=device)
    masks[:, :, 20:70, 30:33] = 1  # as thin as a line; the last object has no pixel where there are several
    masks[:1, :, 20:70, 30:90] = 1
    masks[2:] = 0
    answer = model.decode_mask(features, masks)
    return found | {
        f"mask prompt, {name}": getattr(answer, name) for name in ("logits", "iou", "object_score", "pointer")
    }


def assert_methods_agree(model, engine, case: Case, bound: float = ROUNDING) -> None:
    """An engine answers as the model that it was made from, to ``bound`` of the largest number."""
    expected, found = answers(model, case), answers(engine, case)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype, name
        error = (found[name] - value).abs().max() / max(value.abs().max().item(), 1.0)
        assert error <= bound, f"{name} is off by {error:.1e}"
