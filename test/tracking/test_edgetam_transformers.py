"""EdgeTAM against transformers, a second opinion: single images, a short video, and one that fills the memory.

Without corrections and mask prompts, whose rules differ there.  Neither side makes prompted masks 0 or 1, where a
pixel near 0 may flip.
"""

import functools

import pytest
import torch
from edgetam_weights import edgetam_weights
from official_video import EVERYTHING, FRAMES, HEIGHT, WIDTH, answers, clicks, video
from oracle import seeded_image

pytest.importorskip("transformers.models.edgetam_video", reason="transformers has no EdgeTAM")

from transformers.models.edgetam_video.modeling_edgetam_video import EdgeTamVideoInferenceSession
from transformers_edgetam import transformers_edgetam

from sam2_ros.model import pixels
from sam2_ros.model.interface import PromptInputs
from sam2_ros.model.repvit import folded
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import EDGETAM
from sam2_ros.tracking.tracker import Tracker, TrackerSettings
from sam2_ros.types import Frame, Prompt

sides = pytest.mark.parametrize("side", [512, pytest.param(1024, marks=pytest.mark.slow)])
SETTINGS = TrackerSettings(**EVERYTHING, binarize_prompted_masks=False, hole_area=0)
CLICK = clicks("one", (60, 50, 1))
BOX = Prompt("two", box=(20, 30, 110, 90))
CLICKS = clicks("three", (100, 80, 1), (40, 30, 0))
SEEN = 4


@functools.lru_cache(maxsize=1)
def seeded_pair(side, object_score=4.0, spread=1):
    """Both models; with this seed rounding does not move answers far from one frame to the next.

    object_score, spread: the bias of the occlusion head, and how many times larger its weights are.
    """
    weights = edgetam_weights(seed=2, object_score=object_score)
    weights["sam_mask_decoder.pred_obj_score_head.layers.2.weight"] *= spread
    ours = SAM2(EDGETAM.at(side))
    ours.load_state_dict(folded(weights), strict=True)
    return ours.eval(), transformers_edgetam(side, weights)


def largest(difference):
    return difference.abs().max().item()


@torch.no_grad()
@sides
@pytest.mark.parametrize(
    ("points", "labels"),
    [([(0.4, 0.25)], [1]), ([(0.2, 0.3), (0.7, 0.8)], [2, 3]), ([(0.4, 0.25), (0.7, 0.6), (0.1, 0.9)], [1, 1, 0])],
    ids=["click", "box", "clicks"],
)
def test_every_prompt_finds_on_an_image_what_transformers_finds(side, points, labels):
    ours, theirs = seeded_pair(side)
    images = seeded_image(ours.size, 3)
    points, labels = torch.tensor([points]) * side, torch.tensor([labels], dtype=torch.int32)
    features, multimask = ours.encode_image(images), labels.shape[1] == 1
    found = ours.decode(ours.attend(features, None), features, PromptInputs(points, labels), multimask=multimask).best()
    expected = theirs._single_frame_forward(
        pixel_values=images, input_points=points[:, None], input_labels=labels[:, None], multimask_output=multimask
    )
    assert 0.01 < (expected.pred_masks > 0).float().mean() < 0.99, "a prompt that shows nothing"
    assert largest(found.logits - expected.pred_masks) < 1e-3
    assert largest(found.pointer - expected.object_pointer) < 1e-4
    assert largest(found.object_score - expected.object_score_logits.flatten()) < 1e-4


def follow(ours, frames, prompts):
    """Our tracker after ``frames``; prompts: by the number of their frame."""
    tracker = Tracker(ours, SETTINGS)
    for n, image in enumerate(frames):
        tracker.track(Frame(image, n + 1))
        for prompt in prompts.get(n, ()):
            tracker.prompt(prompt, n + 1)
    return tracker


def transformers_answers(theirs, frames, prompts, monkeypatch):
    """{(object index, frame): (logits, pointer, score)} of theirs for the same frames and prompts."""
    encode = theirs._encode_new_memory
    monkeypatch.setattr(theirs, "_encode_new_memory", lambda **given: encode(**{**given, "is_mask_from_pts": False}))
    images = torch.cat([pixels.normalise(image, theirs.image_size, torch.device("cpu")) for image in frames])
    session = EdgeTamVideoInferenceSession(images, HEIGHT, WIDTH, dtype=torch.float32)
    with torch.inference_mode():
        for n in range(len(images)):
            for prompt in prompts.get(n, ()):
                session.add_point_inputs(session.obj_id_to_idx(prompt.name), n, point_inputs(prompt, theirs.image_size))
                session.obj_with_new_inputs.append(prompt.name)
            theirs(session, frame_idx=n)
    return {
        (number, frame): (out["pred_masks"], out["object_pointer"].flatten(), out["object_score_logits"].item())
        for number, kinds in session.output_dict_per_obj.items()
        for kind in kinds.values()
        for frame, out in kind.items()
    }


def point_inputs(prompt, side):
    """A prompt as their session stores it: points of the scaled image, the corners of a box as two of them."""
    places = [prompt.box[:2], prompt.box[2:]] if prompt.box else prompt.points
    labels = [2, 3] if prompt.box else prompt.labels
    scale = torch.tensor((side / WIDTH, side / HEIGHT))
    return {
        "point_coords": (torch.tensor(places) * scale)[None, None],
        "point_labels": torch.tensor(labels, dtype=torch.int32)[None, None],
    }


def assert_same(expected, found, count):
    """Both found the same on ``count`` frames of their objects together."""
    assert expected.keys() == found.keys() and len(found) == count
    for key, (logits, pointer, score) in expected.items():
        assert largest(found[key][0] - logits) < 1e-3, key
        assert largest(found[key][1] - pointer) < 1e-4, key
        assert abs(found[key][2] - score) < 1e-4, key


@sides
def test_two_objects_are_followed_as_by_transformers(side, monkeypatch):
    ours, theirs = seeded_pair(side)
    frames, prompts = video()[:SEEN], {0: [CLICK, BOX]}
    expected = transformers_answers(theirs, frames, prompts, monkeypatch)
    assert_same(expected, answers(follow(ours, frames, prompts)), 2 * SEEN)
    assert largest(expected[0, 0][0] - expected[0, SEEN - 1][0]) > 0.1, "objects that nothing happens to"


@pytest.mark.slow
def test_three_objects_are_followed_with_a_full_memory_as_by_transformers(monkeypatch):
    """Seven memories and sixteen pointers; the third object comes later, and objects are hidden on some frames."""
    ours, theirs = seeded_pair(256, object_score=-5.4, spread=10)
    frames, prompts = video(), {0: [CLICK, BOX], 3: [CLICKS]}
    expected = transformers_answers(theirs, frames, prompts, monkeypatch)
    assert_same(expected, answers(follow(ours, frames, prompts)), 3 * FRAMES - 3)
    scores = torch.tensor([score for _, _, score in expected.values()])
    assert scores.abs().min() > 1e-3  # no sign hangs on rounding
    assert 0.1 < (scores > 0).float().mean() < 0.9  # both roads were taken
