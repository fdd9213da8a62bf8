"""A written table of arrivals, and the pairs that are right."""

import pytest

from sam2_ros.geometry.pairing import Pairing

#: What comes in this order (i = image, d = depth, stamps in milliseconds), and the pairs (image, depth) in theirs.
TABLE = {
    "equal stamps, the image first": ("i0 d0 i33 d33 i67 d67", [(0, 0), (33, 33), (67, 67)]),
    "equal stamps, depth first": ("d0 i0 d33 i33", [(0, 0), (33, 33)]),
    "near stamps": ("i0 d5 i33 d38 i67 d72", [(0, 5), (33, 38), (67, 72)]),
    "depth is late by two images": ("i0 i33 i67 d0 i100 d33 d67", [(0, 0), (33, 33), (67, 67)]),
    "images are late": ("d0 d33 i0 d67 i33 i67", [(0, 0), (33, 33), (67, 67)]),
    "half as much depth": ("i0 d0 i33 i67 d67 i100 i133 d133", [(0, 0), (67, 67), (133, 133)]),
    "twice as much depth": ("i0 d0 d17 i33 d33 d50 i67 d67", [(0, 0), (33, 33), (67, 67)]),
    "the nearest of two": ("i100 i112 d108", [(112, 108)]),
    "each only once": ("i100 d100 d101 i110", [(100, 100), (110, 101)]),
    "too far apart": ("i0 d15 i40 d25", []),
    "in the wrong order": ("i33 i0 d33 d0", [(33, 33), (0, 0)]),
    "a lost depth image": ("i0 d0 i33 i67 d67", [(0, 0), (67, 67)]),
    "the earlier of two equally near ones": ("i100 i110 d105", [(100, 105)]),
    "the camera starts again": ("i5000 d5000 i5033 i100 d100 i133 d133", [(5000, 5000), (100, 100), (133, 133)]),
    "the depth starts again first": ("i5000 d5000 i5033 d100 d133 i100 i133", [(5000, 5000), (100, 100), (133, 133)]),
    "the clock of depth is set back": (
        " ".join(f"d{90_000 + 33 * number}" for number in range(200)) + " i33 d33 i67 d67",
        [(33, 33), (67, 67)],
    ),
    "depth is late by two seconds": ("i33 i1000 i2033 d33 i3000 d1000 d2033", [(33, 33), (1000, 1000), (2033, 2033)]),
}


def pairs_of(arrivals, make=Pairing):
    pairs = []
    pairing = make(lambda image, depth: pairs.append((image // 10**6, depth)), 15 * 10**6)
    for arrival in arrivals.split():
        stamp = int(arrival[1:])
        if arrival[0] == "i":
            pairing.image(stamp * 10**6)
        else:
            pairing.depth(stamp * 10**6, stamp)
    return pairs


@pytest.mark.parametrize("name", TABLE)
def test_images_and_depth_are_paired_as_the_table_says(name):
    arrivals, pairs = TABLE[name]
    assert pairs_of(arrivals) == pairs


def test_few_depth_images_wait_and_the_oldest_is_dropped():
    arrivals = " ".join(f"d{40 * number}" for number in range(12))
    assert pairs_of(f"{arrivals} i0 i80") == [(80, 80)]


def test_images_wait_for_depth_that_is_computed_and_seconds_late():
    arrivals = " ".join(f"i{33 * number}" for number in range(155))
    assert pairs_of(f"{arrivals} d0 d132 d165 d4950") == [(165, 165), (4950, 4950)]
