"""The motions in a scene of scanned objects: the place of each object and of the camera on each frame.

Lengths are metres, the table top is at z = 0.  A place is the centre of an object; turns are quaternions (x, y, z, w).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from sam2_ros.training.motion import smooth
from sam2_ros.training.scanned_objects import ScannedObject

#: What the main object does, and how often.
STORIES = {"shuffle": 0.22, "carry": 0.22, "pass": 0.2, "orbit": 0.12, "near": 0.12, "slide": 0.06, "fall": 0.06}
#: Larger objects are made as small as this; the others differ a little from their size.
LARGEST = 0.3
SKINS = ((0.87, 0.68, 0.55), (0.76, 0.57, 0.42), (0.55, 0.38, 0.27), (0.36, 0.24, 0.17), (0.95, 0.78, 0.68))
METALS = ((0.9, 0.9, 0.9), (0.3, 0.3, 0.32), (0.75, 0.75, 0.7), (0.15, 0.15, 0.15), (0.9, 0.45, 0.1))


@dataclass(slots=True, eq=False)
class Actor:
    """One object: its centre on each frame, places (T, 3), and turns (T, 4); size (3,) as it is."""

    model: ScannedObject
    scale: float
    places: np.ndarray
    turns: np.ndarray

    @property
    def size(self) -> np.ndarray:
        """Metres (x, y, z), before it is turned."""
        return self.model.size * self.scale

    def base(self, number: int) -> np.ndarray:
        """Where its own origin, the middle of its bottom, is on a frame."""
        return self.places[number] - matrix(self.turns[number]) @ np.array((0, 0, self.size[2] / 2))


@dataclass(slots=True, eq=False)
class Part:
    """A piece of what carries or hides objects.

    A ``box`` of size (x, y, z), or a ``capsule`` of radius size[0] and length size[2]; colour (3,) in 0..1 or a
    picture; places (T, 3) and turns (T, 4).
    """

    kind: str
    size: tuple[float, float, float]
    colour: tuple[float, float, float]
    places: np.ndarray
    turns: np.ndarray
    picture: np.ndarray | None = None


@dataclass(slots=True, eq=False)
class Cast:
    """A scene on all its frames.  eyes, targets: (T, 3), of the camera; angle: vertical, in degrees."""

    actors: list[Actor]
    parts: list[Part]
    eyes: np.ndarray
    targets: np.ndarray
    angle: float
    story: str


def stage(random: np.random.Generator, models: list[ScannedObject], frames: int, story: str = "") -> Cast:
    """A scene that follows from ``random``; story: one of STORIES, else it is drawn."""
    story = story or str(random.choice(list(STORIES), p=np.array(list(STORIES.values()))))
    actors = _set_table(random, models, frames, twins=story == "shuffle" or random.random() < 0.35)
    eyes, targets, angle = _camera(random, actors, frames, story)
    cast = Cast(actors, [], eyes, targets, angle, story)
    _acted(random, cast)
    return cast


def matrix(turn: np.ndarray) -> np.ndarray:
    """The rotation matrix (3, 3) of a quaternion."""
    x, y, z, w = turn
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def about(axis: tuple[float, float, float], angle: float) -> np.ndarray:
    """The quaternion of a turn by ``angle`` radians about an axis."""
    direction = np.array(axis, float) / np.linalg.norm(axis)
    return np.append(direction * np.sin(angle / 2), np.cos(angle / 2))


def then(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The quaternion of one turn after another."""
    (a, b), (c, d) = (second[:3], second[3]), (first[:3], first[3])
    return np.append(b * c + d * a + np.cross(a, c), b * d - a @ c)


def towards(direction: np.ndarray) -> np.ndarray:
    """A quaternion that turns the z axis into a direction."""
    direction = direction / np.linalg.norm(direction)
    axis = np.cross((0.0, 0.0, 1.0), direction)
    if np.linalg.norm(axis) < 1e-6:
        return np.array((0.0, 0, 0, 1)) if direction[2] > 0 else np.array((1.0, 0, 0, 0))
    return about(tuple(axis), float(np.arccos(np.clip(direction[2], -1, 1))))


def eased(time: np.ndarray, start: float, end: float) -> np.ndarray:
    """0 before ``start``, 1 after ``end``, smooth between; times are shares of the scene."""
    share = np.clip((time - start) / max(end - start, 1e-6), 0, 1)
    return share * share * (3 - 2 * share)


# On the table ------------------------------------------------------------------------------------------


