"""Jobs in this process, in several, or on a Ray cluster; the answers are the same."""

from __future__ import annotations

import functools
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

from sam2_ros.errors import MissingDependency, Sam2RosError
from sam2_ros.evaluation.evaluate import Job, evaluate_one, failed
from sam2_ros.evaluation.results import SequenceResult

#: Signals that a terminal sends to every process in it.
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)


def do(work: Sequence[Job], jobs: int = 1, workers_on: str = "processes") -> Iterator[SequenceResult]:
    """The results of all jobs in their order.  Raises MissingDependency where Ray is wanted and not installed."""
    if workers_on == "ray":
        yield from _do_on_ray(work)
    elif jobs == 1 or len(work) == 1:
        frames = [_length(job) for job in work]
        known = [count for count in frames if count is not None]
        total = sum(known) if len(known) == len(frames) else None
        with tqdm(total=total, unit="image", disable=None) as bar:
            yield from (evaluate_one(job, bar.update) for job in work)
    else:
        found = _do_in_processes(work, min(jobs, len(work)))
        yield from tqdm(found, total=len(work), unit="recording", disable=None)


def _length(job: Job) -> int | None:
    """How many images a job goes through; None when that is unknown before."""
    try:
        frames = job.open().frames
    except (Sam2RosError, OSError):  # its result will say so
        return 0
    return None if frames is None else frames * job.passes


def _do_in_processes(work: Sequence[Job], count: int) -> Iterator[SequenceResult]:
    """``count`` processes with one job each at a time; one that dies takes no other job with it and is replaced."""
    # A fresh interpreter for each: a fork would copy the threads of torch and OpenCV half.
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    start = functools.partial(ProcessPoolExecutor, 1, context, _end_with, (theirs,))
    free: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
    for _ in range(count):
        free.put(start())

    def do_one(job: Job) -> SequenceResult:
        process = free.get()
        try:
            return process.submit(evaluate_one, job).result()
        except BrokenProcessPool:
            process = start()
            return failed(job, "its process was killed, perhaps because the memory was full; try fewer --jobs")
        finally:
            free.put(process)

    try:
        # Processes inherit the blocked signals of the threads that start them: a terminal sends Ctrl-C to all.
        with ThreadPoolExecutor(count, "jobs", signal.pthread_sigmask, (signal.SIG_BLOCK, _OF_A_TERMINAL)) as threads:
            try:
                yield from threads.map(do_one, work)
            finally:
                ours.close()  # after an interrupt nobody waits for recordings that have begun
    finally:
        while not free.empty():
            free.get().shutdown()


def _end_with(run: Connection) -> None:
    """End this process as soon as the other end of ``run`` is closed, also when the process that holds it is killed."""

    def wait() -> None:
        run.poll(None)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _do_on_ray(work: Sequence[Job]) -> Iterator[SequenceResult]:
    """The same on a running Ray cluster whose machines see the same files, else on this machine."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("--workers-on ray needs the library: pip install ray") from error
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    remote: Any = ray.remote(evaluate_one).options(num_cpus=work[0].threads)
    promises = [remote.remote(job) for job in work]
    for job, promise in zip(work, promises):
        try:
            found = ray.get([promise])[0]
        except Exception as error:  # ray has many exceptions for a machine that is gone
            found = failed(job, f"{type(error).__name__}: {error}")
        yield found
