import torch

from sam2_ros.training.prompts import box_prompt, click_in


def squares(side=32):
    masks = torch.zeros(2, side, side, dtype=torch.bool)
    masks[0, 4:12, 6:20] = True
    masks[1, 20:31, 2:9] = True
    return masks


def test_random_clicks_lie_on_each_object():
    masks, generator = squares(), torch.Generator().manual_seed(0)
    for _ in range(50):
        points, labels = click_in(masks, None, generator, centre=False)
        x, y = points[:, 0].long().T
        assert masks[torch.arange(2), y, x].all() and (labels == 1).all()


def test_corrections_lie_on_the_error_and_say_what_is_right_there():
    masks, generator = squares(), torch.Generator().manual_seed(0)
    found = masks.roll(4, dims=2)
    seen = set()
    for _ in range(50):
        points, labels = click_in(masks, found, generator, centre=False)
        x, y = points[:, 0].long().T
        assert (masks ^ found)[torch.arange(2), y, x].all()
        assert (masks[torch.arange(2), y, x] == labels[:, 0].bool()).all()
        seen |= set(labels.flatten().tolist())
    assert seen == {0, 1}


def test_a_perfect_mask_is_clicked_on_and_nothing_at_all_gets_a_negative_click():
    masks, generator = squares(), torch.Generator().manual_seed(0)
    masks[1] = False
    for centre in (True, False):
        _, labels = click_in(masks, masks.clone(), generator, centre=centre)
        assert labels.flatten().tolist() == [1, 0]


def test_centre_clicks_are_those_of_the_simulated_user():
    points, labels = click_in(squares(), None, torch.Generator(), centre=True)
    assert 7 <= points[0, 0, 1] <= 8 and labels.flatten().tolist() == [1, 1]


def test_a_box_goes_around_and_noise_stays_small():
    masks, generator = squares(), torch.Generator().manual_seed(0)
    exact, labels = box_prompt(masks, generator, noisy=False)
    assert exact.tolist() == [[[6, 4], [19, 11]], [[2, 20], [8, 30]]] and labels.tolist() == [[2, 3], [2, 3]]
    noisy, _ = box_prompt(masks, generator, noisy=True)
    assert 0 < (noisy - exact).abs().max() <= 1.3
