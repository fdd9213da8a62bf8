"""A video and prompts for our tracker and an official predictor, and how far their answers are apart."""

from __future__ import annotations

import types

import cv2
import numpy as np
import torch

from sam2_ros.types import Prompt

FRAMES, HEIGHT, WIDTH = 24, 120, 160
#: Nothing is forgotten that the comparison still wants to see.
EVERYTHING = dict(remembered_frames=100, max_prompted_frames=0, forget_around_corrections=False)


def video(seed=0):
    """Blobs of many sizes that drift over one another; a wholly different scene from frame 15 to 18."""
    stream = np.random.RandomState(seed)
    layers = [stream.randint(0, 256, (cells, cells, 3)).astype(np.uint8) for cells in (4, 9, 24)]
    canvas = np.mean([cv2.resize(layer, (400, 300), interpolation=cv2.INTER_CUBIC) for layer in layers], axis=0)
    canvas = np.clip((canvas - 128) * 2 + 128, 0, 255).astype(np.uint8)
    frames = []
    for n in range(FRAMES):
        image = canvas[2 * n : 2 * n + HEIGHT, 3 * n : 3 * n + WIDTH]
        frames.append(np.ascontiguousarray(255 - image[::-1] if 15 <= n < 19 else image))
    return frames


def without_bfloat16():
    """A torch whose bfloat16 is float32: the official predictors round memories to it, also on a CPU."""
    double = types.ModuleType("torch")
    double.__dict__.update(torch.__dict__)
    double.bfloat16 = torch.float32
    return double


def answers(tracker):
    """{(object index, frame): (logits, pointer, score)} of all that our tracker has, which numbers objects from 1."""
    return {
        (one.id - 1, index): (estimate.logits, estimate.pointer, estimate.score)
        for one in tracker._objects.values()
        for index, estimate in one.estimates.items()
    }


def differences(tracker, official):
    """Largest difference of logits, pointers and scores over every frame and object."""
    ours, theirs = answers(tracker), official.answers()
    assert ours.keys() == theirs.keys()
    worst = np.max(
        [
            [float((a - b).abs().max()) for a, b in zip(ours[key][:2], theirs[key][:2])]
            + [abs(ours[key][2] - theirs[key][2])]
            for key in ours
        ],
        axis=0,
    )
    return dict(zip(("logits", "pointer", "score"), worst))


def assert_close(found):
    assert found["logits"] <= 1e-3 and found["pointer"] <= 1e-4 and found["score"] <= 1e-4, found


def clicks(name, *points):
    return Prompt(name, points=[point[:2] for point in points], labels=[point[2] for point in points])


def disk(x, y, radius):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2
