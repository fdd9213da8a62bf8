"""sqlite3 files that a recorder did not finish, and names that SQLite takes for something else."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from sam2_ros.recordings.bags.sqlite3_file import Sqlite3File

TABLES = """
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL,
                    offered_qos_profiles TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
                      data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO topics VALUES (1, '/a', 'std_msgs/msg/String', 'cdr', ''), (2, '/b', 'std_msgs/msg/String', 'json', '');
"""
INSERT = "INSERT INTO messages(topic_id, timestamp, data) VALUES (?, ?, ?)"


def add(database: sqlite3.Connection, *times: int, topic: int = 1) -> None:
    database.executemany(INSERT, [(topic, time, b"\0\1\0\0" * 300) for time in times])
    database.commit()


def write(path: Path, *times: int) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.executescript(TABLES)
    add(database, *times)
    return database


def read(path: Path) -> tuple[list[int], list[str]]:
    """The times on /a, what was lost; and nothing in the folder may have changed."""
    before = {one: (one.stat().st_mtime_ns, one.read_bytes()) for one in path.parent.iterdir()}
    file, lost = Sqlite3File(path), []
    found = [time for _, time, _ in file.messages({"/a"}, lost)]
    assert {one: (one.stat().st_mtime_ns, one.read_bytes()) for one in path.parent.iterdir()} == before
    return found, lost


def test_messages_that_a_recorder_left_in_the_write_ahead_log_are_read(tmp_path):
    database = write(tmp_path / "live.db3", 3, 1)
    database.execute("PRAGMA journal_mode=WAL")
    add(database, 2, 5, 4)
    assert (tmp_path / "live.db3-wal").stat().st_size > 32
    (tmp_path / "killed").mkdir()
    for end in ("", "-wal"):
        shutil.copyfile(tmp_path / f"live.db3{end}", tmp_path / "killed" / f"bag.db3{end}")
    database.close()
    assert read(tmp_path / "killed" / "bag.db3") == ([1, 2, 3, 4, 5], [])


def test_a_transaction_that_a_recorder_did_not_end_is_rolled_back_in_a_copy(tmp_path):
    database = write(tmp_path / "live.db3", *range(400))
    database.execute("PRAGMA cache_size=2")  # pages go to the file before the end of the transaction
    database.execute("UPDATE messages SET timestamp = -1, data = x'00'")
    (tmp_path / "killed").mkdir()
    for end in ("", "-journal"):
        shutil.copyfile(tmp_path / f"live.db3{end}", tmp_path / "killed" / f"bag.db3{end}")
    database.close()
    assert read(tmp_path / "killed" / "bag.db3") == (list(range(400)), [])


def test_a_log_that_holds_nothing_needs_no_copy(tmp_path):
    write(tmp_path / "bag.db3", 1).close()
    for end in ("-wal", "-journal"):
        (tmp_path / f"bag.db3{end}").write_bytes(b"")
    assert read(tmp_path / "bag.db3") == ([1], [])


@pytest.mark.parametrize(
    "name", ["run #3", "what?", "50%20off", "a:b", "x?mode=memory", os.fsdecode(b"caf\xe9")], ids=ascii
)
def test_a_file_of_any_name_is_read_and_nothing_is_written_beside_it(tmp_path, name):
    (tmp_path / name).mkdir()
    write(tmp_path / "plain.db3", 1, 2).close()
    path = (tmp_path / "plain.db3").rename(tmp_path / name / f"{name}_0.db3")
    assert read(path) == ([1, 2], [])


def test_messages_that_are_no_bytes_are_left_out_and_said(tmp_path):
    database = write(tmp_path / "bag.db3", 1, 2)
    database.execute(INSERT, (1, 3, "text"))
    database.execute(INSERT, (1, "soon", b"\0"))
    database.commit()
    database.close()
    found, lost = read(tmp_path / "bag.db3")
    assert found == [1, 2] and lost == ["bag.db3: 2 messages are damaged and left out"]


def test_a_damaged_index_does_not_hide_the_messages(tmp_path):
    database = write(tmp_path / "bag.db3", *range(2000))
    page = database.execute("SELECT rootpage FROM sqlite_master WHERE name='timestamp_idx'").fetchone()[0]
    size = database.execute("PRAGMA page_size").fetchone()[0]
    database.close()
    data = bytearray((tmp_path / "bag.db3").read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    (tmp_path / "bag.db3").write_bytes(data)
    assert read(tmp_path / "bag.db3")[0] == list(range(2000))
