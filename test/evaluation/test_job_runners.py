"""Recordings that are evaluated one after the other, in processes, or on a cluster."""

import json
import shutil
import sys
import time
import types
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from run_command import evaluate, files_of

from sam2_ros.errors import MissingDependency
from sam2_ros.evaluation import job_runners
from sam2_ros.evaluation.evaluate import evaluate_one, failed
from sam2_ros.files import write_whole

pytestmark = pytest.mark.usefixtures("quick_plots")


class LocalRay(types.ModuleType):
    """A cluster that does everything here, as late as it may."""

    def is_initialized(self):
        return True

    def remote(self, function):
        self.function = function
        return self

    def options(self, **options):
        return types.SimpleNamespace(remote=lambda *arguments: lambda: self.function(*arguments))

    def get(self, promises):
        return [promise() for promise in promises]


def test_a_process_that_dies_takes_no_other_recording_with_it(tmp_path, data_set, monkeypatch):
    class Mortal:
        """A process that is killed when it evaluates the long sequence, and can do nothing then."""

        def __init__(self, *_):
            self.dead = False

        def submit(self, function, job):
            future = Future()
            self.dead = self.dead or job.path.name == "long"
            future.set_exception(BrokenProcessPool()) if self.dead else future.set_result(function(job))
            return future

        def shutdown(self):
            pass

    monkeypatch.setattr(job_runners, "ProcessPoolExecutor", Mortal)
    copies = [shutil.copytree(data_set, tmp_path / name) for name in ("a", "b")]
    result, _, _ = evaluate(tmp_path, data_set, *copies, "--model", "first-mask", "--jobs", 2)
    assert [entry["j_and_f"] is None for entry in result["sequences"]] == [True, False] * 3
    assert "memory" in result["sequences"][0]["error"]


def test_a_process_that_is_killed_leaves_no_half_written_file(tmp_path, data_set, monkeypatch):
    def killed(job, _):
        job.folder.mkdir(parents=True)
        monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)  # no OSError, as a signal is none
        with pytest.raises(ZeroDivisionError):
            write_whole(job.folder / "scores.csv", "J")
        monkeypatch.undo()
        (job.folder / "own.part").touch()
        return failed(job, "killed")

    monkeypatch.setattr(job_runners, "evaluate_one", killed)
    _, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    assert {path.name for path in folder.rglob("*.part")} == {"own.part"}


def test_the_processes_of_a_run_that_is_interrupted_end_in_the_midst_of_their_recordings(monkeypatch):
    monkeypatch.setattr(job_runners, "evaluate_one", time.sleep)
    monkeypatch.setattr(job_runners, "failed", lambda *_: None)
    results = job_runners._do_in_processes([0.0, 120.0], 1)
    next(results)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < 60


def test_what_was_done_before_a_run_was_interrupted_is_kept(tmp_path, data_set, monkeypatch):
    def evaluate_until_stopped(job, tick):
        if job.path.name == "short":
            raise KeyboardInterrupt
        return evaluate_one(job, tick)

    monkeypatch.setattr(job_runners, "evaluate_one", evaluate_until_stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, data_set, "--model", "first-mask")
    result = json.loads((tmp_path / "runs" / "run" / "result.json").read_text())
    assert result["failed"] == ["short"] and result["sequences"][0]["j_and_f"] is not None


def test_a_cluster_gives_the_same_as_this_machine(tmp_path, data_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", LocalRay("ray"))
    _, here, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    _, there, _ = evaluate(tmp_path, data_set, "--model", "first-mask", "--workers-on", "ray")
    assert files_of(here) == files_of(there)


def test_ray_that_is_not_installed_is_said(tmp_path, data_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match="pip install ray"):
        evaluate(tmp_path, data_set, "--model", "first-mask", "--workers-on", "ray")
