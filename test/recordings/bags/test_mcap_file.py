"""MCAP files that rosbag2 itself would not write."""

import struct
from pathlib import Path

import lz4.frame
import pytest

from sam2_ros.recordings.bags.mcap_file import MAGIC, McapFile

HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 1, 2, 3, 4, 5, 6, 0x0F


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def schema(number: int, name: str, language: str = "ros2msg", definition: str = "string data") -> bytes:
    return record(SCHEMA, struct.pack("<H", number) + text(name) + text(language) + text(definition))


def channel(number: int, schema_number: int, topic: str, encoding: str = "cdr") -> bytes:
    return record(
        CHANNEL, struct.pack("<HH", number, schema_number) + text(topic) + text(encoding) + struct.pack("<I", 0)
    )


def message(number: int, time: int, data: bytes = b"\0\1\0\0") -> bytes:
    return record(MESSAGE, struct.pack("<HIQQ", number, 0, time, time) + data)


def chunk(start: int, end: int, content: bytes, compression: str = "") -> bytes:
    packed = lz4.frame.compress(content) if compression == "lz4" else content
    return record(
        CHUNK,
        struct.pack("<QQQI", start, end, len(content), 0) + text(compression) + struct.pack("<Q", len(packed)) + packed,
    )


def write(path: Path, *parts: bytes, end: bool = True) -> Path:
    """A file without a summary; ``end``: closed properly."""
    data = MAGIC + record(HEADER, text("ros2") + text("test")) + b"".join(parts)
    if end:
        data += record(DATA_END, struct.pack("<I", 0)) + record(FOOTER, struct.pack("<QQI", 0, 0, 0)) + MAGIC
    path.write_bytes(data)
    return path


def times(path: Path, topic: str = "/a") -> tuple[list[int], list[str]]:
    file, lost = McapFile(path), []
    found = [time for _, time, _ in file.messages({topic}, lost)]
    assert sum(count for one, count in file.counts.items() if one.topic == topic) == len(found)
    return found, lost


ABOUT = schema(1, "std_msgs/msg/String") + channel(1, 1, "/a")


def test_messages_that_lie_out_of_order_in_a_file_without_an_index_come_in_the_order_of_time(tmp_path):
    path = write(tmp_path / "a.mcap", ABOUT, *(message(1, time) for time in (5, 3, 9, 1)))
    assert times(path) == ([1, 3, 5, 9], [])


@pytest.mark.parametrize("compression", ["", "lz4"])
def test_chunks_whose_times_overlap_are_merged(tmp_path, compression):
    first = chunk(1, 8, ABOUT + message(1, 1) + message(1, 8), compression)
    second = chunk(2, 9, message(1, 9) + message(1, 2), compression)
    assert times(write(tmp_path / "a.mcap", first, second)) == ([1, 2, 8, 9], [])


def test_a_chunk_of_an_earlier_time_may_need_the_channels_of_one_before_it(tmp_path):
    path = write(tmp_path / "a.mcap", chunk(5, 5, ABOUT + message(1, 5)), chunk(1, 1, message(1, 1)))
    assert times(path) == ([1, 5], [])


def test_memory_that_was_never_written_ends_a_file_and_is_said(tmp_path):
    path = write(tmp_path / "a.mcap", ABOUT, message(1, 1), bytes(1000), end=False)
    found, lost = times(path)
    assert found == [1] and "is damaged (there is no record at" in lost[0] and len(lost) == 1


def test_a_message_of_a_channel_that_is_not_described_is_said(tmp_path):
    found, lost = times(write(tmp_path / "a.mcap", ABOUT, message(1, 1), message(2, 2)))
    assert found == [1] and "a channel 2 that the file does not describe" in lost[0]


def test_a_file_that_holds_less_than_its_summary_counts_says_so(tmp_path):
    path = write(tmp_path / "a.mcap", ABOUT, message(1, 1))
    file = McapFile(path)
    file.counts.update(dict.fromkeys(file.counts, 2))  # as a summary may say
    lost = []
    assert len(list(file.messages({"/a"}, lost))) == 1
    assert lost == ["a.mcap: 2 of 3 messages are missing, although its summary counts them"]


def test_messages_of_other_encodings_are_counted_but_not_read(tmp_path):
    path = write(
        tmp_path / "a.mcap",
        ABOUT,
        schema(2, "x", "jsonschema", "{}"),
        channel(2, 2, "/json", "json"),
        message(1, 1),
        message(2, 2, b"{}"),
    )
    assert times(path) == ([1], [])
    file = McapFile(path)
    assert {(one.topic, one.encoding): count for one, count in file.counts.items()} == {
        ("/a", "cdr"): 1,
        ("/json", "json"): 1,
    }
    assert list(file.messages({"/json"}, [])) == []