def _set_table(random: np.random.Generator, models: list[ScannedObject], frames: int, twins: bool) -> list[Actor]:
    count = int(random.integers(4, 11))
    chosen = [models[number] for number in random.permutation(len(models))[:count]]
    if twins:  # two or three of a kind
        chosen[1 : int(random.integers(2, 4))] = [chosen[0]] * (1 if count < 4 or random.random() < 0.6 else 2)
    actors: list[Actor] = []
    spread = random.uniform(0.08, 0.24)
    for number, model in enumerate(chosen):
        scale = float(min(random.uniform(0.85, 1.2), LARGEST / model.size.max()))
        if number and model is chosen[0]:
            scale = actors[0].scale
        turn, height = _standing(random, model.size * scale)
        place = _free_place(random, actors, model.size * scale, spread)
        actors.append(
            Actor(model, scale, np.repeat([[*place, height]], frames, axis=0), np.repeat([turn], frames, axis=0))
        )
    return actors


def _standing(random: np.random.Generator, size: np.ndarray) -> tuple[np.ndarray, float]:
    """How an object stands or lies, and how high its centre is."""
    yaw = about((0, 0, 1), random.uniform(0, 2 * np.pi))
    if size[2] > 1.2 * size[:2].min() and random.random() < 0.3:
        axis = (1, 0, 0) if size[0] > size[1] else (0, 1, 0)
        return then(yaw, about(axis, np.pi / 2 * random.choice([-1, 1]))), float(size[:2].min() / 2)
    return yaw, float(size[2] / 2)


def _free_place(random: np.random.Generator, actors: list[Actor], size: np.ndarray, spread: float) -> np.ndarray:
    """Where it touches few others; near neighbours are wanted, so the first of some tries that fits is taken."""
    place = np.zeros(2)
    for _ in range(30):
        place = random.normal(0, spread, 2).clip(-0.6, 0.6)
        if all(
            np.linalg.norm(place - other.places[0, :2]) > 0.42 * (size[:2].max() + other.size[:2].max())
            for other in actors
        ):
            break
    return place


# The camera --------------------------------------------------------------------------------------------


