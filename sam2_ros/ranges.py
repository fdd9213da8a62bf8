"""Which raw values of a camera with more than eight bits become black and white.

A 12-bit camera fills a sixteenth of the values that 16 bits have, an infrared one often a
hundredth, a thermal one a narrow band far from zero.  If black and white were 0 and 65,535, only a few grey levels
would be left.  The rule ``auto`` follows the values that occur, slowly, so that the picture does not flicker.  It
depends on the sequence of images only, never on the clock, so a replay gives the same pictures.
"""

from __future__ import annotations

import cv2
import numpy as np

from sam2_ros.errors import InvalidInput

AUTO, FULL = "auto", "full"
WHITE = 65535
#: Number of values that are sampled in one image.
SAMPLES = 20_000
#: This share of the values at each end may become plain black or white: dead pixels, a lamp.
TAIL = 0.001
#: Room beyond the values that were found, as a share of their span.
MARGIN = 0.05
#: A span has at least this many values of an integer image: noise on a wall should not look like a scene.
LEAST_SPAN = 64
#: An end that is off by less than this share of the span does not move.
SLACK = 0.1
#: With each image an end moves by this share of the distance: outwards fast (values are lost), inwards slowly.
OUTWARDS, INWARDS = 0.25, 1 / 30
#: Less than this share of the span is another scene when this many images in a row have it; fewer may be a hand
#: in front of the lens.
NARROW, ENOUGH = 0.25, 5

#: Help text of ``--image-range``, before the default.
HELP = "how 16-bit images become 8: auto (the values that occur), full, or LOW,HIGH in raw values"

Limits = tuple[float, float]


def limits_of(rule: str) -> Limits | None:
    """The two values of a rule "LOW,HIGH"; None for auto and full.  Raises InvalidInput for other texts."""
    if rule in (AUTO, FULL):
        return None
    try:
        low, high = map(float, rule.split(","))
    except ValueError:
        low = high = 0.0
    if not (np.isfinite((low, high)).all() and low < high):
        raise InvalidInput(
            f"image_range must be auto, full, or LOW,HIGH in the camera's own values, such as 0,4095; got {rule!r}"
        )
    return low, high


class Range:
    """Turns the images of one camera into eight bits.

    rule: "auto" (follow the values that occur), "full" (0 to 65535; of float images the smallest
    to the largest finite value of each) or "LOW,HIGH" in the camera's own values.
    reduced: whether an image has had more than eight bits.
    """

    def __init__(self, rule: str = AUTO) -> None:
        """Raises InvalidInput for an unknown rule."""
        self._fixed = limits_of(rule)
        self.rule = rule
        self.reduced = False
        self._limits: Limits | None = None  # what auto has arrived at
        self._narrow = 0  # images in a row with a much narrower span

    def eight_bits(self, image: np.ndarray) -> np.ndarray:
        """An image of uint8, uint16 or float32 as uint8; floats that are not finite become black."""
        if image.dtype == np.uint8:
            return image
        self.reduced = True
        if self._fixed is None and self.rule == FULL and image.dtype == np.uint16:
            return _scaled(image, 255.0 / WHITE)
        low, high = self._limits_for(image)
        if image.dtype == np.uint16:
            # Subtract whole numbers only, without a negative result: convertScaleAbs takes absolute values.
            low = min(max(round(low), 0), WHITE)
            above = np.maximum(image, np.uint16(low)) - np.uint16(low)
            return _scaled(above, 255.0 / max(high - low, 1.0))
        scale = 255.0 / (high - low) if high > low else 0.0
        scaled: np.ndarray = (np.where(np.isfinite(image), image, low) - low) * scale
        eight: np.ndarray = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
        return eight

    def _limits_for(self, image: np.ndarray) -> Limits:
        """The values of this image that become black and white."""
        if self._fixed is not None:
            return self._fixed
        if self.rule == FULL:
            finite = image[np.isfinite(image)]
            return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        found = occurring(image)
        if found is not None:
            self._limits = self._followed(found)
        return self._limits or (0.0, float(WHITE))

    def _followed(self, found: Limits) -> Limits:
        """The limits for an image whose values are ``found``, near those of the images before."""
        if self._limits is None:
            return found
        (low, high), (found_low, found_high) = self._limits, found
        shared = min(high, found_high) - max(low, found_low)
        self._narrow = self._narrow + 1 if found_high - found_low < NARROW * (high - low) else 0
        if shared < 0.5 * (found_high - found_low) or self._narrow >= ENOUGH:
            self._narrow = 0
            return found  # another scene, or another exposure
        slack = SLACK * (high - low)
        return low - _step(low - found_low, slack), high + _step(found_high - high, slack)


def _scaled(image: np.ndarray, factor: float) -> np.ndarray:
    """Values from 0 on times a factor, rounded, as uint8."""
    scaled: np.ndarray = cv2.convertScaleAbs(image, alpha=factor)
    return scaled


def _step(outwards: float, slack: float) -> float:
    """How far an end moves outwards when the found value is ``outwards`` of it."""
    if abs(outwards) <= slack:
        return 0.0
    return outwards * (OUTWARDS if outwards > 0 else INWARDS)


def occurring(image: np.ndarray) -> Limits | None:
    """The limits of nearly all values of an image, with some room beyond; None when none is finite.

    The smallest and the largest value of 16 bits often mean "not measured" and are left out.
    """
    pixels = image.reshape(-1, image.shape[2] if image.ndim == 3 else 1)
    values = pixels[:: max(len(pixels) // SAMPLES, 1)].reshape(-1)
    whole = image.dtype == np.uint16
    kept = values[(values > 0) & (values < WHITE)] if whole else values[np.isfinite(values)]
    if whole and len(kept) < max(len(values) // 100, 1):
        kept = values
    if not len(kept):
        return None
    tail = int(TAIL * len(kept))
    ordered = np.partition(kept, (tail, len(kept) - 1 - tail))
    low, high = float(ordered[tail]), float(ordered[len(kept) - 1 - tail])
    least = LEAST_SPAN if whole else 1e-3 * max(abs(low), abs(high), 1e-3)
    room = max(MARGIN * (high - low), (least - (high - low)) / 2)
    low, high = low - room, high + room
    return (max(low, 0.0), min(high, float(WHITE))) if whole else (low, high)
