import io

import numpy as np
import pytest
from recordings.test_png import as_png, packed_png

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.labels import LabelWriter, decode_labels, encode_labels, palette, read_labels
from sam2_ros.recordings.png import PALETTE


def label_picture(dtype=np.uint8, size=(37, 53), ids=200):
    return np.random.default_rng(0).integers(0, ids, size).astype(dtype)


def test_the_palette_starts_as_that_of_davis():
    assert palette()[:6].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]


@pytest.mark.parametrize(("dtype", "ids"), [(np.uint8, 256), (np.uint16, 65536)])
def test_what_is_written_is_read_back(dtype, ids):
    labels = label_picture(dtype, ids=ids)
    read = decode_labels(encode_labels(labels))
    assert read.dtype == dtype
    assert (read == labels).all()


def test_another_png_reader_sees_the_same_ids_and_the_davis_colours():
    image = pytest.importorskip("PIL.Image")
    labels = label_picture()
    picture = image.open(io.BytesIO(encode_labels(labels)))
    assert picture.mode == "P"
    assert (np.array(picture) == labels).all()
    assert (np.array(picture.convert("RGB")) == palette()[labels]).all()


def test_a_palette_png_of_another_writer_is_read_by_index_even_with_repeated_colours():
    image = pytest.importorskip("PIL.Image")
    labels = label_picture(ids=7)
    picture = image.fromarray(labels, mode="P")
    picture.putpalette([9, 9, 9] * 256)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    assert (decode_labels(file.getvalue()) == labels).all()


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_palette_png_of_few_bits_gives_indices(depth):
    labels = label_picture(ids=2**depth)
    colours = (b"PLTE", bytes(3 * 2**depth)), (b"tRNS", b"\0")
    assert (decode_labels(packed_png(labels, depth, PALETTE, *colours)) == labels).all()


def test_a_grey_picture_of_nothing_but_black_and_white_is_one_object():
    mask = label_picture(ids=2) * 255
    assert (decode_labels(as_png(mask)) == (mask > 0)).all()


def test_a_grey_picture_of_other_values_keeps_them():
    labels = label_picture(ids=9)
    labels[0, 0] = 255
    assert (decode_labels(as_png(labels)) == labels).all()


def test_a_colour_picture_is_refused():
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    with pytest.raises(RecordingError, match="colour picture"):
        decode_labels(as_png(colours))


@pytest.mark.parametrize("data", [b"", b"no picture at all", encode_labels(label_picture())[:40]])
def test_damaged_files_are_refused_by_name(data, tmp_path):
    path = tmp_path / "damaged.png"
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"damaged\.png"):
        read_labels(path)


def test_the_writer_numbers_its_files_or_takes_names(tmp_path):
    writer = LabelWriter(tmp_path / "new" / "folder")
    first = writer.write(label_picture())
    named = writer.write(label_picture(), "frame_7")
    third = writer.write(label_picture(np.uint16))
    assert [path.name for path in (first, named, third)] == ["00000.png", "frame_7.png", "00002.png"]
    assert read_labels(third).dtype == np.uint16


def test_writing_the_same_twice_gives_the_same_bytes(tmp_path):
    labels = label_picture()
    first, second = LabelWriter(tmp_path / "a").write(labels), LabelWriter(tmp_path / "b").write(labels)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("shape", "kind"), [((4, 4), np.int32), ((4, 4, 3), np.uint8), ((0, 4), np.uint8)])
def test_what_is_no_label_image_is_refused(shape, kind):
    with pytest.raises(RecordingError, match="label image"):
        encode_labels(np.zeros(shape, kind))


def test_black_and_white_among_pictures_with_ids_is_an_object_nowhere():
    ignored = label_picture(ids=2) * 255
    assert (decode_labels(as_png(ignored), white_is_void=lambda: True) == ignored).all()
