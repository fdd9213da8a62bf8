"""``sam2_ros download``: several models, what fails, and what cannot be meant."""

import hashlib

import pytest

from sam2_ros import cli
from sam2_ros.model.names import PUBLISHED, Published

CONTENT = b"weights"


@pytest.fixture
def stick(tmp_path, monkeypatch):
    """A folder with the file of tiny; a cache; and no network."""
    monkeypatch.setenv("SAM2_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("tiny", "edgetam"):
        known = Published(f"http://127.0.0.1:9/{name}.pt", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(PUBLISHED, name, known)
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "tiny.pt").write_bytes(CONTENT)
    return tmp_path / "stick"


def test_what_can_be_brought_is_brought_and_the_rest_is_named(stick, tmp_path, capsys):
    assert cli.main(["download", "edgetam", "tiny_512", "--from", str(stick)]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"tiny_512: {tmp_path}/cache/tiny.pt (")
    assert said.err == (
        f"sam2_ros download: there is no file {stick}/edgetam.pt; name the file that was copied here, or its folder\n"
    )
    assert cli.main(["download", "tiny"]) == 0, "it is here, and no network is asked"


def test_without_a_network_one_sentence_has_the_address_and_the_place(stick, tmp_path, capsys):
    assert cli.main(["download", "edgetam"]) == 1
    said = capsys.readouterr().err
    assert (
        said.startswith("sam2_ros download: cannot download http://127.0.0.1:9/edgetam.pt (") and said.count("\n") == 1
    )
    assert said.endswith(f"download http://127.0.0.1:9/edgetam.pt by hand and put it at {tmp_path}/cache/edgetam.pt\n")


def test_the_list_has_every_name_and_fetches_nothing(stick, tmp_path, capsys):
    assert cli.main(["download", "--list", "--to", str(stick)]) == 0
    out = capsys.readouterr().out
    assert f"{stick}/tiny.pt\n" in out and out.count("not here") == len(out.splitlines()) - 1
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "words, sentence",
    [
        ([], "name the models to download"),
        (["tiny", "large", "--from", "tiny.pt"], "tiny.pt is one file, and 2 models are named"),
        (["mine"], "mine is not the name of published weights"),
    ],
)
def test_what_cannot_be_meant_is_refused(words, sentence, capsys):
    assert cli.main(["download", *words]) == 1
    assert sentence in capsys.readouterr().err
