"""What the camera of the end-to-end tests sees; needs numpy alone, so that its process starts quickly."""

from __future__ import annotations

import numpy as np

RED, BLUE = (255, 0, 0), (0, 0, 255)
#: Nanoseconds between two images.
PERIOD = 50_000_000


def boxes(number: int, size: tuple[int, int]) -> dict[tuple[int, int, int], tuple[int, int, int, int]]:
    """Where the red and the blue square are on image ``number``: colour -> x0, y0, x1, y1."""
    height, width = size
    side = height // 4
    travel = int(number % 100 / 100 * (width - side))
    return {
        RED: (travel, side // 2, travel + side - 1, side // 2 + side - 1),
        BLUE: (width - side - travel, 5 * side // 2, width - travel - 1, 7 * side // 2 - 1),
    }


def scene(number: int, size: tuple[int, int]) -> np.ndarray:
    """Image ``number``: a red square that moves to the right, a blue one that moves to the left."""
    image = np.zeros((*size, 3), np.uint8)
    for colour, (x0, y0, x1, y1) in boxes(number, size).items():
        image[y0 : y1 + 1, x0 : x1 + 1] = colour
    return image
