import errno
import fcntl
import hashlib
import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.files import git_blob
from sam2_ros.model.downloads import bring, overview, published_file
from sam2_ros.model.names import PUBLISHED, Published


class Server(http.server.ThreadingHTTPServer):
    """A local server of one file.

    ranges: it can resume; limit: bytes after which it hangs up, or waits until it may go on.
    """

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/sam2.1_hiera_tiny.pt"
        self.data, self.ranges, self.limit, self.asked = data, True, None, []
        self.goes_on = None

    def handle_error(self, *_):
        """A client that was interrupted is no fault."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path != "/sam2.1_hiera_tiny.pt":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.ranges else 0
        if start >= len(self.server.data):
            self.send_error(416)
            return
        body = self.server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.limit])
        if self.server.goes_on is not None:
            self.server.goes_on.wait(30)
            self.wfile.write(body[self.server.limit :])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The published tiny checkpoint, played by some bytes on a local server, and a cache folder of its own."""
    server = Server(bytes(range(256)) * 40)
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setitem(PUBLISHED, "tiny", Published(server.url, hashlib.sha256(server.data).hexdigest()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cached(tmp_path):
    return tmp_path / "cache" / "sam2.1_hiera_tiny.pt"


@pytest.fixture
def part(cached):
    """Where an unfinished download waits."""
    cached.parent.mkdir()
    return cached.with_name(cached.name + ".part")


def fetched(**options):
    return published_file(PUBLISHED["tiny"], **options)


def test_a_known_name_is_downloaded_once(server, cached):
    assert fetched() == cached and cached.read_bytes() == server.data
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]
    fetched()
    assert server.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(server, cached):
    server.limit = 1000
    with pytest.raises(CheckpointError, match=f"1000 of {len(server.data)} bytes.*try again.*by hand and put it at"):
        fetched()
    assert not cached.exists()
    server.limit = None
    assert fetched().read_bytes() == server.data
    assert server.asked == [None, "bytes=1000-"]


def test_a_server_that_cannot_resume_sends_everything_again(server, cached, part):
    server.ranges = False
    part.write_bytes(b"x" * 1000)
    assert fetched().read_bytes() == server.data


def test_a_finished_download_that_was_not_renamed_is_used(server, cached, part):
    part.write_bytes(server.data)
    assert fetched().read_bytes() == server.data
    assert cached.exists() and not part.exists()


def test_a_wrong_beginning_is_found_out_and_thrown_away(server, cached, part):
    part.write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match="not what was published.*SHA256"):
        fetched()
    assert not cached.exists() and not part.exists()
    assert fetched().read_bytes() == server.data


