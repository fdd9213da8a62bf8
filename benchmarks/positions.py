"""How far measured positions are from where objects are seen, and what measuring costs.

    python benchmarks/positions.py OBJECTS                the three tables
    python benchmarks/positions.py OBJECTS --csv still.csv    every object at every distance, too
    python benchmarks/positions.py --picture demo.webp     the demo with positions, as the node's overlay draws them
    python benchmarks/positions.py --cost                  milliseconds only

OBJECTS is a folder of scanned objects (see ``training/scanned_objects.py``), rendered with pybullet at 640x480, so
depth and masks are exact.  The truth is made of every pixel at which an object is seen, with exact depth and mask:
the position is the median of each coordinate, the centroid the mean.  What is measured gets depth like that of a
stereo camera, in whole millimetres: noise that grows with the square of the distance and is alike among neighbours,
outlines that wander, and along steps of depth holes and mixed pixels.  It has no error of calibration.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import cv2
import numpy as np

from sam2_ros import demo, recordings
from sam2_ros.drawing import contact_sheet, overlay
from sam2_ros.geometry.camera import Camera
from sam2_ros.geometry.depth import metres
from sam2_ros.geometry.positions import Positions, seen_labels
from sam2_ros.geometry.surface import Surface, surfaces
from sam2_ros.model.checkpoint import load
from sam2_ros.recordings.moments import moments_of
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.simulated_user import box_around, first_click
from sam2_ros.tracking.settings import TrackerSettings
from sam2_ros.tracking.tracker import Tracker
from sam2_ros.training.object_scenes import FAR, NEAR, Renderer, Studio, projected
from sam2_ros.training.scanned_objects import ScannedObject, outline
from sam2_ros.training.staging import Actor, about, stage
from sam2_ros.types import Frame, Prompt, State, Track

SIZE, FOCAL = (480, 640), 600.0
VIEW_ANGLE = float(np.degrees(2 * np.arctan(SIZE[0] / 2 / FOCAL)))
CAMERA = Camera(SIZE, np.array(((FOCAL, 0, (SIZE[1] - 1) / 2), (0, FOCAL, (SIZE[0] - 1) / 2), (0, 0, 1))))
LIGHT = {"shadow": 1, "lightDirection": (0.4, -0.3, 1.0), "lightAmbientCoeff": 0.6, "lightDiffuseCoeff": 0.5}
#: Of the camera before a single object: metres, and how far it looks down, in degrees.
DISTANCES, ELEVATION = (0.5, 0.75, 1.0, 1.5, 2.0), 35.0
#: Noise at 1 m in metres; pixels by which outlines wander; share of the pixels along steps that give nothing.
NOISE, WANDER, HOLES = 0.0025, 1.5, 0.5
#: Images per second in the scenes that are tracked, and their stories.
RATE, STORIES = 10.0, ("carry", "pass", "shuffle", "slide", "near")
#: An object is hidden below the first share of its outline that is seen, and whole from the second on.
HIDDEN, WHOLE = 0.02, 0.9
#: Pixels that an object needs on the first image to be tracked, and objects of one scene.
LEAST, TRACKED = 400, 3


class Shot(NamedTuple):
    """What the camera sees.

    image: (H, W, 3) RGB.  bodies: (H, W), -1 = none.  depth: exact, (H, W) float32 metres.  to_clip: (4, 4), from the
    world to the clip space of OpenGL.
    """

    image: np.ndarray
    bodies: np.ndarray
    depth: np.ndarray
    to_clip: np.ndarray


class Truth(NamedTuple):
    """Where the surface of an object is seen (3,), metres."""

    position: np.ndarray
    centroid: np.ndarray


class Error(NamedTuple):
    """Of one position, in millimetres; share: of the outline that was seen."""

    name: str
    distance: float
    position: float
    centroid: float
    share: float


def shoot(studio: Studio, eye: Iterable[float], target: Iterable[float], angle: float = VIEW_ANGLE) -> Shot:
    bullet = studio.bullet
    view = bullet.computeViewMatrix(list(eye), list(target), (0, 0, 1))
    projection = bullet.computeProjectionMatrixFOV(angle, SIZE[1] / SIZE[0], NEAR, FAR)
    _, _, pixels, depth, bodies = bullet.getCameraImage(
        SIZE[1],
        SIZE[0],
        view,
        projection,
        lightColor=(1, 1, 1),
        renderer=bullet.ER_TINY_RENDERER,
        physicsClientId=studio.client,
        **LIGHT,
    )
    values = np.asarray(depth, np.float64).reshape(SIZE)
    exact = (FAR * NEAR / (FAR - (FAR - NEAR) * values)).astype(np.float32)
    image = np.asarray(pixels, np.uint8).reshape(*SIZE, 4)[..., :3]
    to_clip = np.array(projection).reshape(4, 4).T @ np.array(view).reshape(4, 4).T
    return Shot(np.ascontiguousarray(image), np.array(bodies).reshape(SIZE), exact, to_clip)


def sensed(depth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Exact depth as a camera publishes it: uint16 millimetres, 0 = unknown."""
    row, column = np.indices(depth.shape, np.float32)
    shift = [cv2.GaussianBlur(random.normal(0, 1, depth.shape).astype(np.float32), (0, 0), 2.0) for _ in range(2)]
    row, column = (place + WANDER * wind / wind.std() for place, wind in zip((row, column), shift))
    seen = cv2.remap(depth, column, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    noise = cv2.GaussianBlur(random.normal(0, 1, depth.shape).astype(np.float32), (0, 0), 1.0)
    seen = seen + NOISE * seen**2 * noise / noise.std()
    near = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(seen, near), cv2.dilate(seen, near)
    steps = farthest - nearest > 0.05
    seen = np.where(steps, nearest + (farthest - nearest) * random.random(depth.shape, np.float32), seen)
    seen[steps & (random.random(depth.shape) < HOLES)] = 0
    return np.clip(np.round(seen * 1000), 0, 65535).astype(np.uint16)


def truth_of(mask: np.ndarray, depth: np.ndarray, camera: Camera) -> Truth:
    rows, columns = np.nonzero(mask)
    points = camera.points(rows, columns, depth[rows, columns]).astype(np.float64)
    return Truth(np.median(points, axis=1), points.mean(axis=1))


def error_of(name: str, found: Surface, truth: Truth, share: float) -> Error:
    position, centroid = found.position - truth.position, found.centroid - truth.centroid
    distance = float(np.linalg.norm(truth.position))
    return Error(name, distance, 1e3 * float(np.linalg.norm(position)), 1e3 * float(np.linalg.norm(centroid)), share)


# -- one object, at several distances, with its true mask --------------------------------------------


def still(renderer: Renderer, count: int, random: np.random.Generator) -> Iterator[tuple[float, Error | None]]:
    """Each object at each distance; None where it got no position."""
    for number in random.permutation(len(renderer.models))[:count]:
        with Studio() as studio:
            renderer.furnish(studio, random)
            yield from _turntable(studio, renderer.models[number], random)


def _turntable(
    studio: Studio, model: ScannedObject, random: np.random.Generator
) -> Iterator[tuple[float, Error | None]]:
    body, centre = studio.thing(model, 1.0), np.array((0, 0, model.size[2] / 2))
    for distance in DISTANCES:
        studio.move(body, np.zeros(3), about((0, 0, 1), random.uniform(0, 2 * np.pi)))
        height = np.radians(ELEVATION)
        eye = centre + distance * np.array((-np.cos(height), random.uniform(-0.1, 0.1), np.sin(height)))
        shot = shoot(studio, eye, centre + random.uniform(-0.1, 0.1, 3) * distance)
        mask = shot.bodies == body
        if np.count_nonzero(mask) < 50:
            continue
        found = surfaces(mask.astype(np.uint8), metres(sensed(shot.depth, random)), CAMERA)
        truth = truth_of(mask, shot.depth, CAMERA)
        yield distance, error_of(model.name, found[1], truth, 1.0) if found else None


# -- several objects that move and hide each other, tracked -------------------------------------------


class Outcome(NamedTuple):
    """What was known of one object on one image.

    share: of its outline that was seen.  error: None where there was no position of this image.
    age: seconds of the last known position, None without one; hidden: seconds since it was hidden, 0 = it was seen.
    """

    share: float
    error: Error | None
    age: float | None
    hidden: float


class Stage:
    """A scene of moving objects before a camera, image by image."""

    def __init__(self, studio: Studio, renderer: Renderer, seed: int, frames: int) -> None:
        self._studio = studio
        self._random = np.random.default_rng((seed, 7))
        self.cast = stage(np.random.default_rng((seed, 41)), renderer.models, frames, STORIES[seed % len(STORIES)])
        renderer.furnish(studio, self._random)
        self._bodies = [studio.thing(actor.model, actor.scale) for actor in self.cast.actors]
        self._parts = [studio.part(part) for part in self.cast.parts]
        focal = SIZE[0] / 2 / np.tan(np.radians(self.cast.angle) / 2)
        self.camera = Camera(SIZE, CAMERA.matrix * np.array(((focal / FOCAL, 1, 1), (1, focal / FOCAL, 1), (1, 1, 1))))

    def shot(self, number: int) -> tuple[Shot, dict[int, np.ndarray], np.ndarray]:
        """What is seen on an image, the masks of the objects, and depth as it is sensed."""
        cast = self.cast
        for actor, body in zip(cast.actors, self._bodies):
            self._studio.move(body, actor.base(number), actor.turns[number])
        for part, body in zip(cast.parts, self._parts):
            self._studio.move(body, part.places[number], part.turns[number])
        shot = shoot(self._studio, cast.eyes[number], cast.targets[number], cast.angle)
        masks = {one: shot.bodies == body for one, body in enumerate(self._bodies, start=1)}
        return shot, masks, sensed(shot.depth, self._random)


def acted(renderer: Renderer, tracker: Tracker | None, seed: int, frames: int) -> Iterator[Outcome]:
    """A scene with true masks, or with those of a tracker that was given the true ones on the first image."""
    with Studio() as studio:
        scene, positions = Stage(studio, renderer, seed, frames), Positions()
        chosen, seen = list[int](), dict[int, int]()  # objects, and the stamp at which each was seen last
        for number in range(frames):
            shot, masks, depth = scene.shot(number)
            chosen = chosen or [one for one, mask in masks.items() if np.count_nonzero(mask) >= LEAST][:TRACKED]
            stamp = round((number + 1) / RATE * 1e9)
            tracks = _tracks(tracker, shot.image, stamp, {one: masks[one] for one in chosen})
            positions.measure(stamp, seen_labels(tracks, SIZE), metres(depth), scene.camera)
            known = positions.at(stamp, tracks)
            for one in chosen:
                actor = scene.cast.actors[one - 1]
                share = _share(actor, number, masks[one], shot.to_clip)
                seen[one] = stamp if share >= HIDDEN else seen.get(one, stamp)
                position, error = known.get(one), None
                if position and not position.age and share >= HIDDEN:
                    truth = truth_of(masks[one], shot.depth, scene.camera)
                    error = error_of(actor.model.name, position.surface, truth, share)
                yield Outcome(share, error, position.age if position else None, (stamp - seen[one]) / 1e9)


def _tracks(tracker: Tracker | None, image: np.ndarray, stamp: int, masks: dict[int, np.ndarray]) -> list[Track]:
    """What is tracked, with the ids of the masks."""
    if tracker is None:
        pointer = np.zeros(1, np.float32)
        return [
            Track(one, str(one), State.VISIBLE, not mask.any(), mask, 0.0, 1.0, pointer, 0, 1)
            for one, mask in masks.items()
        ]
    tracks = list(tracker.track(Frame(image, stamp)))
    if not tracker.objects:
        for one, mask in masks.items():
            tracks = list(tracker.prompt(Prompt(str(one), mask=mask)).newest)
    return [
        Track(
            int(track.name), track.name, track.state, track.occluded, track.mask, 0.0, 0.0, track.object_pointer, 0, 1
        )
        for track in tracks
    ]


def _share(actor: Actor, number: int, mask: np.ndarray, to_clip: np.ndarray) -> float:
    """The share of the outline of an object within the picture that is seen."""
    whole = outline(projected(actor, number, to_clip, SIZE), actor.model.triangles, SIZE).sum()
    return min(float(mask.sum()) / whole, 1.0) if whole else 0.0


# -- the demo ------------------------------------------------------------------------------------

#: Images of the demo that are drawn; every twentieth has depth.
DRAWN = (20, 80, 136, 160)


def demonstrated(model: str) -> Iterator[np.ndarray]:
    """The demo's images as the node's overlay shows them: on the first one a carton is clicked and a can boxed."""
    folder = Path(demo.__file__).parent / "recording"
    facts, stored = json.loads((folder / "recording.json").read_text()), np.load(folder / "depth.npz")
    info = json.loads((folder / "camera_info.json").read_text())
    region = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
    camera = Camera.of(SimpleNamespace(**info, binning_x=0, binning_y=0, roi=region))
    tracker, positions = Tracker(load(model, "cpu"), TrackerSettings()), Positions()
    for moment in moments_of(recordings.open(folder)):
        frame, truth = moment.frame, moment.truth
        tracks: Sequence[Track] = tracker.track(frame)
        if moment.index == 0 and truth is not None:
            carton, can = truth.masks[1], truth.masks[2]
            point, label = first_click(carton)
            tracker.prompt(Prompt(facts["objects"]["1"], points=point[None], labels=np.array([label])))
            tracks = tracker.prompt(Prompt(facts["objects"]["2"], box=box_around(can))).newest
        if moment.index % int(stored["every"]) == 0:
            depth = metres(stored["depth"][moment.index // int(stored["every"])])
            positions.measure(frame.stamp, seen_labels(tracks, frame.size), depth, camera)
        known = positions.at(frame.stamp, tracks)
        yield overlay(frame.image, tracks, notes={one: position.distance for one, position in known.items()})


# -- tables --------------------------------------------------------------------------------------


def spread_of(errors: Iterable[Error], field: str = "position") -> str:
    values = [getattr(error, field) for error in errors]
    return f"{np.median(values):.1f} | {np.percentile(values, 95):.1f}" if values else "- | -"


def print_still(results: list[tuple[float, Error | None]]) -> None:
    print("| distance | objects | without position | position, median [mm] | p95 | centroid, median [mm] | p95 |")
    print("|---|---|---|---|---|---|---|")
    for distance in DISTANCES:
        all_errors = [error for at, error in results if at == distance]
        errors = [error for error in all_errors if error]
        missing = len(all_errors) - len(errors)
        counts = f"{distance:g} m | {len(all_errors)} | {missing}"
        print(f"| {counts} | {spread_of(errors)} | {spread_of(errors, 'centroid')} |")


def print_worst(results: list[tuple[float, Error | None]], count: int = 5) -> None:
    by_name = defaultdict(list)
    for _, error in results:
        if error:
            by_name[error.name].append(error.position)
    print("\nfarthest off, median over the distances: ", end="")
    medians = sorted(((statistics.median(values), name) for name, values in by_name.items()), reverse=True)
    print(", ".join(f"{name} {value:.1f} mm" for value, name in medians[:count]))


def print_acted(name: str, outcomes: list[Outcome]) -> None:
    whole = [one for one in outcomes if one.share >= WHOLE]
    partly = [one for one in outcomes if HIDDEN <= one.share < WHOLE]
    hidden = [one for one in outcomes if one.share < HIDDEN]
    known = [one for one in hidden if one.age]
    valid = sum(one.error is not None for one in partly)
    longest = max((one.hidden for one in hidden), default=0.0)
    ages = [abs((one.age or 0.0) - one.hidden) for one in known]
    errors = " | ".join(spread_of(one.error for one in outcomes if one.error) for outcomes in (whole, partly))
    print(
        f"| {name} | {len(whole)} | {len(partly)} | {errors} "
        f"| {valid} of {len(partly)} | {len(known)} of {len(hidden)} | {longest:.1f} | {np.median(ages or [0.0]):.1f} |"
    )


def cost(rounds: int = 200) -> None:
    """Milliseconds for three objects: reading a 16-bit depth image, measuring, and what is known of them."""
    row, column = np.indices(SIZE)
    masks = [
        (column - x) ** 2 + (row - y) ** 2 < radius**2
        for x, y, radius in ((150, 200, 80), (350, 240, 70), (520, 300, 60))
    ]
    pointer = np.zeros(1, np.float32)
    tracks = [
        Track(n, str(n), State.VISIBLE, False, mask, 0.0, 1.0, pointer, 0, 1) for n, mask in enumerate(masks, start=1)
    ]
    depth = sensed(np.where(np.any(masks, axis=0), 1.0, 1.5).astype(np.float32), np.random.default_rng(0))
    positions, spent = Positions(velocity=True), []
    for number in range(rounds):
        started = time.perf_counter()
        positions.measure(number + 1, seen_labels(tracks, SIZE), metres(depth), CAMERA)
        positions.at(number + 1, tracks)
        spent.append(1e3 * (time.perf_counter() - started))
    print(f"three objects at 640x480: {np.median(spent):.1f} ms, 95 % within {np.percentile(spent, 95):.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", type=Path, nargs="?", help="folder of scanned objects")
    parser.add_argument("--cost", action="store_true", help="measure milliseconds only")
    parser.add_argument("--count", type=int, default=40, help="objects that are measured one by one (%(default)s)")
    parser.add_argument("--scenes", type=int, default=10, help="scenes that are tracked (%(default)s)")
    parser.add_argument("--frames", type=int, default=24, help="images of a scene (%(default)s)")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--picture", type=Path, help="only draw four images of the demo with positions into this file")
    parser.add_argument("--csv", type=Path, help="every object at every distance")
    options = parser.parse_args()
    if options.picture:
        images = [image for number, image in enumerate(demonstrated(options.model)) if number in DRAWN]
        captions = [f"image {number}" for number in DRAWN]
        sheet = contact_sheet(images, 2, captions, width=SIZE[1] * 3 // 4)
        write_picture(options.picture, sheet, cv2.IMWRITE_WEBP_QUALITY, 85)
        return
    if options.cost or options.objects is None:
        cost()
        return
    renderer = Renderer(options.objects)
    results = list(still(renderer, options.count, np.random.default_rng(5)))
    print_still(results)
    print_worst(results)
    if options.csv:
        with open(options.csv, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("distance [m]", *Error._fields))
            writer.writerows((distance, *error) for distance, error in results if error)
    print(
        "\n| masks | seen whole | partly hidden | whole, median [mm] | p95 | partly hidden, median | p95 "
        "| valid while partly hidden | old while hidden | hidden up to [s] | age off by, median [s] |"
    )
    print("|---" * 11 + "|")
    model = load(options.model, "cpu")
    for name in ("true", "tracked"):
        outcomes = list[Outcome]()
        for seed in range(options.scenes):
            tracker = Tracker(model, TrackerSettings()) if name == "tracked" else None
            outcomes += acted(renderer, tracker, seed, options.frames)
        print_acted(name, outcomes)


if __name__ == "__main__":
    main()
