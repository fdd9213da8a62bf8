"""The gate with workers that answer at once."""

import subprocess
import sys

import gate
import pytest


class Workers:
    """Stand for the processes of two trees; seconds: of an image, by tree."""

    def __init__(self, seconds):
        self.turns, self.closed, self._seconds = [], 0, seconds

    def __call__(self, tree, model, objects, frames):
        workers = self

        class Worker:
            def wait(self):
                pass

            def round(self):
                workers.turns.append(tree)
                return workers._seconds[tree == gate.TREE], 5.0

            def close(self):
                workers.closed += 1

        return Worker()


@pytest.mark.parametrize("seconds, code", [((1.0, 1.2), 1), ((1.0, 1.0), 0), ((1.0, 0.5), 0)])
def test_the_exit_code_says_whether_this_tree_is_slower(monkeypatch, capsys, tmp_path, seconds, code):
    (tmp_path / "sam2_ros").mkdir()
    workers = Workers(seconds)
    monkeypatch.setattr(gate, "Worker", workers)
    monkeypatch.setattr(sys, "argv", ["gate.py", str(tmp_path), "--rounds", "10"])
    assert gate.main() == code
    assert workers.closed == 2 and len(workers.turns) == 20
    assert workers.turns[0] != workers.turns[2], "the first one changes"
    assert f"= {seconds[1]:.3f}" in capsys.readouterr().out


def test_a_base_that_is_nothing_is_refused():
    with pytest.raises(SystemExit, match="neither a revision nor"), gate.source_tree("no_such_revision"):
        pass


def test_a_revision_is_checked_out_and_removed():
    if subprocess.run(["git", "-C", gate.TREE, "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        pytest.skip("not a repository of git")
    with gate.source_tree("HEAD") as folder:
        assert (folder / "sam2_ros" / "tracking" / "tracker.py").is_file()
    assert not folder.exists()
