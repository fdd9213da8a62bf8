"""What the fuzz tests of this folder share: damaged bytes, odd values, and doors that count who comes through.

A door is whatever takes somebody else's data: a message, a file, a command line.  It may let the data in
or refuse it with an exception of ``sam2_ros.errors``; nothing else may come out.  Each test runs a few inputs in
the suite; ``make fuzz`` runs many (the variable SAM2_ROS_FUZZ says how many for each door).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from sam2_ros.errors import Sam2RosError

#: Inputs for each door in the suite, and when somebody asks for more.
IN_SUITE = 25
ASKED = int(os.environ.get("SAM2_ROS_FUZZ", "0"))

#: Inputs that came to each door, and those that were refused.
CAME: Counter[str] = Counter()
REFUSED: Counter[str] = Counter()


def fuzz(share: float = 1.0) -> Callable[[Any], Any]:
    """Settings of a fuzz test; share: of the usual number of inputs in the suite, less where one input takes long."""
    return settings(
        max_examples=ASKED or max(int(IN_SUITE * share), 5),
        derandomize=not ASKED,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def door(name: str) -> Iterator[None]:
    """One input comes to the door: refusals of our own are counted, every other exception fails the test."""
    CAME[name] += 1
    try:
        yield
    except Sam2RosError as error:
        assert str(error).strip(), "a refusal says something"
        REFUSED[name] += 1


def _replaced(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def _edited(data: bytes, kind: str, share: float, piece: bytes) -> bytes:
    at = min(int(share * len(data)), max(len(data) - 1, 0))
    if kind == "cut":
        return data[:at]
    if kind == "flip":
        return _replaced(data, at, bytes([data[at] ^ (piece[0] | 1)])) if data else data
    if kind == "replace":
        return _replaced(data, at, piece)
    if kind == "insert":
        return data[:at] + piece + data[at:]
    if kind == "remove":
        return data[:at] + data[at + len(piece) :]
    if kind == "repeat":
        return data + data[at:]
    return data[:at] + b"\xff" * len(piece) + data[at + len(piece) :]


_PIECES = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.sampled_from(
        [b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\xea\x60", b"\xff\xd9"]
    ),
)
#: Half of the edits lie in the first percent of a file, where its header is.
_PLACES = st.one_of(st.floats(0.0, 1.0), st.floats(0.0, 0.01))
_EDITS = st.tuples(
    st.sampled_from(["cut", "flip", "flip", "replace", "insert", "remove", "repeat", "ones"]), _PLACES, _PIECES
)


@st.composite
def damaged(draw: Any, originals: Sequence[bytes], most: int = 5) -> bytes:
    """Valid bytes with some damage, mostly behind a valid beginning; sometimes undamaged, or random bytes."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    data = draw(st.sampled_from(originals))
    for kind, share, piece in draw(st.lists(_EDITS, max_size=most)):
        data = _edited(data, kind, share, piece)
    return data


#: Numbers that somebody else's fields hold.
floats = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-200, 200),
    st.sampled_from([0.0, -0.0, 0.5, 1e-320, 1e38, -1e38, 1e308, float("nan"), float("inf")]),
)
small = st.integers(-3, 300)
#: Texts with signs that mean something elsewhere, and with halves of characters (bytes that were not UTF-8).
texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "cup", "a/b", "../up", "a\x00b", "%05d", "-x", "caf\udce9", "ü", "コップ", "x" * 300, "\n", "#?"]
    ),
)

#: What may stand anywhere in a JSON or YAML file.
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), floats, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


def places_in(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to everything in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places_in(item, (*path, key))


def with_value(value: Any, path: tuple, new: Any, remove: bool) -> Any:
    """A JSON value in which what lies at ``path`` is another thing, or is missing."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if remove and len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = with_value(value[path[0]], path[1:], new, remove)
    return copy


@st.composite
def changed(draw: Any, original: Any) -> Any:
    """A JSON value in which one to three places hold something else or are missing."""
    value = original
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places_in(value))))
        value = with_value(value, path, draw(json_values), remove=draw(st.booleans()))
    return value
