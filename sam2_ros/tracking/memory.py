"""Which past frames an object may look at: the Protocol of a memory rule, and the rule of SAM 2.

A rule never looks into the tokens and pointers that it keeps, so it needs no torch.
An index is the order of arrival of a frame, not its time: a stream drops frames.

Rules of SAM 2 (paper section 4, "memory bank"; figures from the released configuration):

* a *prompted* frame, for which a prompt was given, is seen from any distance;
* a *recent* frame is seen as a memory for six frames and as a pointer for fifteen;
* at most ``max_prompted`` prompted frames take part: the first one that was given, always,
  and the nearest others.  A prompted frame that was not chosen still counts as a recent frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Tokens = TypeVar("Tokens")
Pointer = TypeVar("Pointer")

#: How many frames back a memory is seen; one time code each, and one for prompted frames.
RECENT_MEMORIES = 6
#: How many frames back an object pointer is seen.
RECENT_POINTERS = 15
#: This many frames before a corrected one lose what was remembered of them: it may be of the wrong thing.
FORGOTTEN_BEFORE_CORRECTION = RECENT_MEMORIES + 1
#: The time code of every prompted frame; a recent frame has its distance minus one.
PROMPTED_TIME_CODE = RECENT_MEMORIES


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What was found of one object on one frame: all that a rule may go by.

    index: the frame's order of arrival.  seconds: its acquisition time; None where the camera does not say.
    prompted: whether the object was prompted on it.
    object_score: raw logit, positive where the object is seen.
    ious: the predicted IoU of each candidate.  chosen: the place among them of the one that is the answer.
    logits: (K, a, a), the candidates themselves.  They are a part of what all objects share: a rule that
    wants to keep something of them copies it.
    """

    index: int
    prompted: bool = False
    seconds: float | None = None
    object_score: float = 0.0
    ious: tuple[float, ...] = ()
    chosen: int = 0
    logits: Tensor | None = None

    @property
    def areas(self) -> tuple[int, ...]:
        """The area of each candidate in pixels of the model's mask; computed when it is asked for."""
        if self.logits is None:
            return ()
        return tuple((self.logits > 0).flatten(1).sum(1).tolist())


@dataclass(frozen=True, slots=True)
class Past(Generic[Tokens, Pointer]):
    """What one object sees of its past from one frame."""

    tokens: list[tuple[Tokens, int]]  # of a memory, time code
    pointers: list[tuple[Pointer, int]]  # pointer, distance in frames (positive = in the past)

    @property
    def lengths(self) -> tuple[int, int]:
        """Objects with equal lengths can be batched."""
        return len(self.tokens), len(self.pointers)


class MemoryRule(Protocol[Tokens, Pointer]):
    """The memories of one object: which are kept, and which are seen from a frame.

    A tracker asks for ``past`` before it looks at a frame and calls ``keep`` afterwards; frames may be gone through
    again after a late prompt, so both may be called with an index again.  ``prune`` is the bound: what is held must
    not grow with the stream.
    """

    #: Tells memories of this rule from those of another.
    name: ClassVar[str]

    @property
    def prompted(self) -> list[int]:
        """Indices of the prompted frames that are kept, in order."""

    def __len__(self) -> int:
        """Number of memories held."""

    def has_past(self, index: int) -> bool:
        """Whether any frame before ``index`` is remembered."""

    def keep(self, sighting: Sighting, tokens: Tokens, pointer: Pointer) -> None:
        """Remember a frame, or not."""

    def past(self, index: int, seconds: float | None = None) -> Past[Tokens, Pointer]:
        """What the object sees from frame ``index``, taken at ``seconds``: never that frame itself.

        Where ``has_past`` is true, it sees at least one memory and one pointer.
        """

    def forget_stale(self, index: int, *, corrected: bool) -> None:
        """Drop what a prompt on frame ``index`` made doubtful.

        corrected: whether the prompt corrects an object that was followed before.
        """

    def rewind(self) -> None:
        """The frames come again from the first one: only what was prompted is remembered, at its place."""

    def prune(self, oldest: int) -> None:
        """Drop all that can never be seen again from frame ``oldest`` or a later one."""

    def export(self, newest: int) -> dict[str, Any]:
        """All that can be seen from frames after ``newest``, as memories, pointers and numbers in lists and dicts.

        Indices in it are counted from ``newest``: 0 is that frame, -1 the one before.
        """

    def restore(self, contents: dict[str, Any], newest: int) -> None:
        """Hold what was exported, as if it had been found up to frame ``newest`` of this stream."""


