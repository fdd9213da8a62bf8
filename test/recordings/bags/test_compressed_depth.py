import contextlib
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from sam2_ros.errors import InvalidImage
from sam2_ros.recordings.bags.compressed_depth import decompressed


def nibbles_of(number):
    """Three bits each, the lowest first; the fourth says that more follow."""
    while number > 7:
        yield number & 7 | 8
        number >>= 3
    yield number


def rvl(depth):
    """An encoder of its own, pixel by pixel, as the paper tells it."""
    flat, nibbles, before, place = [int(value) for value in depth.ravel()], [], 0, 0
    while place < len(flat):
        for wanted in (False, True):
            run = 0
            while place + run < len(flat) and bool(flat[place + run]) is wanted:
                run += 1
            nibbles += nibbles_of(run)
            for value in flat[place : place + run] if wanted else ():
                step, before = value - before, value
                nibbles += nibbles_of(2 * step if step >= 0 else -2 * step - 1)
            place += run
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        int("".join(f"{nibble:x}" for nibble in nibbles[start : start + 8]), 16) for start in range(0, len(nibbles), 8)
    ]
    return struct.pack(f"<II{len(words)}I", depth.shape[1], depth.shape[0], *words)


def message(content, kind="16UC1; compressedDepth rvl", scale=(0.0, 0.0)):
    return SimpleNamespace(format=kind, data=np.frombuffer(struct.pack("<iff", 0, *scale) + content, np.uint8))


def test_a_picture_worked_out_by_hand_is_read():
    # 2 unknown; 3 known: +1 -> 2, +4 -> 8 (0 with more, then 1), -1 -> 1; 1 unknown; 0 known.
    word = 0x2_3_2_8_1_1_1_0
    assert decompressed(message(struct.pack("<III", 3, 2, word))).tolist() == [[0, 0, 1], [5, 4, 0]]


@pytest.mark.parametrize("known", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_any_mixture_of_known_and_unknown_pixels_is_read_to_the_last_bit(known):
    random = np.random.default_rng(7)
    depth = random.integers(1, 65536, (31, 45)) * (random.random((31, 45)) < known)
    assert (decompressed(message(rvl(depth))) == depth).all()


def test_inverse_depth_becomes_metres():
    inverse = np.array([[0, 52, 27]])
    depth = decompressed(message(rvl(inverse), "32FC1; compressedDepth rvl", (100.0, 2.0)))
    assert np.isnan(depth[0, 0]) and depth[0, 1:].tolist() == [2.0, 4.0]


GOOD = rvl(np.arange(1, 401).reshape(20, 20))


@pytest.mark.parametrize(
    "content",
    [
        GOOD[:-40],
        GOOD[:8],
        GOOD[:5],
        b"",
        struct.pack("<II", 60000, 60000) + GOOD[8:],
        struct.pack("<II", 20, 19) + GOOD[8:],
        GOOD[:8] + b"\xff" * 80,
    ],
)
def test_damaged_pictures_are_refused_in_words(content):
    with pytest.raises(InvalidImage, match="damaged|bytes"):
        decompressed(message(content))


def test_noise_never_does_more_than_be_refused():
    random = np.random.default_rng(3)
    for _ in range(200):
        noise = struct.pack("<II", 16, 12) + random.bytes(96)
        with contextlib.suppress(InvalidImage):
            assert decompressed(message(noise)).shape == (12, 16)
