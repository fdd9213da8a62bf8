import fcntl
import hashlib
import http.server
import threading
import time

import pytest

from sam2_ros.errors import CheckpointError
from sam2_ros.model.downloads import PUBLISHED, Published, git_blob, published_file


class Server(http.server.ThreadingHTTPServer):
    """A local server of one file; ``ranges``: it can resume; ``limit``: bytes after which it hangs up."""

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.ranges, self.limit, self.asked = data, True, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/sam2.1_hiera_tiny.pt"


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
