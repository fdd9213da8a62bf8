"""Textures for objects and backgrounds: drawn ones and photographs; and objects that were cut out by others.

Textures are (H, W, 3) uint8, RGB; cut-outs (H, W, 4), RGB and coverage.  Nothing is downloaded:
photographs are those that ship inside scikit-image and scikit-learn (public domain, CC0 and
CC BY 2.0), where these are installed, and any folder of pictures that the user names.  A picture
of that folder with a transparent background is a cut-out, any other a photograph.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from sam2_ros import decoding
from sam2_ros.errors import InvalidImage, RecordingError
from sam2_ros.training.compositing import squared

#: Side of a drawn texture in pixels.
SIDE = 288
#: Photographs are kept at most this long, in pixels.
LONGEST_PHOTOGRAPH = 720
#: Cut-outs are kept at most this long, in pixels.
LONGEST_CUTOUT = 256
#: A picture is a cut-out when this share of it, or more, is transparent.
TRANSPARENT_SHARE = 0.02
#: Smaller pictures, in pixels, are passed over.
SMALLEST_PICTURE = 64
#: Most pictures of a folder that are kept; each worker holds them.
MOST_PICTURES = 1500
#: Reserved for held-out clips: training never sees them.
HELD_OUT_PHOTOGRAPHS = ("coffee.png", "rocket.jpg", "flower.jpg", "gravel.png")
TRAINING_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "camera.png",
    "ihc.png",
    "retina.jpg",
    "coins.png",
    "china.jpg",
)
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


@dataclass(frozen=True, slots=True, eq=False)
class TextureBank:
    """What a worker keeps: made once, drawn from often."""

    drawn: list[np.ndarray]
    photographs: list[np.ndarray]
    cutouts: list[np.ndarray] = field(default_factory=list)
    photograph_share: float = 0.45  # share of the textures that are photographs, where there are any

    def texture(self, random: np.random.Generator, side: int) -> np.ndarray:
        """A random crop of a random texture, (side, side, 3), zoomed and turned at random; a copy."""
        photograph = bool(self.photographs) and random.random() < self.photograph_share
        stock = self.photographs if photograph else self.drawn
        source = stock[random.integers(len(stock))]
        longest = min(source.shape[:2])
        wanted = int(np.clip(side * np.exp(random.uniform(-0.7, 0.9)), 16, longest))
        y = random.integers(source.shape[0] - wanted + 1)
        x = random.integers(source.shape[1] - wanted + 1)
        crop = source[y : y + wanted, x : x + wanted]
        if random.random() < 0.5:
            crop = crop[:, ::-1]
        if random.random() < 0.5:
            crop = crop.transpose(1, 0, 2)
        method = cv2.INTER_AREA if wanted > side else cv2.INTER_LINEAR
        crop = cv2.resize(np.ascontiguousarray(crop), (side, side), interpolation=method)
        return recoloured(crop, random)

    def cutout(self, random: np.random.Generator, side: int) -> np.ndarray:
        """A random cut-out in the middle of a square, (side, side, 4), mirrored and recoloured at random; a copy."""
        whole = self.cutouts[random.integers(len(self.cutouts))]
        if random.random() < 0.5:
            whole = whole[:, ::-1]
        fitted = squared(whole, side)
        if random.random() < 0.5:
            fitted[..., :3] = recoloured(np.ascontiguousarray(fitted[..., :3]), random)
        return fitted


def make_bank(seed: int, drawn: int = 96, pictures: str | Path | None = None, held_out: bool = False) -> TextureBank:
    """Draw ``drawn`` textures from ``seed`` and load the photographs.

    held_out: use the reserved photographs instead of those of training.
    """
    random = np.random.default_rng((seed, 7))
    painters = (_clouds, _stripes, _checker, _cells, _plain, _clutter, _text, _wood)
    textures = [painters[number % len(painters)](random) for number in range(drawn)]
    names = HELD_OUT_PHOTOGRAPHS if held_out else TRAINING_PHOTOGRAPHS
    photographs = [_as_kept(_read(path)) for path in _shipped(names)]
    if not pictures:
        return TextureBank(textures, [picture for picture in photographs if picture is not None])
    photographs += [_as_kept(_read(path, cv2.IMREAD_UNCHANGED)) for path in pictures_in(Path(pictures))]
    kept = [picture for picture in photographs if picture is not None]
    return TextureBank(
        textures,
        [picture for picture in kept if picture.shape[2] == 3],
        [picture for picture in kept if picture.shape[2] == 4],
        photograph_share=0.75,
    )


def _shipped(names: tuple[str, ...]) -> list[Path]:
    """Photographs inside installed packages, without importing these."""
    found: list[Path] = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            root = Path(next(iter(spec.submodule_search_locations))) / folder
            found += [root / name for name in names if (root / name).is_file()]
    return found


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, MOST_PICTURES at most, from all parts of it; RecordingError where there are none."""
    if not folder.is_dir():
        raise RecordingError(f"the folder of pictures {folder} does not exist; name an existing one or none")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    if not found:
        raise RecordingError(f"the folder {folder} holds no pictures ({', '.join(sorted(PICTURES))})")
    return found[:: -(-len(found) // MOST_PICTURES)]


def _read(path: Path, how: int = cv2.IMREAD_COLOR) -> np.ndarray | None:
    """Unlike ``cv2.imread`` for a file of any name; None where it cannot be read."""
    try:
        return decoding.decode(path.read_bytes(), how)
    except (OSError, InvalidImage):
        return None


def _as_kept(picture: np.ndarray | None) -> np.ndarray | None:
    """A picture as read, BGR with or without coverage, as a photograph (H, W, 3) or a cut-out (H, W, 4), both RGB.

    None where it could not be read, has more than 8 bits, or is too small.
    """
    if picture is None or picture.dtype != np.uint8 or min(picture.shape[:2]) < SMALLEST_PICTURE:
        return None
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    if picture.shape[2] == 4 and (picture[..., 3] < 128).mean() >= TRANSPARENT_SHARE:
        return _continued(_limited(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA), LONGEST_CUTOUT))
    return _limited(cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_BGR2RGB), LONGEST_PHOTOGRAPH)


