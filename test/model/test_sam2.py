"""What the five methods promise by themselves; test_parity.py compares them with other implementations."""

import dataclasses

import pytest
import torch

from sam2_ros.errors import InvalidInput
from sam2_ros.model.interface import ABSENT_LOGIT, Memories, PromptInputs
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EMBEDDED, TEST


@pytest.fixture(scope="module")
def model():
    """A very small model whose objects are visible."""
    torch.manual_seed(1)
    model = SAM2(TEST).eval().requires_grad_(False)
    model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(3.0)
    return model


def remembered(count, size=TEST, memories=3, pointers=5):
    return Memories(
        torch.randn(count, memories, size.grid**2, size.memory_dim),
        torch.tensor([6, 1, 0])[:memories].expand(count, -1),
        torch.randn(count, pointers, size.hidden_dim),
        torch.arange(1.0, pointers + 1).expand(count, -1),
    )


def one(memories, row):
    return Memories(*(getattr(memories, field.name)[row : row + 1] for field in dataclasses.fields(memories)))


def test_the_methods_have_the_documented_shapes(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    assert [tuple(x.shape) for x in (features.stride16, features.stride8, features.stride4)] == [
        (1, 32, 8, 8),
        (1, 8, 16, 16),
        (1, 4, 32, 32),
    ]
    view = model.attend(features, remembered(2))
    assert view.shape == (2, 32, 8, 8)
    for multimask, answers in ((True, 3), (False, 1)):
        candidates = model.decode(view, features, multimask=multimask)
        assert candidates.logits.shape == (2, answers, 32, 32) and candidates.iou.shape == (2, answers)
        assert candidates.object_score.shape == (2,) and candidates.pointer.shape == (2, answers, 32)
    found = candidates.best()
    assert found.logits.shape == (2, 1, 32, 32) and found.iou.shape == (2,) and found.pointer.shape == (2, 32)
    assert model.encode_memory(features, found.logits, found.object_score, binarize=True).shape == (2, 64, 16)


def test_an_image_of_another_side_is_refused_with_the_remedy(model):
    with pytest.raises(InvalidInput, match="takes 128x128 images.*pixels.normalise"):
        model.encode_image(torch.zeros(1, 3, 64, 64))


def test_objects_together_are_as_each_alone(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    memories = remembered(3)
    prompt = PromptInputs(torch.rand(3, 2, 2) * 128, torch.tensor([[1, 0], [2, 3], [1, -1]], dtype=torch.int32))
    view = model.attend(features, memories)
    together = model.decode(view, features, prompt, multimask=True)
    memory = model.encode_memory(features, together.best().logits, together.object_score, binarize=False)
    for row in range(3):
        alone = model.attend(features, one(memories, row))
        assert torch.allclose(alone, view[row : row + 1], atol=1e-5)
        own_prompt = PromptInputs(prompt.points[row : row + 1], prompt.labels[row : row + 1])
        found = model.decode(alone, features, own_prompt, multimask=True)
        assert torch.allclose(found.logits, together.logits[row : row + 1], atol=1e-4)
        assert torch.allclose(found.pointer, together.pointer[row : row + 1], atol=1e-4)
        own_memory = model.encode_memory(features, found.best().logits, found.object_score, binarize=False)
        assert torch.allclose(own_memory, memory[row : row + 1], atol=1e-4)


def test_one_image_for_each_object_gives_what_its_own_image_gives(model):
    videos = model.encode_image(torch.randn(2, 3, 128, 128))
    features, memories = videos.rows(torch.tensor([1, 0, 1])), remembered(3)
    together = model.decode(model.attend(features, memories), features, multimask=False)
    memory = model.encode_memory(features, together.logits, together.object_score, binarize=False)
    for row, video in enumerate((1, 0, 1)):
        own = videos.rows(torch.tensor([video]))
        found = model.decode(model.attend(own, one(memories, row)), own, multimask=False)
        assert torch.allclose(found.logits, together.logits[row : row + 1], atol=1e-4)
        own_memory = model.encode_memory(own, found.logits, found.object_score, binarize=False)
        assert torch.allclose(own_memory, memory[row : row + 1], atol=1e-4)


def test_several_prompts_on_a_first_frame_share_its_view(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    view = model.attend(features, None)
    assert view.shape[0] == 1
    prompt = PromptInputs(torch.rand(4, 1, 2) * 128, torch.ones(4, 1, dtype=torch.int32))
    shared = model.decode(view, features, prompt, multimask=True)
    copied = model.decode(view.expand(4, -1, -1, -1), features, prompt, multimask=True)
    assert shared.logits.shape[0] == 4
    assert torch.allclose(shared.logits, copied.logits, atol=1e-5)


def test_the_best_candidate_is_the_one_of_highest_predicted_iou(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    candidates = model.decode(model.attend(features, remembered(4)), features, multimask=True)
    found = candidates.best()
    assert torch.equal(found.iou, candidates.iou.amax(1))
    for row, best in enumerate(candidates.iou.argmax(1)):
        assert torch.equal(found.logits[row, 0], candidates.logits[row, best])
        assert torch.equal(found.pointer[row], candidates.pointer[row, best])


def test_an_absent_object_has_no_mask_and_the_pointer_that_says_so(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    bias = model.sam_mask_decoder.pred_obj_score_head.layers[2].bias
    bias -= 100
    absent = model.decode(model.attend(features, remembered(2)), features, multimask=True).best()
    bias += 100
    assert (absent.object_score < 0).all() and (absent.logits == ABSENT_LOGIT).all()
    assert torch.equal(absent.pointer, model.no_obj_ptr.expand(2, -1))


def test_the_memory_of_an_absent_object_is_marked_in_version_2_1_only(model):
    features, logits = model.encode_image(torch.randn(1, 3, 128, 128)), torch.randn(2, 1, 32, 32)
    marked, plain = (
        model.encode_memory(features, logits, torch.full((2,), score), binarize=False) for score in (-1.0, 1.0)
    )
    mark = model.no_obj_embed_spatial
    assert torch.allclose(marked - plain, mark.expand_as(plain), atol=1e-5)
    older = SAM2(TEST.as_version_2_0()).eval()
    memories = [older.encode_memory(features, logits, torch.full((2,), score), binarize=False) for score in (-1.0, 1.0)]
    assert torch.equal(*memories)


def test_a_mask_prompt_is_its_own_answer(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    masks = torch.zeros(2, 1, 128, 128)
    masks[0, :, 32:96, 40:80] = 1
    found = model.decode_mask(features, masks)
    assert found.logits.shape == (2, 1, 32, 32)
    assert torch.equal(found.logits[0, 0] > 0, masks[0, 0, ::4, ::4] > 0)
    assert found.object_score.tolist() == [10, -10] and found.iou.tolist() == [1, 1]
    assert torch.equal(found.pointer[1:], model.no_obj_ptr) and not torch.equal(found.pointer[:1], model.no_obj_ptr)


def test_a_mask_prompt_thinner_than_the_grid_is_widened_not_lost(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    masks = torch.zeros(2, 1, 128, 128)
    masks[0, :, 64, 10:100] = 1  # a line of one pixel
    masks[1, :, 32:96, 40:80] = 1
    masks[1, :, 64, 80:120] = 1  # beside a body that is kept, lines are lost as in the released predictor
    found = model.decode_mask(features, masks).logits > 0
    assert found[0, 0, 16, 2:25].all() and found[0].sum() == 23
    assert not found[1, 0, :, 21:].any()


def test_an_accepted_mask_enters_memory_with_a_hard_edge(model):
    features, score = model.encode_image(torch.randn(1, 3, 128, 128)), torch.ones(1)
    logits = torch.randn(1, 1, 32, 32)
    hard, doubled = (model.encode_memory(features, x, score, binarize=True) for x in (logits, 2 * logits))
    soft, softer = (model.encode_memory(features, x, score, binarize=False) for x in (logits, 2 * logits))
    assert torch.equal(hard, doubled) and not torch.allclose(soft, softer, atol=1e-3)


def test_pointers_at_other_distances_are_seen_differently_in_version_2_1_only(model):
    memories = remembered(1)
    later = dataclasses.replace(memories, pointer_distance=memories.pointer_distance + 5)
    older = SAM2(TEST.as_version_2_0()).eval()
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    assert not torch.allclose(model.attend(features, memories), model.attend(features, later), atol=1e-6)
    assert torch.equal(older.attend(features, memories), older.attend(features, later))


def test_time_codes_tell_memories_apart_but_their_order_does_not(model):
    features, memories = model.encode_image(torch.randn(1, 3, 128, 128)), remembered(1)
    turned = dataclasses.replace(memories, tokens=memories.tokens.flip(1), time_code=memories.time_code.flip(1))
    exchanged = dataclasses.replace(memories, time_code=memories.time_code.flip(1))
    view = model.attend(features, memories)
    assert torch.allclose(view, model.attend(features, turned), atol=1e-5)
    assert not torch.allclose(view, model.attend(features, exchanged), atol=1e-5)


def test_without_pointers_only_the_spatial_memories_are_seen(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    assert model.attend(features, remembered(2, pointers=0)).isfinite().all()


def clip_loss(model, batch=2):
    """A loss over all methods on two frames, as training unrolls them."""
    size = model.size
    first, second = (model.encode_image(torch.randn(batch, 3, size.image_size, size.image_size)) for _ in range(2))
    prompt = PromptInputs(
        torch.rand(batch, 2, 2) * size.image_size,
        torch.tensor([[1, 0], [2, 3]], dtype=torch.int32),
        torch.randn(batch, 1, 4 * size.grid, 4 * size.grid),
    )
    found = model.decode(model.attend(first, None), first, prompt, multimask=True).best()
    memory = model.encode_memory(first, found.logits, torch.tensor([1.0, -1.0]), binarize=False)
    given = model.decode_mask(first, (torch.rand(batch, 1, size.image_size, size.image_size) > 0.5).float())
    memories = Memories(
        memory[:, None],
        torch.zeros(batch, 1, dtype=torch.int64),
        torch.stack((found.pointer, given.pointer), dim=1),
        torch.tensor([[1.0, 2.0]] * batch),
    )
    view, loss = model.attend(second, memories), 0
    for multimask in (True, False):
        tracked = model.decode(view, second, multimask=multimask)
        loss = loss + tracked.logits.square().mean() + tracked.iou.mean() + tracked.object_score.mean()
    return loss + tracked.pointer.mean() + model.no_obj_ptr.square().sum()


@pytest.mark.parametrize("size", [TEST, TEST.as_version_2_0()], ids=["2.1", "2.0"])
def test_every_parameter_learns_from_a_clip(size):
    model = SAM2(size).train()
    with torch.no_grad():
        model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(3.0)
    clip_loss(model).backward()
    silent = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().max() > 0
    ]
    assert silent == ["no_mem_pos_enc"]


def test_training_differs_from_use_in_nothing_but_the_stability_fallback(model):
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    view = model.attend(features, remembered(1))
    plain = model.decode(view, features, multimask=False, stability_fallback=False)
    model.train()
    in_training = model.decode(view, features, multimask=False)
    model.eval()
    assert torch.equal(plain.logits, in_training.logits)


def test_lower_precision_keeps_the_answers_in_single_precision(model):
    images, memories = torch.randn(1, 3, 128, 128), remembered(2)

    def answer():
        features = model.encode_image(images)
        found = model.decode(model.attend(features, memories), features, multimask=True)
        memory = model.encode_memory(features, found.best().logits, found.object_score, binarize=False)
        return found, memory

    exact, exact_memory = answer()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, rough_memory = answer()
    assert {getattr(rough, field.name).dtype for field in dataclasses.fields(rough)} == {torch.float32}
    assert (rough.logits - exact.logits).abs().max() < 0.1 * exact.logits.abs().max()
    assert (rough_memory - exact_memory).abs().max() < 0.1 * exact_memory.abs().max()


def test_nothing_but_parameters_and_the_fourier_matrix_is_saved(model):
    names = set(model.state_dict()) - {name for name, _ in model.named_parameters()}
    assert names == {"sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"}


def test_no_complex_numbers_are_involved():
    if torch.__version__.startswith("2.4"):
        pytest.skip("torch 2.4 exports no program that sets autocast")
    model = SAM2(TEST).eval()

    class View(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, images, tokens, time_code, pointers, distance):
            features = self.model.encode_image(images)
            found = self.model.decode(
                self.model.attend(features, Memories(tokens, time_code, pointers, distance)), features, multimask=True
            )
            return found.logits

    memories = remembered(2)
    inputs = (
        torch.randn(1, 3, 128, 128),
        memories.tokens,
        memories.time_code,
        memories.pointers,
        memories.pointer_distance,
    )
    exported = torch.export.export(View(), inputs)
    values = [value for node in exported.graph.nodes if (value := node.meta.get("val")) is not None]
    assert not any(torch.is_complex(value) for value in values if isinstance(value, torch.Tensor))
    assert torch.allclose(exported.module()(*inputs), View()(*inputs), atol=1e-4)


def test_the_embedded_size_runs_with_a_full_memory():
    model = SAM2(EMBEDDED).eval()
    with torch.no_grad():
        features = model.encode_image(torch.randn(1, 3, 256, 256))
        memories = Memories(
            torch.randn(2, 7, 256, 64),
            torch.tensor([[6, 5, 4, 3, 2, 1, 0]] * 2),
            torch.randn(2, 16, 128),
            torch.arange(16.0).expand(2, -1),
        )
        found = model.decode(model.attend(features, memories), features, multimask=True).best()
    assert found.logits.shape == (2, 1, 64, 64) and found.pointer.shape == (2, 128)
