"""Silhouettes of drawn objects, with the shading that makes them look solid.

A silhouette is (S, S) uint8 coverage, 0..255, with a margin of a few empty pixels all
around; a shading is (S, S) float32, a factor on the texture's brightness.
"""

from __future__ import annotations

import cv2
import numpy as np

from sam2_ros.training.textures import noise

#: Empty pixels that every silhouette keeps at its border, so that warps meet no hard edge.
MARGIN = 2
#: Silhouettes are drawn this much larger and shrunk, for smooth edges.
OVERSAMPLING = 2

Shape = tuple[np.ndarray, np.ndarray]


def draw_shape(random: np.random.Generator, side: int) -> Shape:
    """A random silhouette of ``side`` pixels and its shading."""
    makers = (
        _blob,
        _blob,
        _polygon,
        _ellipse,
        _cuboid,
        _cuboid,
        _vessel,
        _vessel,
        _thin,
        _limbs,
        _letter,
        _ring,
        _tool,
    )
    canvas = side * OVERSAMPLING
    coverage, shading = makers[random.integers(len(makers))](random, canvas)
    coverage = cv2.resize(coverage, (side, side), interpolation=cv2.INTER_AREA)
    shading = cv2.resize(shading, (side, side), interpolation=cv2.INTER_LINEAR)
    coverage[:MARGIN] = coverage[-MARGIN:] = 0
    coverage[:, :MARGIN] = coverage[:, -MARGIN:] = 0
    return coverage, shading


def make_shapes(seed: int, count: int = 160, side: int = 160) -> list[Shape]:
    """The shapes that a worker keeps: made once, turned and stretched again at each use."""
    random = np.random.default_rng((seed, 11))
    return [draw_shape(random, side) for _ in range(count)]


def reshape(shape: Shape, random: np.random.Generator, side: int) -> Shape:
    """A shape shrunk to ``side`` pixels, mirrored at random."""
    flips = random.random(2) < 0.5
    coverage, shading = (part[::-1] if flips[0] else part for part in shape)
    coverage, shading = (part[:, ::-1] if flips[1] else part for part in (coverage, shading))
    size = (side, side)
    coverage = cv2.resize(np.ascontiguousarray(coverage), size, interpolation=cv2.INTER_AREA)
    coverage[:MARGIN] = coverage[-MARGIN:] = 0
    coverage[:, :MARGIN] = coverage[:, -MARGIN:] = 0
    return coverage, cv2.resize(np.ascontiguousarray(shading), size, interpolation=cv2.INTER_AREA)


def draw_part(random: np.random.Generator, coverage: np.ndarray) -> np.ndarray:
    """A part of a silhouette (a label, a lid, a handle): coverage inside ``coverage``, perhaps empty."""
    side = len(coverage)
    rows, columns = np.nonzero(coverage > 127)
    part = np.zeros((side, side), np.uint8)
    if not len(rows):
        return part
    centre = random.integers(len(rows))
    x, y = int(columns[centre]), int(rows[centre])
    if random.random() < 0.5:
        reach = random.uniform(0.1, 0.35, 2) * side
        cv2.ellipse(
            part, (x, y), (int(reach[0]) + 2, int(reach[1]) + 2), random.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA
        )
    else:
        angle = random.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(angle), np.sin(angle)], np.float32)
        grid = np.indices((side, side), np.float32)
        part = np.where((grid[1] - x) * normal[0] + (grid[0] - y) * normal[1] > 0, 255, 0).astype(np.uint8)
    return np.minimum(part, coverage)


def _filled(points: np.ndarray, side: int) -> np.ndarray:
    """The inside of a polygon of (N, 2) points in pixels: (side, side) uint8 coverage."""
    coverage = np.zeros((side, side), np.uint8)
    cv2.fillPoly(coverage, [np.round(points).astype(np.int32)], 255)
    return coverage


def _fitted(points: np.ndarray, side: int) -> np.ndarray:
    """Scale and shift points so that they fill the canvas inside its margin."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = side - 2 * MARGIN * OVERSAMPLING - 2
    scale = room / max(float((high - low).max()), 1e-6)
    return (points - (low + high) / 2) * scale + side / 2


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """(N, 2) points turned by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return points @ np.array([[cosine, -sine], [sine, cosine]])


def _rounded(random: np.random.Generator, coverage: np.ndarray) -> np.ndarray:
    """Shading of a solid with a soft edge, lit from a random side."""
    depth = cv2.distanceTransform(coverage, cv2.DIST_L2, 3)
    height = np.minimum(depth / (depth.max() * random.uniform(0.2, 1.0) + 1e-6), 1.0)
    height = cv2.GaussianBlur(np.sqrt(height), (0, 0), len(coverage) / 50)
    return _lit(random, height * len(coverage) / 12)


