import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.coco_rle import compress, decode, decompress, encode


def test_known_codes():
    # Written by pycocotools 2.0.11.
    square = np.zeros((6, 5), bool)
    square[1:4, 2:4] = True
    assert encode(square) == {"size": [6, 5], "counts": "=3305"}
    assert encode(np.zeros((3, 4), bool))["counts"] == "<"
    assert encode(np.ones((3, 4), bool))["counts"] == "0<"


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_what_is_encoded_is_decoded(share):
    random = np.random.default_rng(int(100 * share))
    mask = random.random((53, 71)) < share
    assert (decode(encode(mask)) == mask).all()
    assert (decode({"size": [53, 71], "counts": encode(mask)["counts"].encode()}) == mask).all()


def test_long_and_shrinking_runs_survive():
    runs = [0, 1, 100_000, 2, 70_000, 1, 31, 32, 33, 1_000_000]
    assert decompress(compress(runs)) == runs


def test_plain_lists_of_runs_are_read():
    assert decode({"size": [2, 2], "counts": [1, 2, 1]}).tolist() == [[False, True], [True, False]]


def test_damaged_codes_are_refused():
    with pytest.raises(RecordingError, match="describes"):
        decode({"size": [9, 9], "counts": "5"})
    with pytest.raises(RecordingError, match="middle of a run"):
        decompress("P")
