"""The distractor-aware memory rule: frames with a look-alike are kept for longer (DAM4SAM, arXiv 2411.17576).

* An *anchor* is an unprompted frame on which the answer was sure and of its usual size, while another answer lay
  elsewhere: a look-alike was near and was told apart.  It is seen from any distance, as a prompted frame is.
  The nearest three take part, fewer beside two or more prompted frames.
* A *recent* frame is one on which the object was visible.  The newest is seen, and of those before it every fifth,
  as many as make seven memories with prompted frames and anchors.
* Frames on which the object was hidden are not remembered.

Pointers are seen as under the rule of SAM 2, if the object was visible.  Three things differ from the published code:
it looks for look-alikes in masks of the video's size, here it is the model's masks; it gives anchors the time code of a
prompted frame only if seven memories are seen, here they always have it; and it chooses among three masks for up to
three clicks, here for one, as under the rule of SAM 2.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from sam2_ros.tracking.memory import (
    FORGOTTEN_BEFORE_CORRECTION,
    PROMPTED_TIME_CODE,
    RECENT_MEMORIES,
    RECENT_POINTERS,
    MemoryBank,
    Past,
    Pointer,
    Sighting,
    Tokens,
)
from sam2_ros.types import box_of

#: Memories that are seen together; of these at most four are prompted frames or anchors, and three anchors.
MEMORIES, LASTING, ANCHORS = 7, 4, 3
#: Before the newest frame every frame at this distance from the first prompted one is seen.
STRIDE = 5
#: An anchor's predicted IoU is above this, ...
SURE = 0.8
#: ... its area within these shares of the median of the newest areas, ...
USUAL = (0.8, 1.2)
#: ... of this many frames among that many, itself included, ...
AREAS, AREA_HORIZON = 10, 300
#: ... and it is more than this many frames after the anchor before it.
APART = 5
#: A look-alike is near when the box of the answer covers at most this share of its box with a piece of another answer.
DISTRACTED = 0.7


@dataclass
class DistractorAwareMemory(MemoryBank[Tokens, Pointer]):
    """The rule of this module, bounded by ``prune``; ``max_prompted`` as under the rule of SAM 2."""

    name: ClassVar[str] = "distractor_aware"

    _anchors: dict[int, tuple[Tokens, Pointer]] = field(default_factory=dict)
    _areas: dict[int, int] = field(default_factory=dict)  # of every answer that shows the object, prompted or not

    def __len__(self) -> int:
        """Number of memories held."""
        return super().__len__() + len(self._anchors)

    def has_past(self, index: int) -> bool:
        """Whether any frame before ``index`` is remembered."""
        return super().has_past(index) or any(kept < index for kept in self._anchors)

    def keep(self, sighting: Sighting, tokens: Tokens, pointer: Pointer) -> None:
        """Remember a frame that was prompted, or on which the object was visible."""
        index, areas = sighting.index, sighting.areas
        area = areas[sighting.chosen] if areas else 0
        if sighting.prompted:
            super().keep(sighting, tokens, pointer)
        elif index not in self._prompted:
            self.forget_unprompted(index, index)
            if area:
                tokens, pointer = _copied(tokens), _copied(pointer)
            if self._is_anchor(sighting, area):
                self._anchors[index] = (tokens, pointer)
            elif area:
                self._tokens[index], self._pointers[index] = tokens, pointer
        if area:
            self._areas[index] = area

    def past(self, index: int, seconds: float | None = None) -> Past[Tokens, Pointer]:
        """What the object sees from frame ``index``; this rule counts frames, whatever time lies between them."""
        chosen = self._chosen(index)
        lasting = {kept: self._prompted[kept] for kept in chosen}
        lasting |= {kept: self._anchors[kept] for kept in self._nearest_anchors(index, len(chosen))}
        aside = {kept: self._prompted[kept] for kept in self._prompted if kept not in lasting and kept < index}
        recent = self._recent(index, aside, max(MEMORIES - len(lasting), 1))
        tokens = [(lasting[kept][0], PROMPTED_TIME_CODE) for kept in sorted(lasting)]
        tokens += [
            (self._tokens[kept] if kept in self._tokens else aside[kept][0], code)
            for code, kept in reversed(list(enumerate(recent)))
        ]
        pointers = [(lasting[kept][1], index - kept) for kept in sorted(lasting) if kept < index]
        for kept in sorted(kept for kept in (*self._pointers, *aside) if 0 < index - kept <= RECENT_POINTERS)[::-1]:
            pointers.append((self._pointers[kept] if kept in self._pointers else aside[kept][1], index - kept))
        if not pointers:  # hidden ever since a prompted frame that does not take part
            newest = max(kept for kept in self._prompted if kept < index)
            pointers = [(self._prompted[newest][1], index - newest)]
        return Past(tokens, pointers)

    def forget_unprompted(self, first: int, last: int | None = None) -> None:
        """Drop the unprompted memories of frames ``first`` to ``last`` (None = to the newest)."""
        super().forget_unprompted(first, last)
        for memories in (self._anchors, self._areas):
            for index in [kept for kept in memories if kept >= first and (last is None or kept <= last)]:
                del memories[index]

    def forget_stale(self, index: int, *, corrected: bool) -> None:
        """Drop the unprompted memories since the prompted frame; after a correction shortly before it, and all anchors.

        We do not know when tracking failed, and a wrong anchor would be seen until newer ones take its place.
        """
        super().forget_stale(index, corrected=corrected)
        if corrected:
            self._anchors.clear()

    def rewind(self) -> None:
        """The frames come again from the first one: only what was prompted is remembered, at its place."""
        super().rewind()
        self._anchors.clear()
        self._areas.clear()

    def prune(self, oldest: int) -> None:
        """Drop all that can never be seen again from frame ``oldest`` or a later one, also after a correction there."""
        horizon = oldest - FORGOTTEN_BEFORE_CORRECTION
        on_stride = [kept for kept in self._tokens if self._is_on_stride(kept)]
        seen = _since(self._tokens, horizon, 1) | _since(on_stride, horizon, RECENT_MEMORIES)
        tokens = {kept: memory for kept, memory in self._tokens.items() if kept in seen}
        super().prune(oldest)
        self._tokens = tokens
        self._anchors = {kept: self._anchors[kept] for kept in _since(self._anchors, horizon, ANCHORS)}
        self._areas = {kept: self._areas[kept] for kept in _since(self._areas, horizon, AREAS)}

    def export(self, newest: int) -> dict[str, Any]:
        """See MemoryRule."""
        seen = replace(self)
        seen.prune(newest + 1)
        return super().export(newest) | {
            "anchors": {index - newest: kept for index, kept in seen._anchors.items()},
            "areas": {index - newest: area for index, area in seen._areas.items()},
        }

    def restore(self, contents: dict[str, Any], newest: int) -> None:
        """See MemoryRule."""
        super().restore(contents, newest)
        self._anchors = {index + newest: kept for index, kept in contents["anchors"].items()}
        self._areas = {index + newest: area for index, area in contents["areas"].items()}

    def _nearest_anchors(self, index: int, prompted: int) -> list[int]:
        """The anchors that take part beside this many prompted frames, seen from ``index``; newest first."""
        before = sorted((kept for kept in self._anchors if kept < index), reverse=True)
        return before[: min(ANCHORS, max(LASTING - prompted, 0))]

    def _recent(self, index: int, also: Iterable[int], count: int) -> list[int]:
        """The ``count`` recent frames that are seen from ``index``, newest first; also: prompted ones set aside."""
        near = [kept for kept in also if index - kept <= RECENT_MEMORIES]
        past = sorted((kept for kept in (*self._tokens, *near) if kept < index), reverse=True)
        on_stride = [kept for kept in past[1:] if self._is_on_stride(kept)]
        return [*past[:1], *on_stride][: min(count, RECENT_MEMORIES)]

    def _is_on_stride(self, index: int) -> bool:
        return (index - (self._first or 0)) % STRIDE == 0

    def _is_anchor(self, sighting: Sighting, area: int) -> bool:
        """Whether a look-alike was near, and told apart."""
        index, logits = sighting.index, sighting.logits
        if not area or logits is None or sighting.ious[sighting.chosen] <= SURE:
            return False
        if any(index - kept <= APART for kept in self._anchors):
            return False
        newest = sorted((kept for kept in self._areas if index - AREA_HORIZON < kept < index), reverse=True)
        earlier = [self._areas[kept] for kept in newest[: AREAS - 1]]
        if not earlier or not USUAL[0] <= area / statistics.median([area, *earlier]) <= USUAL[1]:
            return False
        return _alike_elsewhere((logits > 0).cpu().numpy(), sighting.chosen)


def _copied(kept: Any) -> Any:
    """A tensor of its own: objects remember different frames here, and each would hold on to those of all objects."""
    return kept.clone() if hasattr(kept, "clone") else kept


def _since(indices: Iterable[int], horizon: int, earlier: int) -> set[int]:
    """Those from ``horizon`` on and the ``earlier`` newest ones before it."""
    before = sorted(kept for kept in indices if kept < horizon)
    return {kept for kept in indices if kept >= horizon} | set(before[-earlier:])


def _alike_elsewhere(masks: NDArray[np.bool_], chosen: int) -> bool:
    """Whether the largest piece that another of the masks (K, a, a) adds to the chosen one lies elsewhere."""
    own = masks[chosen]
    shares = [1.0]
    for place, other in enumerate(masks):
        added = other & ~own
        if place == chosen or not added.any():
            continue
        _, pieces, facts, _ = cv2.connectedComponentsWithStats(added.astype(np.uint8), connectivity=8)
        largest = 1 + int(facts[1:, cv2.CC_STAT_AREA].argmax())
        shares.append(_box_area(own) / _box_area(own | (pieces == largest)))
    return min(shares) <= DISTRACTED


def _box_area(mask: NDArray[np.bool_]) -> int:
    box = box_of(mask)
    return 0 if box is None else (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
