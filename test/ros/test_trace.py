import json
from pathlib import Path

import pytest
from waiting import wait_until

pytest.importorskip("rclpy")

from sam2_ros.errors import InvalidInput
from sam2_ros.ros import trace
from sam2_ros.ros.trace import Trace


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_follows_another_below_what_the_file_is_about(tmp_path):
    for start in (1, 2):
        one = Trace(str(tmp_path / "times.jsonl"), {"node": "/sam2_ros"}, print)
        one.write({"stamp": start})
        one.close()
    about = {"trace": 1, "node": "/sam2_ros"}
    assert lines_of(tmp_path / "times.jsonl") == [about, {"stamp": 1}, about, {"stamp": 2}]


def test_the_file_does_not_grow_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "LIMIT", 1000)
    one = Trace(str(tmp_path / "times.jsonl"), {}, print)
    for number in range(500):
        one.write({"stamp": number})
    one.close()
    kept = [*lines_of(tmp_path / "times.jsonl.1"), *lines_of(tmp_path / "times.jsonl")]
    assert kept[0] == {"trace": 1} and kept[-1] == {"stamp": 499}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2100 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_disk_that_fills_ends_the_trace_with_a_sentence(tmp_path):
    said = []
    one = Trace("/dev/full", {}, said.append)
    one.write({"stamp": 1})
    wait_until(lambda: said, "the sentence")
    one.write({"stamp": 2})
    one.close()
    assert said == ["the trace /dev/full ends here: No space left on device; the node goes on without it"]


def test_lines_for_which_the_disk_is_too_slow_are_left_out_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "WAITING", 2)
    monkeypatch.setattr(trace.threading.Thread, "start", lambda thread: None)  # it writes nothing
    one = Trace(str(tmp_path / "times.jsonl"), {}, print)
    for number in range(5):
        one.write({"stamp": number})
    one._lines.get()
    one.write({"stamp": 5})
    assert [one._lines.get(), one._lines.get()] == [{"stamp": 1}, {"stamp": 5, "left_out": 3}]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b"{}\n"])
def test_a_file_that_is_no_trace_is_not_touched(tmp_path, content):
    path = tmp_path / "cup.png"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="it exists and is no trace; name another file"):
        Trace(str(path), {}, print)
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be written.*name another file"):
        Trace(str(tmp_path / "nowhere" / "times.jsonl"), {}, print)