def _camera(
    random: np.random.Generator, actors: list[Actor], frames: int, story: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """Places (T, 3) and targets (T, 3) of the camera in metres, and its angle of view in degrees."""
    main = actors[0].places[0]
    target = main * random.uniform(0.3, 1.0) + np.array((0, 0, random.uniform(-0.03, 0.05)))
    distance, azimuth, height = (
        random.uniform(0.45, 1.0),
        random.uniform(0, 2 * np.pi),
        np.radians(random.uniform(14, 65)),
    )
    time = np.linspace(0, 1, frames)
    around = smooth(random, frames, 0.05 * random.random())
    reach = np.full(frames, distance)
    if story == "orbit":
        around = around + random.choice([-1, 1]) * random.uniform(0.5, 2.0) * eased(time, 0, 1)
    if story == "near":
        closest = max(distance / random.uniform(1.8, 3.2), 0.22)
        reach = distance + (closest - distance) * np.sin(np.pi * np.clip(time * random.uniform(0.6, 1.1), 0, 1))
        target = main * 0.95
    tilt = np.clip(height + smooth(random, frames, 0.03), 0.15, 1.35)
    directions = np.column_stack(
        (np.cos(azimuth + around) * np.cos(tilt), np.sin(azimuth + around) * np.cos(tilt), np.sin(tilt))
    )
    drift = np.column_stack([smooth(random, frames, 0.012) for _ in range(3)])
    targets = target + drift + random.normal(0, 0.002, (frames, 3)) * (random.random() < 0.4)
    return targets + directions * reach[:, None], targets, float(random.uniform(30, 52))


# What happens ------------------------------------------------------------------------------------------


def _acted(random: np.random.Generator, cast: Cast) -> None:
    """Move the actors as the story says, and often let something else happen, too."""
    acts = {"shuffle": _shuffle, "carry": _carry, "pass": _pass, "slide": _slide, "fall": _fall}
    if cast.story in acts:
        acts[cast.story](random, cast)
    if cast.story in ("orbit", "near") and random.random() < 0.6:
        _slide(random, cast, len(cast.actors) - 1)
    if cast.story in ("shuffle", "carry", "slide", "fall") and random.random() < 0.3:
        _pass(random, cast)


def _shuffle(random: np.random.Generator, cast: Cast) -> None:
    """Neighbours change places, again and again, one before the other as the camera sees them."""
    actors, frames = cast.actors, len(cast.eyes)
    time = np.linspace(0, 1, frames)
    alike = [number for number, actor in enumerate(actors) if actor.model is actors[0].model]
    group = alike if len(alike) > 1 else [0, int(random.integers(1, len(actors)))]
    swaps = int(random.integers(1, 4))
    breaks = np.linspace(random.uniform(0.0, 0.15), random.uniform(0.8, 1.0), swaps + 1)
    for start, end in itertools.pairwise(breaks):
        one, two = (actors[number] for number in random.permutation(group)[:2])
        share = eased(time, start, end)[:, None]
        across = one.places[-1, :2] - two.places[-1, :2]
        side = np.array((-across[1], across[0])) * random.uniform(0.25, 0.6) * np.sin(np.pi * share)
        for actor, other, sign in ((one, two.places[-1, :2].copy(), 1), (two, one.places[-1, :2].copy(), -1)):
            actor.places[:, :2] += (other - actor.places[-1, :2]) * share + sign * side
            _turned(actor, (0, 0, 1), random.normal(0, 0.8) * share[:, 0])


def _slide(random: np.random.Generator, cast: Cast, number: int = 0) -> None:
    actor, frames = cast.actors[number], len(cast.eyes)
    time = np.linspace(0, 1, frames)
    goal = random.uniform(-0.2, 0.2, 2)
    start = random.uniform(0, 0.4)
    share = eased(time, start, start + random.uniform(0.25, 0.6))
    actor.places[:, :2] += (goal - actor.places[0, :2]) * share[:, None]
    _turned(actor, (0, 0, 1), random.normal(0, 1.2) * share)
    if number == 0 and random.random() < 0.6:
        _grip(random, cast, actor, sideways=True)


def _carry(random: np.random.Generator, cast: Cast) -> None:
    """Gripped, lifted, turned, set down elsewhere (or not yet), perhaps twice."""
    actor, frames = cast.actors[0], len(cast.eyes)
    time = np.linspace(0, 1, frames)
    start, end = random.uniform(0.05, 0.3), random.uniform(0.7, 1.15)
    middle = (start + end) / 2
    lift = random.uniform(0.08, 0.3)
    actor.places[:, 2] += lift * (eased(time, start, start + 0.25) - eased(time, end - 0.25, end))
    actor.places[:, :2] += (random.uniform(-0.25, 0.25, 2) - actor.places[0, :2]) * eased(
        time, start + 0.12, end - 0.1
    )[:, None]
    share = eased(time, start + 0.1, middle) - random.choice([0.0, 1.0]) * eased(time, middle, end - 0.1)
    _turned(actor, tuple(random.normal(0, 1, 3)), random.uniform(0.3, 2.2) * share)
    _grip(random, cast, actor)


def _fall(random: np.random.Generator, cast: Cast) -> None:
    """Dropped from above; it tumbles, springs up once and lies still."""
    actor, frames = cast.actors[0], len(cast.eyes)
    height, start, pace = random.uniform(0.2, 0.5), random.uniform(0.1, 0.4), random.uniform(1.2, 3.0)
    seconds = np.clip(np.linspace(0, 1, frames) - start, 0, None) * pace
    landing = np.sqrt(2 * height / 9.8)
    up = np.where(seconds < landing, height - 4.9 * seconds**2, 0)
    spring = np.clip(seconds - landing, 0, None)
    up += np.clip(0.3 * np.sqrt(2 * 9.8 * height) * spring - 4.9 * spring**2, 0, None)
    actor.places[:, 2] += up
    _turned(actor, tuple(random.normal(0, 1, 3)), random.normal(0, 2.0) * np.minimum(seconds / landing, 1))


def _turned(actor: Actor, axis: tuple[float, float, float], angles: np.ndarray) -> None:
    actor.turns = np.stack([then(about(axis, float(angle)), turn) for angle, turn in zip(angles, actor.turns)])


def _pass(random: np.random.Generator, cast: Cast) -> None:
    """Something comes between camera and main object, may stay there for a while, and goes on."""
    frames = len(cast.eyes)
    time = np.linspace(0, 1, frames)
    target = cast.actors[0].places
    towards_eye = cast.eyes - target
    depth = random.uniform(0.25, 0.6)
    aside = np.cross(towards_eye, (0, 0, 1.0))
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    arrive, leave = random.uniform(0.15, 0.45), random.uniform(0.5, 0.85)
    width = random.uniform(0.3, 0.7)
    turned_back = random.choice([-1.0, 1.0])
    way = (1 - eased(time, arrive - 0.2, arrive)) + turned_back * eased(time, leave, leave + 0.2)
    middle = target + towards_eye * depth + aside * (way * width)[:, None] * random.choice([-1.0, 1.0])
    if len(cast.actors) > 3 and random.random() < 0.4:
        other = cast.actors[-1]
        if other.size[[0, 2]].min() > 0.08:
            other.places = middle
            _turned(other, (0, 0, 1), np.cumsum(random.normal(0, 0.05, frames)))
            _hand(
                random,
                cast,
                middle + np.array((0, 0, other.size[2] / 2 + 0.03)),
                np.array((*random.normal(0, 1, 2), 1.2)),
            )
            return
    if random.random() < 0.65:
        _hand(
            random,
            cast,
            middle - np.array((0, 0, 0.02)),
            np.array((*random.normal(0, 1, 2), random.uniform(-0.2, 1.0))),
        )
    else:
        size = (random.uniform(0.01, 0.1), random.uniform(0.12, 0.3), random.uniform(0.12, 0.3))
        facing = np.stack([about((0, 0, 1), float(np.arctan2(y, x))) for x, y, _ in towards_eye])
        cast.parts.append(Part("box", size, tuple(random.uniform(0.05, 0.95, 3)), middle, facing))


# Hands and grippers ------------------------------------------------------------------------------------


def _grip(random: np.random.Generator, cast: Cast, actor: Actor, sideways: bool = False) -> None:
    """A hand or a gripper that holds an object while it is off its place; it comes before and leaves after."""
    frames = len(actor.places)
    moved = np.linalg.norm(actor.places - actor.places[0], axis=1) > 1e-3
    still_there = np.linalg.norm(actor.places - actor.places[-1], axis=1) > 1e-3
    first = int(moved.argmax()) if moved.any() else frames
    last = frames - int(still_there[::-1].argmax()) if still_there.any() else 0
    numbers = np.arange(frames)
    away = np.clip((first - numbers) / 6, 0, 1) + np.clip((numbers - last) / 6, 0, 1)
    arm = np.array((*random.normal(0, 1, 2), 0.35 if sideways else random.uniform(0.8, 2.5)))
    arm /= np.linalg.norm(arm)
    reach = actor.size.max() / 2 if not sideways else actor.size[:2].max() / 2
    tip = actor.places + arm * (0.8 * reach + 0.02) + arm * (away * 0.5)[:, None]
    (_hand if random.random() < 0.55 else _gripper)(random, cast, tip, arm)


def _hand(random: np.random.Generator, cast: Cast, tip: np.ndarray, arm: np.ndarray) -> None:
    """Fingers around ``tip`` (T, 3), a palm and a forearm that goes along ``arm`` (3,)."""
    arm = arm / np.linalg.norm(arm)
    skin = tuple(np.clip(np.array(SKINS[random.integers(len(SKINS))]) * random.uniform(0.85, 1.1), 0, 1))
    sleeve = tuple(random.uniform(0.05, 0.95, 3)) if random.random() < 0.6 else skin
    across = np.cross(arm, (0.3, 0.2, 1.0))
    across /= np.linalg.norm(across)
    deep = np.cross(arm, across)
    frames, along = len(tip), towards(arm)
    turns = np.repeat([along], frames, axis=0)
    for finger in range(4):
        offset = across * (finger - 1.5) * 0.021 + deep * 0.028
        cast.parts.append(Part("capsule", (0.0095, 0, 0.07), skin, tip + offset + arm * 0.02, turns))
    thumb = np.repeat([towards(arm + across * 0.7)], frames, axis=0)
    cast.parts.append(Part("capsule", (0.011, 0, 0.06), skin, tip - deep * 0.03 + arm * 0.02, thumb))
    palm = np.repeat([_frame(across, deep, arm)], frames, axis=0)
    cast.parts.append(Part("box", (0.085, 0.05, 0.09), skin, tip + arm * 0.095, palm))
    cast.parts.append(Part("capsule", (0.03, 0, 0.14), skin, tip + arm * 0.19, turns))
    cast.parts.append(Part("capsule", (0.042, 0, 0.4), sleeve, tip + arm * 0.45, turns))


def _gripper(random: np.random.Generator, cast: Cast, tip: np.ndarray, arm: np.ndarray) -> None:
    """Two fingers, a body and links, as robots have them."""
    arm = arm / np.linalg.norm(arm)
    dark, light = (METALS[number] for number in random.permutation(len(METALS))[:2])
    across = np.cross(arm, (0.2, 0.4, 1.0))
    across /= np.linalg.norm(across)
    deep = np.cross(arm, across)
    frames = len(tip)
    square = np.repeat([_frame(across, deep, arm)], frames, axis=0)
    width = random.uniform(0.03, 0.05)
    for sign in (-1, 1):
        cast.parts.append(Part("box", (0.014, 0.022, 0.08), dark, tip + across * width * sign + arm * 0.015, square))
    cast.parts.append(Part("box", (0.15, 0.06, 0.07), light, tip + arm * 0.09, square))
    turns = np.repeat([towards(arm)], frames, axis=0)
    cast.parts.append(Part("capsule", (0.045, 0, 0.12), dark, tip + arm * 0.18, turns))
    cast.parts.append(Part("capsule", (0.055, 0, 0.4), light, tip + arm * 0.45, turns))


def _frame(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The quaternion of the rotation whose columns are x, y, z."""
    if np.dot(np.cross(x, y), z) < 0:
        y = -y
    first = towards(z)
    turned = matrix(first)
    angle = np.arctan2(x @ turned[:, 1], x @ turned[:, 0])
    return then(first, about((0, 0, 1), float(angle)))
