"""Fixtures that several folders share, and what the tests need where several processes run them (pytest-xdist)."""

import os
import signal
import sys

import pytest

#: How many processes run the tests; 0: this one alone.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))

if WORKERS:  # threads of torch that are more than the processors wait for each other; read when torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // WORKERS, 1)))

# A shell starts what runs in the background with SIGINT ignored, and nohup with SIGHUP; the tests send both.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture(autouse=True)
def without_bfloat16(monkeypatch):
    """A processor without instructions for bfloat16, whatever this one has, so that "auto" is float32 in most tests."""
    import torch

    from sam2_ros.engines.pytorch import INSTRUCTIONS

    for name in INSTRUCTIONS:
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)


# -- several processes -------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Divide the tests by groups, in the order in which they are collected."""
    from worker_groups import ByGroup

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(items):
    """Begin with the longest groups."""
    if WORKERS:
        from worker_groups import longest_first

        items.sort(key=lambda item: longest_first(item.nodeid))


def pytest_sessionfinish(session):
    """Hand the counts of the fuzz tests to the process that writes the table."""
    doors = sys.modules.get("fuzz.doors")
    if doors and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["fuzzed"] = (dict(doors.CAME), dict(doors.REFUSED))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Add the counts of a process that has ended."""
    if counts := getattr(node, "workeroutput", {}).get("fuzzed"):
        from fuzz.doors import CAME, REFUSED

        CAME.update(counts[0])
        REFUSED.update(counts[1])


def pytest_terminal_summary(terminalreporter):
    """How many inputs came to each door of the fuzz tests."""
    doors = sys.modules.get("fuzz.doors")
    if doors and doors.CAME:
        terminalreporter.section("fuzzed doors")
        for name, count in sorted(doors.CAME.items()):
            terminalreporter.write_line(f"{count:7} inputs, {doors.REFUSED[name]:7} refused   {name}")
        terminalreporter.write_line(f"{sum(doors.CAME.values()):7} in all")


# -- fixtures ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A checkpoint of the smallest size with random weights."""
    import torch

    from sam2_ros.model import checkpoint
    from sam2_ros.model.sam2 import SAM2
    from sam2_ros.model.sizes import TEST

    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    checkpoint.save(SAM2(TEST).eval(), path)
    return path


@pytest.fixture
def quick_plots(monkeypatch):
    """Each plot of a report is one pixel: to draw them takes longer than to evaluate a few small images."""
    import cv2
    import numpy as np

    pixel = cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()
    monkeypatch.setattr("sam2_ros.evaluation.plots._png", lambda axes: pixel)


@pytest.fixture
def data_set(tmp_path):
    """Two sequences in DAVIS layout: a square that moves by one pixel for each image."""
    import cv2
    from recordings.bags import labels, picture

    from sam2_ros.recordings.labels import LabelWriter

    root = tmp_path / "data"
    for name, count in (("long", 9), ("short", 5)):
        folder = root / "JPEGImages" / name
        folder.mkdir(parents=True)
        writer = LabelWriter(root / "Annotations" / name)
        for index in range(count):
            cv2.imwrite(str(folder / f"{index:05d}.png"), picture(index)[..., ::-1])
            writer.write(labels(index))
    return root
