"""Pictures for people: tracks over their image, and contact sheets.  RGB in, RGB out."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np

from sam2_ros.types import State, Track

#: How strongly an object's colour tints its pixels.
TINT = 0.4
#: Turning the hue by this part of a circle gives well-separated colours for any number of ids.
GOLDEN_ANGLE = 0.381966


def colour(object_id: int) -> tuple[int, int, int]:
    """The RGB colour of an object, the same in every picture."""
    hue = (0.02 + GOLDEN_ANGLE * (object_id - 1)) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay(
    image: np.ndarray, tracks: Iterable[Track], unit: float = 0.0, notes: Mapping[int, str] | None = None
) -> np.ndarray:
    """A copy of ``image`` (H, W, 3) with each object tinted, outlined and named (``label_of``) with its state.

    Objects that are not visible are listed in the top-left corner.
    unit: scale of lines and letters; 0 = in proportion to the picture.  notes: what is written behind the names, by id.
    """
    picture: np.ndarray = image.copy()
    notes = notes or {}
    unit = unit or max(picture.shape[0] / 480, 0.4)
    unseen = 0
    for track in tracks:
        paint = colour(track.id)
        box = track.box
        if box is None:
            unseen += 1
            # The state waits for a clear score before it changes.
            word = "not seen" if track.state == State.VISIBLE else track.state.name.lower()
            label = f"{label_of(track)}: {word}" + (f", {notes[track.id]}" if track.id in notes else "")
            _write(picture, label, (4 * unit, 18 * unit * unseen), paint, unit)
            continue
        _tint(picture, track.mask, box, paint, unit)
        label = f"{label_of(track)} {notes.get(track.id, '')}".rstrip()
        if track.state != State.VISIBLE:
            label += f": {track.state.name.lower()}"
        _write(picture, label, (box[0], max(box[1] - 5 * unit, 13 * unit)), paint, unit)
    return picture


def outline(picture: np.ndarray, mask: np.ndarray, object_id: int, unit: float = 1.0) -> None:
    """Draw the edge of a true ``mask`` into ``picture``: the object's colour between white lines, with its id."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for paint, thickness in (((255, 255, 255), 3), (colour(object_id), 1)):
        cv2.drawContours(picture, outlines, -1, paint, thickness)
    middle = np.flatnonzero(mask[rows[-1]]).mean()
    _write(picture, str(object_id), (middle - 5 * unit, rows[-1] + 14 * unit), colour(object_id), unit)


def label_of(track: Track) -> str:
    """What a picture calls an object: its name, or "#" and its id, since OpenCV draws only ASCII letters."""
    return track.name if track.name.isascii() and track.name.isprintable() else f"#{track.id}"


def contact_sheet(
    images: Sequence[np.ndarray], columns: int, captions: Sequence[str] | None = None, width: int = 320
) -> np.ndarray:
    """``images`` in rows of ``columns``, each scaled to ``width`` pixels, with its caption in the corner."""
    height = round(width * max(image.shape[0] / image.shape[1] for image in images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * height, columns * width, 3), 32, np.uint8)
    for place, image in enumerate(images):
        scale = min(width / image.shape[1], height / image.shape[0])
        size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
        tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if captions:
            _write(tile, captions[place], (4, tile.shape[0] - 6), (255, 255, 255), 1.0)
        y, x = place // columns * height, place % columns * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet


def _tint(
    picture: np.ndarray, mask: np.ndarray, box: tuple[int, int, int, int], paint: tuple[int, int, int], unit: float
) -> None:
    """Tint and outline ``mask``; for speed only its box is touched."""
    x0, y0, x1, y1 = box
    inside = np.ascontiguousarray(mask[y0 : y1 + 1, x0 : x1 + 1])
    part = picture[y0 : y1 + 1, x0 : x1 + 1]
    part[inside] = (part[inside] * (1 - TINT) + np.multiply(paint, TINT)).astype(np.uint8)
    outlines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
    cv2.drawContours(picture, outlines, -1, paint, max(round(2 * unit), 1))


def _write(
    picture: np.ndarray, text: str, place: tuple[float, float], paint: tuple[int, int, int], unit: float
) -> None:
    """Write ``text`` on a plate of its colour, readable on any background, and inside the picture if it fits.

    Each letter that is not ASCII becomes "?".
    """
    text, size, thickness = text.encode("ascii", "replace").decode(), 0.5 * unit, max(round(1.2 * unit), 1)
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
    rim = round(2 * unit)
    x = max(min(round(place[0]), picture.shape[1] - width - rim), rim)
    y = max(min(round(place[1]), picture.shape[0] - below), height + rim)
    cv2.rectangle(picture, (x - rim, y - height - rim), (x + width + rim, y + below), paint, cv2.FILLED)
    bright = np.dot(paint, (0.299, 0.587, 0.114)) > 128
    letters = (0, 0, 0) if bright else (255, 255, 255)
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, letters, thickness, cv2.LINE_AA)
