import numpy as np
import pytest
import torch

from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import TEST
from sam2_ros.training.clips import Clip
from sam2_ros.training.losses import answer_loss, mean
from sam2_ros.training.start import initialise
from sam2_ros.training.unroll import Prompting, Unroller, collate
from sam2_ros.training.validation import validate


def moving_square(side=128, frames=4):
    """A red square that moves to the right, past a green one, on noise."""
    images = np.random.default_rng(0).integers(90, 130, (frames, side, side, 3), dtype=np.uint8)
    masks = np.zeros((frames, 1, side, side), bool)
    for number in range(frames):
        masks[number, 0, 20:60, 10 + 12 * number : 50 + 12 * number] = True
        images[number, 50 + 6 * number : 100 + 6 * number, 80:120] = (40, 200, 60)
        images[number][masks[number, 0]] = (220, 40, 40)
    return Clip(images, masks)


@pytest.mark.slow
def test_one_clip_is_learned_by_heart_from_a_mask_a_box_and_a_click():
    torch.manual_seed(0)
    model, clip = initialise(SAM2(TEST)).train(), moving_square()
    batch = collate([clip])
    covers = torch.nn.functional.avg_pool2d(batch.masks.float(), 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(60):
        optimiser.param_groups[0]["lr"] = 1e-3 * min(1.0, (step + 1) / 20)
        prompting = Prompting(("mask", "box", "click")[step % 3])
        answers = Unroller(model, batch, prompting, generator).run().answers
        loss = mean(
            [
                answer_loss(answer.candidates, batch.masks[answer.frame], covers[answer.frame][:, None])
                for answer in answers
            ]
        ).total()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
    scores = validate(model, [clip], torch.device("cpu"))
    assert min(score.j for score in scores.values()) > 0.85, scores
