import cv2
import numpy as np

from sam2_ros.evaluation.labels import encode_labels
from sam2_ros.png import stored_values

LABELS = np.array([[0, 1, 16], [255, 254, 0]], np.uint8)


def test_a_palette_picture_gives_its_indices():
    assert (stored_values(encode_labels(LABELS)) == LABELS).all()


def test_a_grey_picture_gives_its_values_with_all_their_bits():
    wide = LABELS.astype(np.uint16) * 200
    assert (stored_values(encode_labels(wide)) == wide).all()


def test_black_and_white_stay_what_they_are():
    mask = np.array([[0, 255]], np.uint8)
    assert (stored_values(cv2.imencode(".png", mask)[1].tobytes()) == mask).all()
