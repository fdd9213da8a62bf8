import struct
import zlib

import cv2
import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.labels import encode_labels
from sam2_ros.recordings.png import GREY, SIGNATURE, chunk, palette, stored_values

LABELS = np.array([[0, 1, 16], [255, 254, 0]], np.uint8)


def test_a_palette_picture_gives_its_indices():
    assert (stored_values(encode_labels(LABELS)) == LABELS).all()


def test_a_grey_picture_gives_its_values_with_all_their_bits():
    wide = LABELS.astype(np.uint16) * 200
    assert (stored_values(encode_labels(wide)) == wide).all()


def test_black_and_white_stay_what_they_are():
    mask = np.array([[0, 255]], np.uint8)
    assert (stored_values(cv2.imencode(".png", mask)[1].tobytes()) == mask).all()


def as_png(values):
    return cv2.imencode(".png", values)[1].tobytes()


def packed_png(labels, depth, kind, *more):
    """A PNG of fewer bits for each pixel, as other tools write them for few objects; more: parts after the header."""
    bits = ((labels[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(len(labels), -1).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))
    header = struct.pack(">IIBBBBB", labels.shape[1], len(labels), depth, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_values_of_few_bits_are_not_stretched(depth):
    labels = np.arange(24).reshape(4, 6).astype(np.uint8) % 2**depth
    assert (stored_values(packed_png(labels, depth, GREY)) == labels).all()


MASK = np.zeros((8, 10), bool)
MASK[2:5, 3:7] = True


@pytest.mark.parametrize("colour", [0, 255, "photograph"])
def test_a_mask_in_the_alpha_channel_is_used(colour):
    picture = np.random.default_rng(0).integers(0, 255, (8, 10, 4)).astype(np.uint8)
    if colour != "photograph":
        picture[:] = colour
    picture[..., 3] = np.where(MASK, 250, 3)
    assert (stored_values(as_png(picture)) == np.where(MASK, 255, 0)).all()


def test_grey_labels_keep_their_values_beside_an_alpha_channel_that_says_the_same_or_nothing():
    labels = np.where(MASK, 3, 0).astype(np.uint8)
    for alpha in (np.full_like(labels, 255), np.where(MASK, 255, 0).astype(np.uint8)):
        assert (stored_values(as_png(np.dstack([labels] * 3 + [alpha]))) == labels).all()
    with pytest.raises(RecordingError, match="another one in its alpha channel"):
        stored_values(as_png(np.dstack([labels] * 3 + [np.where(MASK.T.reshape(8, 10), 255, 0).astype(np.uint8)])))


def test_colours_of_the_palette_are_its_numbers_and_others_are_refused():
    colours = palette()[LABELS][..., ::-1].copy()
    colours[LABELS == 255] = 0  # grey in the palette, as black is
    assert (stored_values(as_png(colours)) == np.where(LABELS == 255, 0, LABELS)).all()
    colours[0, 0] = (1, 2, 3)
    with pytest.raises(RecordingError, match="colour picture"):
        stored_values(as_png(colours))


@pytest.mark.parametrize("changed", ["flipped", "cut"])
def test_a_damaged_label_image_is_no_other_label_image(changed):
    data = bytearray(encode_labels(np.tile(LABELS, (20, 20))))
    place = data.index(b"IDAT") + 12
    data[place] ^= 4
    with pytest.raises(
        RecordingError, match="is damaged in its part IDAT" if changed == "flipped" else "ends too early"
    ):
        stored_values(bytes(data) if changed == "flipped" else encode_labels(LABELS)[:-12])