def _limited(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture whose longer side has at most ``longest`` pixels."""
    scale = longest / max(picture.shape[:2])
    return picture if scale >= 1.0 else cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _continued(cutout: np.ndarray) -> np.ndarray | None:
    """A cut-out whose colours go on under its transparent border, so that no rim of another colour betrays it.

    None where nothing of it is opaque.
    """
    coverage = cutout[..., 3:].astype(np.float32) / 255
    if not (coverage > 0.5).any():
        return None
    weights = cv2.blur(coverage, (9, 9))[..., None]
    around = cv2.blur(cutout[..., :3] * coverage, (9, 9)) / np.maximum(weights, 1e-3)
    colours = cutout[..., :3] * coverage + np.clip(around, 0, 255) * (1 - coverage)
    return np.dstack([colours.astype(np.uint8), cutout[..., 3]])


def recoloured(crop: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Another gain, contrast and hue, through one look-up table per channel."""
    if random.random() < 0.15:
        crop = np.repeat(crop.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    if random.random() < 0.3:
        crop = np.ascontiguousarray(crop[:, :, random.permutation(3)])
    levels = np.arange(256, dtype=np.float32)[:, None]
    gain = random.uniform(0.55, 1.25) * random.uniform(0.85, 1.15, 3)
    table = (levels - 128.0) * random.uniform(0.6, 1.2) + 128.0
    table = np.clip(table * gain + random.uniform(-25, 25), 0, 255).astype(np.uint8)
    return cv2.LUT(crop, table.reshape(1, 256, 3))


def palette(random: np.random.Generator, colours: int) -> np.ndarray:
    """(colours, 3) uint8: hues that belong together more often than not, some muted."""
    hue = random.uniform(0, 180) + random.uniform(-1, 1, colours) * random.choice([8.0, 30.0, 90.0])
    saturation = random.uniform(0, 255) * random.uniform(0.3, 1.0, colours)
    value = np.clip(random.uniform(60, 230) + random.uniform(-90, 90, colours), 10, 250)
    pixels = np.stack([hue % 180, saturation, value], axis=1).astype(np.uint8)[None]
    return cv2.cvtColor(pixels, cv2.COLOR_HSV2RGB)[0]


def _tinted(values: np.ndarray, random: np.random.Generator, grain: float | None = None) -> np.ndarray:
    """Map values in 0..1 through a random palette and add grain."""
    colours = palette(random, int(random.integers(2, 6))).astype(np.float32)
    where = np.linspace(0, 1, len(colours))
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, where, colours[:, channel]) for channel in range(3)], axis=1)
    picture = table[np.clip(values * 255, 0, 255).astype(np.uint8)]
    grain = random.uniform(0, 14) if grain is None else grain
    picture = picture + random.normal(0, 1, values.shape)[..., None] * grain
    return np.clip(picture, 0, 255).astype(np.uint8)


