"""Masks in the run-length code of COCO, which SA-V and YouTube-VOS use too.

Runs go down the columns and start with the background.  The compressed form is a text: each
run, from the fourth on its difference to the one before the last, in groups of five bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sam2_ros.errors import RecordingError

_BITS, _MORE, _SIGN, _FIRST_LETTER = 5, 0x20, 0x10, 48


def encode(mask: np.ndarray) -> dict[str, Any]:
    """An (H, W) bool mask as {"size": [H, W], "counts": text}."""
    flat = np.asarray(mask, bool).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return {"size": [int(side) for side in mask.shape], "counts": compress(runs.tolist())}


def decode(code: Mapping[str, Any]) -> np.ndarray:
    """The (H, W) bool mask of a code, compressed (text or bytes) or as a list of runs.

    Raises RecordingError when it is damaged.
    """
    counts, size = code["counts"], tuple(code["size"])
    runs = np.array(counts if isinstance(counts, list) else decompress(counts), np.int64)
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise RecordingError(f"a run-length code for {size[1]}x{size[0]} pixels describes {runs.sum()} of them")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")


def compress(runs: Sequence[int]) -> str:
    """Runs as text."""
    letters = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            group, value = value & (_MORE - 1), value >> _BITS
            more = value != (-1 if group & _SIGN else 0)
            letters.append(chr((group | _MORE if more else group) + _FIRST_LETTER))
    return "".join(letters)


def decompress(text: str | bytes) -> list[int]:
    """Runs from text.  Raises RecordingError when it ends in the middle of a run."""
    letters = text.encode("ascii") if isinstance(text, str) else text
    runs: list[int] = []
    value, shift = 0, 0
    for letter in letters:
        group = letter - _FIRST_LETTER
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise RecordingError("a run-length code ends in the middle of a run")
    return runs
