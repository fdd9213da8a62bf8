import torch

from sam2_ros.model.interface import ABSENT_LOGIT, Candidates, PromptInputs
from sam2_ros.training.losses import answer_loss, click_loss, dice_loss, edges, focal_loss, overlap, right


def truth(side=16):
    mask = torch.zeros(1, side, side, dtype=torch.bool)
    mask[:, 4:10, 4:10] = True
    return mask


def cover(mask):
    return mask[:, None].float()


def answers(*logits, iou=None, score=5.0):
    stacked = torch.stack(logits, dim=1).requires_grad_()
    count = len(logits)
    return Candidates(
        stacked,
        torch.tensor([iou or [0.5] * count], requires_grad=True),
        torch.tensor([score], requires_grad=True),
        torch.zeros(1, count, 4),
    )


def good(mask):
    return mask.float() * 16 - 8


def test_a_right_mask_costs_next_to_nothing_and_a_wrong_one_much():
    mask = truth()
    right, wrong = good(mask)[:, None], -good(mask)[:, None]
    assert focal_loss(right, cover(mask)) < 1e-4 < focal_loss(wrong, cover(mask))
    assert dice_loss(right, cover(mask)) < 0.05 and dice_loss(wrong, cover(mask)) > 0.9


def test_overlap_is_intersection_over_union():
    mask = truth()
    half = good(mask).clone()
    half[:, 4:7] = -8
    assert overlap(half[:, None], cover(mask)).item() == 0.5


def test_only_the_best_of_three_masks_is_taught_its_mask():
    mask = truth()
    answer = answers(good(mask), -good(mask), torch.zeros(1, 16, 16))
    answer_loss(answer, mask, cover(mask)).total().backward()
    taught = answer.logits.grad.abs().sum(dim=(2, 3))[0]
    assert taught[0] > 0 and taught[1] == 0 and taught[2] == 0


def test_all_three_are_taught_their_iou():
    mask = truth()
    answer = answers(good(mask), -good(mask), torch.zeros(1, 16, 16), iou=[0.5, 0.6, 0.7])
    answer_loss(answer, mask, cover(mask)).total().backward()
    assert (answer.iou.grad != 0).all() and answer.iou.grad[0, 0] < 0 < answer.iou.grad[0, 1]


def test_an_absent_object_teaches_its_absence_alone():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    answer = answers(torch.randn(1, 16, 16))
    losses = answer_loss(answer, mask, cover(mask))
    losses.total().backward()
    assert losses.focal == losses.dice == losses.iou == 0
    assert answer.object_score.grad > 0 and not answer.logits.grad.any()


def test_an_object_taken_for_absent_is_taught_to_be_visible_and_costs_a_finite_amount():
    mask = truth()
    answer = answers(torch.full((1, 16, 16), ABSENT_LOGIT), score=-3.0)
    losses = answer_loss(answer, mask, cover(mask))
    losses.total().backward()
    assert losses.total() < 10 and answer.object_score.grad < 0


def test_masks_are_compared_at_the_side_of_the_truth_given():
    mask = truth(32)
    coarse = torch.nn.functional.avg_pool2d(good(mask)[:, None], 2)[:, 0]
    assert answer_loss(answers(coarse), mask, cover(mask)).dice < 0.2


def test_what_is_wrong_at_the_edge_can_cost_more_than_what_is_wrong_elsewhere():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 8:24, 8:24] = True
    fit = torch.where(mask, 4.0, -4.0)[:, None]
    at_edge, inside = fit.clone(), fit.clone()
    at_edge[..., 8:24, 8], inside[..., 15, 8:24] = -4.0, -4.0
    inside[..., 15, 8:10] = inside[..., 15, 22:24] = 4.0

    def extra(logits):
        return (focal_loss(logits, cover(mask), 1 + 3 * edges(cover(mask))) / focal_loss(logits, cover(mask))).item()

    assert extra(at_edge) > 3.5 and extra(inside) < 1.5


def test_what_was_right_before_a_correction_can_cost_more_to_lose_than_what_was_wrong_to_keep():
    mask = truth()
    fit = good(mask)[:, None]
    before = fit.clone()
    before[..., 4:7, 4:10] = -8  # the upper half was missed
    spoilt, kept = fit.clone(), before.clone()
    spoilt[..., 7:10, 4:10] = -8

    def extra(logits):
        emphasis = 1 + 3 * right(before, cover(mask))
        return (focal_loss(logits, cover(mask), emphasis) / focal_loss(logits, cover(mask))).item()

    assert extra(spoilt) > 3.9 and extra(kept) < 1.1
    assert right(before[..., ::2, ::2], cover(mask)).shape == (1, 1, 16, 16), "at the side of the truth"


def test_a_click_that_is_not_obeyed_costs_and_box_corners_do_not():
    mask = truth()
    logits = good(mask)[:, None]
    answer = Candidates(logits, torch.ones(1, 1), torch.ones(1), torch.zeros(1, 1, 4))

    def cost(x, y, label):
        return click_loss(
            answer, PromptInputs(torch.tensor([[[x, y]]]), torch.tensor([[label]], dtype=torch.int32)), 16
        ).item()

    assert cost(6.0, 6.0, 1) < 0.01 and cost(1.0, 1.0, 0) < 0.01
    assert cost(6.0, 6.0, 0) > 5 and cost(1.0, 1.0, 1) > 5
    assert cost(6.0, 6.0, 2) == 0 and click_loss(answer, None, 16) == 0
