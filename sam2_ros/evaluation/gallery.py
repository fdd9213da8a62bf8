"""Small pictures of the best, median and worst frames, chosen while a replay runs, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import cv2
import numpy as np

from sam2_ros.drawing import contact_sheet, outline, overlay
from sam2_ros.stream.replay import Step

WIDTH = 320
#: Scale of the letters in them.
LETTERS = 1.0
#: Pictures of each kind.
EACH = 4
#: Number of evenly spread pictures from which the median ones are chosen.
SPREAD = 32
#: Shown images are at least this many images apart: neighbours look the same.
APART = 10
#: Number of candidates, one of each ``APART`` images: at most two of them are too near to a shown one.
CANDIDATES = 3 * EACH


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """score: mean J of the objects that are in the image, nan without any."""

    index: int
    score: float
    image: np.ndarray

    @property
    def caption(self) -> str:
        return f"image {self.index}" + ("" if np.isnan(self.score) else f"  J {100 * self.score:.1f}")


@dataclass
class Gallery:
    """Offer every step; what is kept is at most 2 x ``SPREAD`` + 2 x ``CANDIDATES`` thumbnails."""

    _best: list[Thumbnail] = field(default_factory=list)
    _worst: list[Thumbnail] = field(default_factory=list)
    _spread: list[Thumbnail] = field(default_factory=list)
    _every: int = 1

    def offer(self, step: Step, score: float, numbers: Mapping[int, int] = MappingProxyType({})) -> None:
        """Keep the step's picture if it is among the best, the worst, or its turn has come.

        numbers: as for ``picture``.
        """
        index = step.moment.index
        turn = index % self._every == 0
        good, bad = _belongs(self._best, index, score, 1), _belongs(self._worst, index, score, -1)
        if not (turn or good or bad):
            return
        thumbnail = Thumbnail(index, score, picture(step, numbers))
        if good:
            self._best = _with(self._best, thumbnail, 1)
        if bad:
            self._worst = _with(self._worst, thumbnail, -1)
        if turn:
            self._spread.append(thumbnail)
            if len(self._spread) == 2 * SPREAD:
                self._spread, self._every = self._spread[::2], 2 * self._every

    def rows(self) -> dict[str, list[Thumbnail]]:
        """Thumbnails by what they show; without truth evenly spread ones."""
        if not self._best:
            step = max(len(self._spread) // (2 * EACH), 1)
            return {"in order": self._spread[::step][: 2 * EACH]}
        scored = sorted((kept for kept in self._spread if not np.isnan(kept.score)), key=lambda kept: kept.score)
        middle = max(len(scored) // 2 - EACH // 2, 0)
        return {"best": _apart(self._best), "median": scored[middle : middle + EACH], "worst": _apart(self._worst)}

    def sheet(self) -> np.ndarray | None:
        """All rows below one another as one picture, RGB; None when nothing was offered."""
        parts: Sequence[np.ndarray] = [
            contact_sheet([kept.image for kept in row], EACH, [f"{title}: {kept.caption}" for kept in row], WIDTH)
            for title, row in self.rows().items()
            if row
        ]
        return np.concatenate(parts) if parts else None


def _belongs(row: list[Thumbnail], index: int, score: float, sign: int) -> bool:
    """Whether an image is better (sign 1) or worse (-1) than what it would displace from a row."""
    same = [kept for kept in row if kept.index // APART == index // APART]
    rivals = same or (row[-1:] if len(row) == CANDIDATES else [])
    return not np.isnan(score) and all(sign * score > sign * kept.score for kept in rivals)


def _with(row: list[Thumbnail], thumbnail: Thumbnail, sign: int) -> list[Thumbnail]:
    """A row with one more picture in place of that of its stretch of images, or else of the last."""
    others = [kept for kept in row if kept.index // APART != thumbnail.index // APART]
    return sorted([*others, thumbnail], key=lambda kept: -sign * kept.score)[:CANDIDATES]


def _apart(row: list[Thumbnail]) -> list[Thumbnail]:
    """The first of a row that are no neighbours of one before them."""
    shown: list[Thumbnail] = []
    for thumbnail in row:
        if all(abs(thumbnail.index - kept.index) >= APART for kept in shown):
            shown.append(thumbnail)
    return shown[:EACH]


def picture(step: Step, numbers: Mapping[int, int] = MappingProxyType({})) -> np.ndarray:
    """The image with its tracks, and the outlines of the truth in the colours of the true objects, small.

    numbers: the id of the true object by that of the track, so that both have one colour.
    """
    image = step.moment.frame.image
    size = (WIDTH, max(round(image.shape[0] * WIDTH / image.shape[1]), 1))
    tracks = [
        replace(track, id=numbers.get(track.id, track.id), mask=_small(track.mask, size)) for track in step.tracks
    ]
    small = overlay(cv2.resize(image, size, interpolation=cv2.INTER_AREA), tracks, LETTERS)
    for number, mask in step.moment.truth.masks.items() if step.moment.truth else ():
        outline(small, _small(mask, size), number, LETTERS)
    return small


def _small(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An (H, W) bool mask in another size (width, height)."""
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
