"""Pictures made with OpenCV, cut and changed byte by byte."""

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


KINDS = {"baseline": (), "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), "restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)}


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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_the_size_is_read_from_the_header(suffix):
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
        data = bytearray(whole[:random.integers(len(whole))] if random.random() < 0.3 else whole)
        for place in random.integers(0, max(min(len(data), 200), 1), 2):
            if place < len(data):
                data[place] ^= 1 << random.integers(8)
        try:
            assert decode(bytes(data), cv2.IMREAD_UNCHANGED).size
        except InvalidImage:
            pass