def _lit(random: np.random.Generator, height: np.ndarray) -> np.ndarray:
    """(H, W) heights to (H, W) brightness under light from a random side."""
    angle = random.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(height, cv2.CV_32F, 0, 1)
    return np.clip(1.0 + slope / 8 * random.uniform(0.1, 0.7), 0.25, 1.6).astype(np.float32)


def _blob(random: np.random.Generator, side: int) -> Shape:
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    radius = np.ones_like(angle)
    for wave in range(1, int(random.integers(2, 8))):
        radius += random.normal(0, 0.35 / wave) * np.cos(wave * angle + random.uniform(0, 2 * np.pi))
    radius = np.maximum(radius, 0.15)
    points = np.stack([np.cos(angle) * radius, np.sin(angle) * radius * random.uniform(0.4, 1.0)], axis=1)
    coverage = _filled(_fitted(_turned(points, random.uniform(0, np.pi)), side), side)
    return coverage, _rounded(random, coverage)


def _polygon(random: np.random.Generator, side: int) -> Shape:
    corners = int(random.integers(3, 9))
    angle = (
        np.sort(random.uniform(0, 2 * np.pi, corners))
        if random.random() < 0.5
        else np.linspace(0, 2 * np.pi, corners, endpoint=False)
    )
    radius = random.uniform(0.4, 1.0, corners) if random.random() < 0.5 else np.ones(corners)
    points = np.stack([np.cos(angle) * radius, np.sin(angle) * radius * random.uniform(0.5, 1.0)], axis=1)
    coverage = _filled(_fitted(_turned(points, random.uniform(0, np.pi)), side), side)
    return coverage, _rounded(random, coverage) if random.random() < 0.5 else np.ones((side, side), np.float32)


def _ellipse(random: np.random.Generator, side: int) -> Shape:
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    power = random.choice([1.0, 1.0, 0.5, 0.3])  # below 1: a rounded rectangle
    points = np.stack(
        [
            np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power,
            np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power * random.uniform(0.3, 1.0),
        ],
        axis=1,
    )
    coverage = _filled(_fitted(_turned(points, random.uniform(0, np.pi)), side), side)
    return coverage, _rounded(random, coverage)