@dataclass(slots=True)
class MemoryBank(Generic[Tokens, Pointer]):
    """The rule of SAM 2, bounded by ``prune``; ``MemoryRule`` says what each method is for.

    max_prompted: how many prompted frames take part; None = all (then nothing bounds them).
    """

    name: ClassVar[str] = "sam2"

    max_prompted: int | None = None
    _first: int | None = None  # index of the first prompt that was given
    _rewound: bool = False
    _prompted: dict[int, tuple[Tokens, Pointer]] = field(default_factory=dict)
    _tokens: dict[int, Tokens] = field(default_factory=dict)
    _pointers: dict[int, Pointer] = field(default_factory=dict)

    @property
    def prompted(self) -> list[int]:
        return sorted(self._prompted)

    def __len__(self) -> int:
        return len(self._prompted) + len(self._tokens)

    def has_past(self, index: int) -> bool:
        return any(kept < index for kept in (*self._prompted, *self._tokens))

    def keep(self, sighting: Sighting, tokens: Tokens, pointer: Pointer) -> None:
        """Remember every frame; a prompted frame takes the place of an unprompted one, never the reverse."""
        index = sighting.index
        if sighting.prompted:
            self._first = index if self._first is None else self._first
            self.forget_unprompted(index, index)
            self._prompted[index] = (tokens, pointer)
        elif index not in self._prompted:
            self._tokens[index], self._pointers[index] = tokens, pointer

    def past(self, index: int, seconds: float | None = None) -> Past[Tokens, Pointer]:
        """What the object sees from frame ``index``; this rule counts frames, not the time between them."""
        chosen = self._chosen(index)
        aside = {kept: both for kept, both in self._prompted.items() if kept not in chosen}
        recent_tokens = {**self._tokens, **{kept: tokens for kept, (tokens, _) in aside.items()}}
        recent_pointers = {**self._pointers, **{kept: pointer for kept, (_, pointer) in aside.items()}}
        tokens = [(self._prompted[kept][0], PROMPTED_TIME_CODE) for kept in chosen]
        for distance in range(RECENT_MEMORIES, 0, -1):
            if index - distance in recent_tokens:
                tokens.append((recent_tokens[index - distance], distance - 1))
        pointers = [(self._prompted[kept][1], index - kept) for kept in chosen if kept < index]
        for distance in range(1, RECENT_POINTERS + 1):
            if index - distance in recent_pointers:
                pointers.append((recent_pointers[index - distance], distance))
        return Past(tokens, pointers)

    def forget_unprompted(self, first: int, last: int | None = None) -> None:
        """Drop the unprompted memories of frames ``first`` to ``last`` (None = to the newest)."""
        for memories in (self._tokens, self._pointers):
            for index in [kept for kept in memories if kept >= first and (last is None or kept <= last)]:
                del memories[index]

    def forget_stale(self, index: int, *, corrected: bool) -> None:
        """Drop the unprompted memories since the prompted frame and, after a correction, shortly before it."""
        self.forget_unprompted(index - (FORGOTTEN_BEFORE_CORRECTION if corrected else 0))

    def rewind(self) -> None:
        # What is behind may come again, so nothing prompted is dropped from now on.  The bound is the number of
        # prompts that are given while going through a recording several times.
        self._rewound = True
        self._tokens.clear()
        self._pointers.clear()

    def prune(self, oldest: int) -> None:
        self._tokens = {i: kept for i, kept in self._tokens.items() if i >= oldest - RECENT_MEMORIES}
        self._pointers = {i: kept for i, kept in self._pointers.items() if i >= oldest - RECENT_POINTERS}
        if self.max_prompted is None or self._rewound:
            return
        horizon = oldest - RECENT_POINTERS  # a prompted frame set aside is seen as a recent one up to here
        past = sorted(index for index in self._prompted if index < oldest and index != self._first)
        nearest = past[max(len(past) - self.max_prompted + 1, 0) :]
        self._prompted = {
            index: kept
            for index, kept in self._prompted.items()
            if index >= horizon or index == self._first or index in nearest
        }

    def export(self, newest: int) -> dict[str, Any]:
        seen = replace(self)
        seen.prune(newest + 1)
        return {
            "first": None if seen._first is None else seen._first - newest,
            "prompted": {index - newest: kept for index, kept in seen._prompted.items()},
            "tokens": {index - newest: kept for index, kept in seen._tokens.items()},
            "pointers": {index - newest: kept for index, kept in seen._pointers.items()},
        }

    def restore(self, contents: dict[str, Any], newest: int) -> None:
        self._first = None if contents["first"] is None else contents["first"] + newest
        self._prompted = {index + newest: kept for index, kept in contents["prompted"].items()}
        self._tokens = {index + newest: kept for index, kept in contents["tokens"].items()}
        self._pointers = {index + newest: kept for index, kept in contents["pointers"].items()}

    def _chosen(self, index: int) -> list[int]:
        """The prompted frames that take part when looking from ``index``, in order."""
        others = sorted(
            (kept for kept in self._prompted if kept not in (index, self._first)),
            key=lambda kept: (abs(kept - index), kept),
        )
        first = [self._first] if self._first in self._prompted and self._first != index else []
        if self.max_prompted is not None:
            others = others[: max(self.max_prompted - len(first), 0)]
        return sorted(first + others)
