"""Is this tree slower than another revision?  The exit code is 1 if it surely is.

    python benchmarks/gate.py HEAD~1
    python benchmarks/gate.py ../before --objects 3 --rounds 60

BASE is a revision of git or the folder of a source tree.  Both trackers run in a process of their own and take turns:
in each round each of them tracks a few images, the first one changes from round to round.  Each round gives one ratio
of this tree's time to that of BASE.  The gate fails only if the whole 95 % interval of their median is above --bound.
The processor time is judged; --elapsed judges the elapsed time, which counts waiting too, on a quiet machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from parts import TREE
from parts.ratios import ratio

WORKER = Path(__file__).parent / "parts" / "gate_worker.py"


class Worker:
    """The tracker of a source tree in a process."""

    def __init__(self, tree: Path, model: str, objects: int, frames: int) -> None:
        command = [sys.executable, str(WORKER), model, str(objects), str(frames)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, text=True, cwd=tree, env=environment, stdin=pipe, stdout=pipe)
        self._tree = tree

    def wait(self) -> None:
        """Until the model is loaded and the memories are full."""
        self._read()

    def round(self) -> list[float]:
        """Processor time and elapsed time of an image, in seconds."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [float(word) for word in self._read().split()]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the tracker of {self._tree} ended with code {self._process.wait()}")
        return line


@contextlib.contextmanager
def source_tree(base: str) -> Iterator[Path]:
    """The folder of a source tree, or a checkout of a revision that is removed at the end."""
    if (Path(base) / "sam2_ros").is_dir():
        yield Path(base).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="sam2_ros_base_") as folder:
        git = ["git", "-C", str(TREE), "worktree"]
        done = subprocess.run([*git, "add", "--quiet", "--detach", f"{folder}/base", base], check=False)
        if done.returncode:
            raise SystemExit(f"{base!r} is neither a revision nor the folder of a source tree")
        try:
            yield Path(folder) / "base"
        finally:
            subprocess.run([*git, "remove", "--force", f"{folder}/base"], check=False)


def rounds(base: Path, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of an image with BASE and with this tree, a pair for each round."""
    workers = [Worker(tree, options.model, options.objects, options.frames) for tree in (base, TREE)]
    times: tuple[list[float], list[float]] = [], []
    try:
        for worker in workers:
            worker.wait()
        for number in range(options.rounds):
            for turn in (0, 1) if number % 2 else (1, 0):
                used, elapsed = workers[turn].round()
                times[turn].append(elapsed if options.elapsed else used)
    finally:
        for worker in workers:
            worker.close()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="a revision of git, or the folder of a source tree")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--frames", type=int, default=4, help="images of a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--bound", type=float, default=1.05, help="ratio that is still accepted (%(default)s)")
    parser.add_argument("--elapsed", action="store_true", help="judge the elapsed time, not the processor time")
    options = parser.parse_args()
    with source_tree(options.base) as base:
        before, after = rounds(base, options)
    found = ratio(before, after)
    slower = found.exceeds(options.bound)
    kind = "elapsed" if options.elapsed else "processor"
    print(f"{options.model}, {options.objects} objects, {kind} time: this tree / {options.base} = {found}")
    print(
        f"slower than {options.bound:g} times BASE"
        if slower
        else f"not proven slower than {options.bound:g} times BASE"
    )
    return int(slower)


if __name__ == "__main__":
    raise SystemExit(main())