def _cuboid(random: np.random.Generator, side: int) -> Shape:
    """A box seen from a corner: three faces, each with its own light."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    corners *= random.uniform(0.25, 1.0, 3)
    yaw, pitch = random.uniform(0, np.pi / 2), random.uniform(0.2, 1.2)
    flat = _turned(corners[:, :2], yaw)
    depth = flat[:, 1] * np.cos(pitch) - corners[:, 2] * np.sin(pitch)
    view = np.stack([flat[:, 0], flat[:, 1] * np.sin(pitch) - corners[:, 2] * np.cos(pitch)], axis=1)
    view *= (1.0 + random.uniform(0, 0.12) * depth)[:, None]
    points = _fitted(view, side)
    coverage, shading = np.zeros((side, side), np.uint8), np.ones((side, side), np.float32)
    faces = [[i for i in range(8) if corners[i, axis] * sign > 0] for axis in range(3) for sign in (-1, 1)]
    for face in sorted(faces, key=lambda face: depth[face].mean()):  # far to near
        hull = cv2.convexHull(np.round(points[face]).astype(np.int32))
        cv2.fillPoly(coverage, [hull], 255)
        cv2.fillPoly(shading, [hull], float(random.uniform(0.45, 1.25)))
    return coverage, shading


def _vessel(random: np.random.Generator, side: int) -> Shape:
    """A bottle, can, cup or bulb: a symmetric outline, shaded as a solid of revolution."""
    rows = np.linspace(0, 1, 60)
    knots = int(random.integers(2, 6))
    profile = np.interp(rows, np.sort(np.r_[0, random.random(knots - 1), 1]), random.uniform(0.25, 1.0, knots + 1))
    if random.random() < 0.6:
        profile = np.convolve(np.pad(profile, 6, mode="edge"), np.ones(13) / 13, mode="valid")
    if random.random() < 0.3:
        profile[:] = profile.mean()
    profile *= random.uniform(0.25, 0.6)
    outline = np.concatenate([np.stack([profile, rows], 1), np.stack([-profile, rows], 1)[::-1]])
    angle = random.uniform(0, 2 * np.pi) if random.random() < 0.5 else random.normal(0, 0.1)
    points = _fitted(_turned(outline, angle), side)
    coverage = _filled(points, side)
    scale = np.linalg.norm(points[1] - points[0]) / np.linalg.norm(outline[1] - outline[0])
    grid = np.indices((side, side), np.float32)
    offset = (grid[1] - side / 2) * np.cos(angle) + (grid[0] - side / 2) * np.sin(angle)
    across = np.clip(offset / (profile.max() * scale + 1e-6), -1, 1)
    strength, highlight = random.uniform(0.2, 0.7), random.uniform(-0.6, 0.6)
    return coverage, np.clip(1.15 - strength * np.abs(across - highlight), 0.3, 1.5).astype(np.float32)


def _thin(random: np.random.Generator, side: int) -> Shape:
    """A cable, rod or hook."""
    steps = np.cumsum(random.normal(0, 0.25 if random.random() < 0.6 else 0.02, 40)) + random.uniform(0, 2 * np.pi)
    points = _fitted(np.cumsum(np.stack([np.cos(steps), np.sin(steps)], 1), axis=0), side) * 0.9 + side * 0.05
    coverage = np.zeros((side, side), np.uint8)
    thickness = max(int(side * random.uniform(0.025, 0.1)), 3)
    cv2.polylines(coverage, [np.round(points).astype(np.int32)], False, 255, thickness)
    return coverage, _rounded(random, coverage)


def _limbs(random: np.random.Generator, side: int) -> Shape:
    """A body with limbs or wheels, or several pieces that move as one."""
    coverage = np.zeros((side, side), np.uint8)
    shading = np.ones((side, side), np.float32)
    spread = random.uniform(0.12, 0.3)
    for _ in range(int(random.integers(2, 6))):
        x, y = np.clip(random.normal(0.5, spread, 2), 0.15, 0.85) * side
        reach = random.uniform(0.05, 0.28, 2) * side
        part = ((int(x), int(y)), (int(reach[0]) + 2, int(reach[1]) + 2), random.uniform(0, 180), 0, 360)
        cv2.ellipse(coverage, *part, 255, -1)
        cv2.ellipse(shading, *part, float(random.uniform(0.6, 1.2)), -1)
    return coverage, shading


def _letter(random: np.random.Generator, side: int) -> Shape:
    character = chr(random.choice([*range(65, 91), *range(48, 58), *range(97, 123), 38, 63, 64, 35]))
    coverage = np.zeros((side, side), np.uint8)
    font, thickness = int(random.integers(0, 5)), max(int(side * random.uniform(0.05, 0.14)), 2)
    size = side / 32
    (width, height), _ = cv2.getTextSize(character, font, size, thickness)
    size *= 0.75 * side / max(width, height, 1)
    (width, height), _ = cv2.getTextSize(character, font, size, thickness)
    cv2.putText(coverage, character, ((side - width) // 2, (side + height) // 2), font, size, 255, thickness)
    return coverage, _rounded(random, coverage)


def _ring(random: np.random.Generator, side: int) -> Shape:
    """A frame, ring or mug handle: an outline with a hole."""
    coverage, shading = (_ellipse if random.random() < 0.6 else _polygon)(random, side)
    depth = cv2.distanceTransform(coverage, cv2.DIST_L2, 3)
    coverage[depth > depth.max() * random.uniform(0.25, 0.7)] = 0
    return coverage, shading


def _tool(random: np.random.Generator, side: int) -> Shape:
    """A handle with a head: hammers, spoons, drivers."""
    length, width = 0.8 * side, side * random.uniform(0.04, 0.14)
    coverage, shading = np.zeros((side, side), np.uint8), np.ones((side, side), np.float32)
    middle = side / 2
    cv2.rectangle(
        coverage,
        (int(middle - length / 2), int(middle - width / 2)),
        (int(middle + length / 2), int(middle + width / 2)),
        255,
        -1,
    )
    reach = (int(side * random.uniform(0.06, 0.16)), int(side * random.uniform(0.08, 0.25)))
    head = (int(middle + length / 2 - reach[0]), int(middle))
    if random.random() < 0.5:
        cv2.ellipse(coverage, head, reach, 0, 0, 360, 255, -1)
    else:
        cv2.rectangle(
            coverage, (head[0] - reach[0], head[1] - reach[1]), (head[0] + reach[0], head[1] + reach[1]), 255, -1
        )
    shading[:, : int(head[0] - reach[0])] *= random.uniform(0.5, 1.2)
    shading *= 0.85 + 0.3 * noise(random, (side, side), 2, 2)
    turn = cv2.getRotationMatrix2D((middle, middle), random.uniform(0, 360), 0.95)
    return cv2.warpAffine(coverage, turn, (side, side)), cv2.warpAffine(
        shading, turn, (side, side), borderMode=cv2.BORDER_REPLICATE
    )
