import io
import struct
import zlib

import numpy as np
import pytest

from sam2_ros.errors import RecordingError
from sam2_ros.recordings.labels import LabelWriter, decode_labels, encode_labels, palette, read_labels


def label_picture(dtype=np.uint8, size=(37, 53), ids=200):
    return np.random.default_rng(0).integers(0, ids, size).astype(dtype)


def packed_palette_png(labels, depth):
    """A palette PNG of fewer bits for each pixel, as other tools write them for few objects."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = labels.shape
    bits = ((labels[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits.astype(np.uint8), axis=1))
    header = struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", header),
            chunk(b"PLTE", bytes(3 * 2**depth)),
            chunk(b"tRNS", b"\0"),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


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
    assert (decode_labels(packed_palette_png(labels, depth)) == labels).all()


def test_a_grey_picture_of_nothing_but_black_and_white_is_one_object():
    cv2 = pytest.importorskip("cv2")
    mask = label_picture(ids=2) * 255
    data = cv2.imencode(".png", mask)[1].tobytes()
    assert (decode_labels(data) == (mask > 0)).all()


def test_a_grey_picture_of_other_values_keeps_them():
    cv2 = pytest.importorskip("cv2")
    labels = label_picture(ids=9)
    labels[0, 0] = 255
    assert (decode_labels(cv2.imencode(".png", labels)[1].tobytes()) == labels).all()


def test_a_colour_picture_is_refused():
    cv2 = pytest.importorskip("cv2")
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    with pytest.raises(RecordingError, match="colour picture"):
        decode_labels(cv2.imencode(".png", colours)[1].tobytes())


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
    cv2 = pytest.importorskip("cv2")
    ignored = label_picture(ids=2) * 255
    data = cv2.imencode(".png", ignored)[1].tobytes()
    assert (decode_labels(data, white_is_void=lambda: True) == ignored).all()
