"""Pictures made with OpenCV, cut and changed byte by byte."""

import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest

from sam2_ros.decoding import decode, is_whole_jpeg, size_of
from sam2_ros.errors import InvalidImage


def scene(size=(48, 64)):
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)


def encoded(suffix=".jpg", *options):
    return cv2.imencode(suffix, scene(), options)[1].tobytes()


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_thumbnail(data):
    """A JPEG with another whole one in an application segment, as cameras write it."""
    return data[:2] + segment(0xE1, b"Exif\0\0" + encoded()) + data[2:]


def png_of_size(width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


KINDS = {
    "baseline": (),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("dress", [bytes, with_thumbnail], ids=["plain", "thumbnail"])
def test_a_jpeg_is_whole_only_with_the_end_of_its_last_scan(options, dress):
    data = dress(encoded(".jpg", *options))
    assert (decode(data, cv2.IMREAD_COLOR) == decode(encoded(".jpg", *options), cv2.IMREAD_COLOR)).all()
    for rest in (b"\0" * 300, b"\xff" * 9, encoded()):  # padding of drivers, the second picture of an MPO file
        assert is_whole_jpeg(data + rest)
    for length in (len(data) - 2, len(data) - 200, len(data) - 400):
        with pytest.raises(InvalidImage, match=f"ends too early, after {length} bytes"):
            decode(data[:length], cv2.IMREAD_COLOR)
    assert not is_whole_jpeg(data[:-20] + data), "the next picture of a stream does not end this one"


@pytest.mark.parametrize("data", [png_of_size(60000, 60000), png_of_size(20000, 20000)], ids=["60000", "20000"])
def test_a_picture_that_claims_too_much_memory_is_refused_before_it_gets_any(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("asked the decoder"))
    with pytest.raises(InvalidImage, match="0000 pixels"):
        decode(data, cv2.IMREAD_COLOR)


def jpeg_of_size(side):
    data = bytearray(encoded())
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    return bytes(data)


def gif_of_size(side):
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
        + bytes(6)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, side, side, 0)
        + b"\x02\x02\x44\x01\x00\x3b"
    )


def tiff_of_size(side, order="<"):
    values = b"".join(struct.pack(f"{order}HHII", name, 4, 1, side) for name in (256, 257))
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, 2) + values + bytes(4)


def changed(suffix, old, new):
    """A picture of 64x48 that claims another size."""
    data = encoded(suffix)
    assert old in data
    return data.replace(old, new)


HUGE = {
    ".jp2": (struct.pack(">II", 64, 48), struct.pack(">II", 60000, 60000)),
    ".avif": (struct.pack(">II", 64, 48), struct.pack(">II", 60000, 60000)),
    ".ppm": (b"64 48", b"# a camera\n60000 60000"),
    ".hdr": (b"-Y 48 +X 64", b"-Y 60000 +X 60000"),
    ".sr": (struct.pack(">II", 64, 48), struct.pack(">II", 60000, 60000)),
}


@pytest.mark.parametrize("suffix", HUGE)
def test_rare_kinds_of_pictures_are_refused_too_before_they_get_their_memory(suffix, monkeypatch):
    if not cv2.haveImageWriter(f"a{suffix}"):
        pytest.skip(f"this OpenCV knows no {suffix}")
    data = changed(suffix, *HUGE[suffix])
    assert size_of(encoded(suffix)) == (64, 48)
    assert decode(encoded(suffix), cv2.IMREAD_COLOR).shape == (48, 64, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("asked the decoder"))
    with pytest.raises(InvalidImage, match="claims 60000x60000 pixels"):
        decode(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_of_size(16000),
        jpeg_of_size(65500),
        png_of_size(16000, 16000),
        gif_of_size(16000),
        gif_of_size(30000),
        tiff_of_size(16000),
        tiff_of_size(40000, ">"),
    ],
    ids=["jpeg", "jpeg65500", "png", "gif", "gif30000", "tiff", "tiff40000"],
)
def test_a_small_file_that_claims_a_huge_picture_takes_neither_time_nor_memory(data, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("asked the decoder"))
    with pytest.raises(InvalidImage, match="a picture claims .* pixels"):
        decode(data, cv2.IMREAD_COLOR)


@pytest.mark.parametrize(
    "suffix, options",
    [
        (".jpg", ()),
        (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        (".png", (cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9)),
        (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 8)),
        (".webp", ()),
        (".jp2", ()),
        (".avif", ()),
    ],
)
def test_the_flattest_pictures_are_read(suffix, options):
    if not cv2.haveImageWriter(f"a{suffix}"):
        pytest.skip(f"this OpenCV knows no {suffix}")
    flat = np.zeros((2000, 2000), np.uint8)
    assert decode(cv2.imencode(suffix, flat, options)[1].tobytes(), cv2.IMREAD_GRAYSCALE).shape == flat.shape


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".gif"])
def test_the_size_is_read_from_the_header(suffix):
    if not cv2.haveImageWriter(f"picture{suffix}"):
        pytest.skip("OpenCV before 4.11 writes no GIF")
    assert size_of(encoded(suffix)) == (64, 48)
    assert size_of(with_thumbnail(encoded())) == (64, 48)


def test_an_error_of_the_decoder_is_a_sentence(monkeypatch):
    def broken(*_):
        raise cv2.error("imdecode", "something inside", "f", "g", 1)

    monkeypatch.setattr(cv2, "imdecode", broken)
    with pytest.raises(InvalidImage, match="cannot be decoded"):
        decode(encoded(), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm"])
def test_changed_and_cut_pictures_are_refused_or_read_but_never_break(suffix):
    random, whole = np.random.default_rng(1), encoded(suffix)
    for _ in range(60):
        data = bytearray(whole[: random.integers(len(whole))] if random.random() < 0.3 else whole)
        for place in random.integers(0, max(min(len(data), 200), 1), 2):
            if place < len(data):
                data[place] ^= 1 << random.integers(8)
        with contextlib.suppress(InvalidImage):
            assert decode(bytes(data), cv2.IMREAD_UNCHANGED).size