def test_two_downloads_of_one_file_wait_for_each_other(server, cached):
    cached.parent.mkdir()
    loaded = []
    with open(cached.with_name(cached.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process downloads
        waiting = threading.Thread(target=lambda: loaded.append(fetched()))
        waiting.start()
        time.sleep(0.1)
        assert waiting.is_alive() and server.asked == []
        cached.write_bytes(server.data)
    waiting.join()
    assert loaded == [cached]
    assert server.asked == [], "what the other process brought is used"


WORKING_ALONE = """
import sys
from pathlib import Path
from sam2_ros.model.downloads import alone

with alone(Path(sys.argv[1])):
    print("works", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def working_alone(tmp_path):
    """Starts a process that works alone on a file until it is told to end."""
    processes = []

    def start():
        words = [sys.executable, "-c", WORKING_ALONE, str(tmp_path / "file")]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        processes.append(subprocess.Popen(words, text=True, **pipes))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_process_that_comes_last_waits_for_one_that_has_waited_for_another(working_alone, tmp_path):
    first = working_alone()
    assert first.stdout.readline() == "works\n"
    second = working_alone()
    assert "another process downloads" in second.stdout.readline()
    first.communicate("end\n", timeout=60)
    assert second.stdout.readline() == "works\n"
    last = working_alone()
    assert "another process downloads" in last.stdout.readline()
    second.communicate("end\n", timeout=60)
    assert last.stdout.readline() == "works\n"
    last.communicate("end\n", timeout=60)
    assert not list(tmp_path.iterdir())


def test_nothing_is_downloaded_where_that_is_not_allowed(server, cached):
    with pytest.raises(CheckpointError, match=f"sam2.1_hiera_tiny.pt .SHA256 .*is not in {cached.parent}"):
        fetched(download=False)
    assert server.asked == [] and not cached.parent.exists()
    cached.parent.mkdir()
    cached.write_bytes(server.data)
    assert fetched(download=False) == cached


def test_a_cached_file_that_changed_is_refused(server, cached):
    fetched()
    cached.write_bytes(cached.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="is not what was published.*delete it"):
        fetched()


def test_a_missing_page_is_reported_with_address_and_remedy(server, cached, monkeypatch):
    gone = server.url.replace("/sam2", "/gone/sam2")
    monkeypatch.setitem(PUBLISHED, "tiny", Published(gone, "0" * 64))
    with pytest.raises(CheckpointError, match=f"{gone} answered 404.*by hand and put it at {cached}"):
        fetched()


def test_being_offline_is_reported_with_address_and_remedy(server, cached):
    server.shutdown()
    server.server_close()
    with pytest.raises(CheckpointError, match=f"cannot download {server.url} .*refused.*put it at {cached}"):
        fetched()


def test_a_wrong_file_that_was_sent_is_named(server, cached):
    server.data = b"<html><body>Sign in to this network</body></html>"
    with pytest.raises(CheckpointError, match=f"what {server.url} sent is not what was published .*is a web page"):
        fetched()
    assert not list(cached.parent.glob("*.part")), "it is not continued"


# Ctrl-C, the disk, two at once --------------------------------------------------------------------

FETCH = """
import sys
from sam2_ros import cli
from sam2_ros.model.names import PUBLISHED, Published
PUBLISHED["tiny"] = Published(*sys.argv[1:3])
sys.exit(cli.main(["download", "tiny"]))
"""


def in_a_process(server):
    """``sam2_ros download tiny`` in a process of its own."""
    words = [sys.executable, "-c", FETCH, server.url, PUBLISHED["tiny"].sha256]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_interrupted_download_goes_on_where_it_stopped(server, cached):
    server.data = bytes(range(256)) * 2**13  # two megabytes, of which one and a half come
    server.limit, server.goes_on = 3 * 2**19, threading.Event()
    PUBLISHED["tiny"] = Published(server.url, hashlib.sha256(server.data).hexdigest())
    part = cached.with_name(cached.name + ".part")
    process = in_a_process(server)
    wait_for(lambda: part.exists() and part.stat().st_size >= 2**20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130 and "Traceback" not in said and not cached.exists()
    server.goes_on.set()
    server.limit = server.goes_on = None
    kept = part.stat().st_size
    again = in_a_process(server)
    out, said = again.communicate(timeout=20)
    assert again.returncode == 0 and out.startswith(f"tiny: {cached} (2.1 MB, SHA256 "), said
    assert cached.read_bytes() == server.data and server.asked == [None, f"bytes={kept}-"]


def test_two_processes_that_download_one_file_fetch_it_once(server, cached):
    server.limit, server.goes_on = 1000, threading.Event()
    first = in_a_process(server)
    wait_for(lambda: server.asked)
    second = in_a_process(server)
    wait_for(lambda: "waiting for it" in second.stderr.readline())
    server.goes_on.set()
    for process in (first, second):
        out, said = process.communicate(timeout=20)
        assert process.returncode == 0 and str(cached) in out, said
    assert server.asked == [None] and [path.name for path in cached.parent.iterdir()] == [cached.name]


def test_a_disk_without_room_is_said_before_anything_is_written(server, cached, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(CheckpointError, match="cannot write .*needs 0.0 MB, .*no room.*SAM2_ROS_CACHE=FOLDER"):
        fetched()
    assert not cached.with_name(cached.name + ".part").exists()


def test_a_disk_that_is_full_in_the_middle_is_said(server, part):
    part.symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=f"cannot write {part} .No space left on device.; free some space"):
        fetched()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said(server, cached):
    cached.parent.mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match="Permission denied.*SAM2_ROS_CACHE=FOLDER"):
        fetched()


# Carried by hand ----------------------------------------------------------------------------------


@pytest.fixture
def stick(tmp_path):
    """A folder with the published file, as it was brought from another computer."""
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "sam2.1_hiera_tiny.pt").write_bytes(bytes(range(256)) * 40)
    return tmp_path / "stick"


@pytest.mark.parametrize("name", ["sam2.1_hiera_tiny.pt", "", "renamed.pt"])
def test_a_file_that_was_carried_here_is_checked_and_put_in_its_place(server, cached, stick, name):
    if name == "renamed.pt":
        (stick / "sam2.1_hiera_tiny.pt").rename(stick / name)
    said = bring("tiny", source=stick / name)
    assert said == f"tiny: {cached} (0.0 MB, SHA256 {PUBLISHED['tiny'].sha256} as published)"
    assert cached.read_bytes() == server.data and server.asked == []
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]


def test_a_file_that_was_carried_here_takes_the_place_of_a_wrong_one(server, cached, stick):
    cached.parent.mkdir()
    cached.write_bytes(b"something else")
    bring("tiny_512", source=stick)
    assert cached.read_bytes() == server.data


def test_a_wrong_file_that_was_carried_here_is_named_and_changes_nothing(server, cached, stick):
    (stick / "sam2.1_hiera_tiny.pt").write_bytes(server.data[:-1])
    with pytest.raises(CheckpointError, match=f"is not sam2.1_hiera_tiny.pt as .*neither a PyTorch.*copy {server.url}"):
        bring("tiny", source=stick)
    assert list(cached.parent.iterdir()) == [cached.with_name(cached.name + ".lock")]
    bring("tiny")
    with pytest.raises(CheckpointError, match="its SHA256 is not"):
        bring("tiny", source=stick)
    assert cached.read_bytes() == server.data


def test_a_file_that_is_not_there_is_named(server, stick):
    with pytest.raises(CheckpointError, match="there is no file .*tiny.pt; name the file that was copied here"):
        bring("tiny", source=stick / "tiny.pt")
    with pytest.raises(CheckpointError, match="there is no file .*sam2.1_hiera_large.pt"):
        bring("large", source=stick)


def test_a_file_that_cannot_be_copied_leaves_nothing(server, cached, stick, monkeypatch):
    def full(_, copy):
        copy.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(CheckpointError, match="cannot copy .* to .*No space left on device.*SAM2_ROS_CACHE=FOLDER"):
        bring("tiny", source=stick)
    assert not list(cached.parent.glob("*.copy")) and not cached.exists()


# The command --------------------------------------------------------------------------------------


def test_weights_are_fetched_to_another_folder(server, cached, tmp_path):
    assert bring("tiny", tmp_path / "stick").startswith(f"tiny: {tmp_path}/stick/sam2.1_hiera_tiny.pt (")
    assert not cached.exists()


def test_the_overview_names_every_file_once_and_says_where_it_is(server, cached):
    lines = overview()
    assert len(lines) == 10 and sum("edgetam" in line for line in lines) == 1
    assert all(line.endswith("not here") for line in lines)
    fetched()
    (cached.parent / "edgetam.pt").write_bytes(b"something else")
    here = {line.split()[0]: line for line in overview()}
    assert here["tiny"].endswith(f" {cached}")
    assert here["edgetam"].endswith("edgetam.pt, which is not what was published")


def test_names_of_no_published_weights_are_refused_and_the_embedded_ones_are_here():
    assert bring("embedded_384") == "embedded_384: ships with this package"
    with pytest.raises(InvalidInput, match="best.pt is not the name of published weights; known are embedded, "):
        bring("best.pt")


def test_a_file_of_a_git_repository_is_known_by_its_blob(server, cached, monkeypatch):
    blob = hashlib.sha1(b"blob %d\0" % len(server.data) + server.data).hexdigest()
    monkeypatch.setitem(PUBLISHED, "tiny", Published(server.url, git_blob=blob))
    assert fetched() == cached
    cached.write_bytes(server.data[:-1])
    with pytest.raises(CheckpointError, match="is not what was published .its git blob id differs"):
        fetched()
    cached.unlink()
    with pytest.raises(CheckpointError, match=f"sam2.1_hiera_tiny.pt .git blob id {blob}. is not in"):
        fetched(download=False)


def test_a_blob_has_the_id_that_git_gives_it(tmp_path):
    (tmp_path / "file").write_bytes(b"hello\n")
    assert git_blob(tmp_path / "file") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_published_names_point_to_files_of_their_own():
    full = {name: published for name, published in PUBLISHED.items() if name.startswith("sam2")}
    assert len(full) == 8 and len({published.sha256 for published in full.values()}) == 8
    assert all(published.file_name == f"{name}.pt" and len(published.sha256) == 64 for name, published in full.items())
    assert all(PUBLISHED[name] is full[f"sam2.1_hiera_{name}"] for name in ("tiny", "small", "base_plus", "large"))
    assert PUBLISHED["edgetam"].file_name == "edgetam.pt" and len(PUBLISHED["edgetam"].git_blob) == 40


def test_the_address_of_edgetam_names_a_commit_so_that_no_later_one_changes_the_file():
    assert re.search(r"/facebookresearch/EdgeTAM/[0-9a-f]{40}/checkpoints/edgetam\.pt$", PUBLISHED["edgetam"].url)
