"""How things move through a clip: smooth random paths, and the matrices made of them.

Lengths are shares of the image side (0..1); matrices are (3, 3) float64 and map pixels of
a sprite, or of the steady world, to pixels of the image of each frame.
"""

from __future__ import annotations

import numpy as np


def smooth(random: np.random.Generator, frames: int, amplitude: float, knots: int = 3) -> np.ndarray:
    """A smooth random walk that starts at 0, (frames,)."""
    if frames == 1 or amplitude == 0.0:
        return np.zeros(frames)
    values = np.concatenate([[0.0], np.cumsum(random.normal(0, amplitude, knots))])
    where = np.linspace(0, knots, frames)
    eased = where - np.sin(2 * np.pi * where) / (2 * np.pi) * 0.7
    return np.interp(eased, np.arange(knots + 1), values)


def shift(x: float, y: float) -> np.ndarray:
    """Move by x, y pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def turn_and_scale(angle: float, across: float, down: float) -> np.ndarray:
    """Turn by ``angle`` radians after scaling the two axes, about the origin."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine * across, -sine * down, 0.0], [sine * across, cosine * down, 0.0], [0.0, 0.0, 1.0]])


def camera_path(random: np.random.Generator, frames: int, side: int) -> np.ndarray:
    """World to image on each frame, (frames, 3, 3): still, hand-held, panning or zooming."""
    mood = random.random()
    if mood < 0.3:
        return np.repeat(np.eye(3)[None], frames, axis=0)
    strength = 0.02 if mood < 0.6 else random.uniform(0.03, 0.12)
    x, y = smooth(random, frames, strength), smooth(random, frames, strength)
    zoom = np.exp(smooth(random, frames, strength * 0.8))
    angle = smooth(random, frames, strength * 0.8)
    shake = random.normal(0, 0.004, (frames, 2)) if random.random() < 0.3 else np.zeros((frames, 2))
    tilt = smooth(random, frames, strength * 0.5) / side
    matrices = np.empty((frames, 3, 3))
    for number in range(frames):
        perspective = np.eye(3)
        perspective[2, 0] = tilt[number]
        move = shift((0.5 + x[number] + shake[number, 0]) * side, (0.5 + y[number] + shake[number, 1]) * side)
        turned = turn_and_scale(angle[number], zoom[number], zoom[number])
        matrices[number] = move @ turned @ perspective @ shift(-0.5 * side, -0.5 * side)
    return matrices


def object_places(random: np.random.Generator, frames: int) -> np.ndarray:
    """Centre of an object on each frame, (frames, 2) in shares of the side: rests, drifts, darts, leaves or crosses."""
    start = random.uniform(0.12, 0.88, 2)
    kind = random.random()
    time = np.linspace(0, 1, frames)[:, None]
    if kind < 0.2:
        return np.repeat(start[None], frames, axis=0)
    if kind < 0.6:
        strength = random.choice([0.04, 0.1])
        return start + np.stack([smooth(random, frames, strength), smooth(random, frames, strength)], 1)
    if kind < 0.75:  # straight across
        return start + time * random.uniform(-0.8, 0.8, 2)
    if kind < 0.9:  # out of the picture and back
        angle = random.uniform(0, 2 * np.pi)
        away = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.4, 1.2)
        return start + np.sin(np.pi * time) ** random.choice([1, 2]) * away
    return start + np.cumsum(random.normal(0, 0.05, (frames, 2)), axis=0)  # darts about


def meeting(random: np.random.Generator, target: np.ndarray) -> np.ndarray:
    """Places of something that passes over ``target`` (frames, 2) in the middle of the clip."""
    frames = len(target)
    middle = int(random.integers(frames // 3, max(2 * frames // 3, frames // 3 + 1)))
    angle = random.uniform(0, 2 * np.pi)
    speed = random.uniform(0.5, 1.6) * np.array([np.cos(angle), np.sin(angle)])
    time = (np.arange(frames) - middle)[:, None] / max(frames - 1, 1)
    return target[middle] + random.normal(0, 0.02, 2) + time * speed


def lingering(random: np.random.Generator, target: np.ndarray) -> np.ndarray:
    """Places of something that comes over ``target`` (frames, 2), stays in front of it for a while and goes on."""
    frames = len(target)
    first = random.uniform(0.15, 0.6)
    last = first + random.uniform(0.25, 0.6)
    time = np.linspace(0, 1, frames)
    angle = random.uniform(0, 2 * np.pi)
    far = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.5, 1.2)
    before, after = np.clip(first - time, 0, None) / first, np.clip(time - last, 0, None) / max(1 - first, 0.2)
    return target + random.normal(0, 0.02, 2) + (before - random.choice([-1.0, 1.0]) * after)[:, None] * far


def elsewhere(random: np.random.Generator, frames: int) -> np.ndarray:
    """Places of something that leaves the picture, stays away for a while and returns at another place, (frames, 2)."""
    start, end = random.uniform(0.15, 0.85, (2, 2))
    angle = random.uniform(0, 2 * np.pi)
    away = np.array([np.cos(angle), np.sin(angle)]) * random.uniform(0.9, 1.4)
    time = np.linspace(0, 1, frames)
    gone = np.interp(time, [0, random.uniform(0.1, 0.4), random.uniform(0.5, 0.9), 1], [0, 1, 1, 0])[:, None]
    return start + (end - start) * time[:, None] + gone * away


def sprite_matrices(random: np.random.Generator, places: np.ndarray, sprite: int, size: float, side: int) -> np.ndarray:
    """Sprite to image on each frame, (frames, 3, 3); ``sprite``: its pixels, ``size``: share of the image's side."""
    frames = len(places)
    lively = random.random()
    angle = random.normal(0, 0.3) + smooth(random, frames, 0.5 * lively**2)
    scale = np.exp(smooth(random, frames, 0.22 * random.random()))
    stretch = np.exp(smooth(random, frames, 0.12 * random.random()))
    tilt = smooth(random, frames, 0.12 * random.random()) / sprite
    matrices = np.empty((frames, 3, 3))
    for number in range(frames):
        perspective = np.eye(3)
        perspective[2, 0] = tilt[number]
        factor = size * side / sprite * scale[number]
        turned = turn_and_scale(angle[number], factor * stretch[number], factor / stretch[number])
        move = shift(places[number, 0] * side, places[number, 1] * side)
        matrices[number] = move @ turned @ perspective @ shift(-sprite / 2, -sprite / 2)
    return matrices