def noise(random: np.random.Generator, shape: tuple[int, int], coarsest: int = 3, octaves: int = 5) -> np.ndarray:
    """Cloud noise in 0..1, (H, W) float32; ``coarsest`` cells across in the first octave."""
    total = np.zeros(shape, np.float32)
    persistence = random.uniform(0.35, 0.75)
    for octave in range(octaves):
        cells = min(coarsest * 2**octave, min(shape))
        grid = random.random((cells + 1, cells + 1), np.float32)
        total += persistence**octave * cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def _coordinates(random: np.random.Generator, warp: float) -> tuple[np.ndarray, np.ndarray]:
    """Two turned axes in 0..1 across the texture, bent by noise of amplitude ``warp``."""
    x, y = np.meshgrid(np.linspace(0, 1, SIDE, dtype=np.float32), np.linspace(0, 1, SIDE, dtype=np.float32))
    angle = random.uniform(0, np.pi)
    bend = (noise(random, (SIDE, SIDE), 2, 3) - 0.5) * warp
    return x * np.cos(angle) + y * np.sin(angle) + bend, y * np.cos(angle) - x * np.sin(angle) + bend


def _clouds(random: np.random.Generator) -> np.ndarray:
    return _tinted(noise(random, (SIDE, SIDE), int(random.integers(2, 24))), random)


def _stripes(random: np.random.Generator) -> np.ndarray:
    along, _ = _coordinates(random, random.choice([0.0, 0.1, 0.4]))
    wave = 0.5 + 0.5 * np.sin(along * random.uniform(15, 160))
    return _tinted(wave if random.random() < 0.5 else (wave > random.uniform(0.2, 0.8)).astype(np.float32), random)


def _checker(random: np.random.Generator) -> np.ndarray:
    across, along = _coordinates(random, random.choice([0.0, 0.05, 0.2]))
    count = random.uniform(4, 30)
    tiles = (np.floor(across * count) + np.floor(along * count)) % 2
    return _tinted(0.75 * tiles + 0.25 * noise(random, (SIDE, SIDE)), random)


def _cells(random: np.random.Generator) -> np.ndarray:
    """Nearest-seed cells: pebbles, tiles, leaves."""
    seeds = random.random((int(random.integers(12, 90)), 2)) * SIDE
    marks = np.full((SIDE, SIDE), 255, np.uint8)
    marks[seeds[:, 1].astype(int), seeds[:, 0].astype(int)] = 0
    distance, labels = cv2.distanceTransformWithLabels(marks, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    shade = random.random(int(labels.max()) + 1).astype(np.float32)[labels]
    return _tinted(np.clip(shade * 0.8 + 0.2 * distance / distance.max(), 0, 1), random)


def _plain(random: np.random.Generator) -> np.ndarray:
    """One colour with a soft gradient: painted metal, plastic, a wall."""
    along, _ = _coordinates(random, 0.3)
    base = random.uniform(0, 1) + (along - 0.5) * random.uniform(0, 0.5)
    return _tinted(np.clip(base, 0, 1), random, grain=random.uniform(0, 5))


def _clutter(random: np.random.Generator) -> np.ndarray:
    """Discs, bars and lines strewn over clouds."""
    picture = np.ascontiguousarray(_clouds(random))
    colours = palette(random, 8)
    for _ in range(int(random.integers(20, 120))):
        colour = tuple(int(value) for value in colours[random.integers(8)])
        start = tuple(int(value) for value in random.integers(0, SIDE, 2))
        size = int(random.integers(2, 28))
        kind = random.integers(3)
        if kind == 0:
            cv2.circle(picture, start, size, colour, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(picture, start, (start[0] + size, start[1] + int(random.integers(2, 40))), colour, -1)
        else:
            end = tuple(int(value) for value in random.integers(0, SIDE, 2))
            cv2.line(picture, start, end, colour, max(size // 6, 1), cv2.LINE_AA)
    return picture


def _text(random: np.random.Generator) -> np.ndarray:
    """Printed lines: labels and packaging."""
    picture = np.ascontiguousarray(_plain(random))
    colours = palette(random, 3)
    y = 0
    while y < SIDE:
        size = random.uniform(0.3, 1.6)
        y += int(26 * size) + 4
        line = "".join(chr(value) for value in random.integers(33, 123, 40))
        colour = tuple(int(value) for value in colours[random.integers(3)])
        start = (int(random.integers(-60, 40)), y)
        cv2.putText(
            picture, line, start, int(random.integers(0, 8)), size, colour, int(random.integers(1, 4)), cv2.LINE_AA
        )
    return picture


def _wood(random: np.random.Generator) -> np.ndarray:
    """Grain stretched along one direction."""
    fine = noise(random, (SIDE, SIDE), 4, 5)
    stretched = cv2.resize(fine[:, : SIDE // random.integers(4, 16)], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    rings = 0.5 + 0.5 * np.sin(stretched * random.uniform(6, 50))
    turned = rings if random.random() < 0.5 else rings.T
    return _tinted(0.6 * turned + 0.4 * stretched, random)
