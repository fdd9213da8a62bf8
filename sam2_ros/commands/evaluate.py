"""Many recordings in, a folder with numbers and a report out: the command ``sam2_ros evaluate``.

    sam2_ros evaluate kitchen.mcap                          the prompts that were recorded, against ground truth
    sam2_ros evaluate DAVIS --prompt 3-click --jobs 4       a data set, three clicks on each object's first frame
    sam2_ros evaluate DAVIS --prompt online --budgets 1,2,4 J&F against the number of corrected frames
    sam2_ros evaluate kitchen.mcap --on-clock               frames that come too late are dropped
    sam2_ros evaluate DAVIS --model opencv                  what one would do without SAM 2

The work list is done in this process, in several, or on a Ray cluster; the answers are the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from sam2_ros import recordings
from sam2_ros.errors import InvalidInput, MissingDependency, RecordingError, Sam2RosError
from sam2_ros.evaluation.evaluate import PROTOCOLS, RULES, Job, evaluate_one, failed
from sam2_ros.evaluation.metrics import Summary, summary
from sam2_ros.evaluation.protocols import CLICKS, MOST_FRAMES
from sam2_ros.evaluation.report import write_report
from sam2_ros.evaluation.results import SequenceResult, headline, latencies, run_folder, write_result
from sam2_ros.evaluation.trackers import BASELINES, OF_RULES, PAPER, Choice, positive, settings_from
from sam2_ros.files import clear_parts
from sam2_ros.ranges import AUTO, HELP, limits_of
from sam2_ros.recordings.bags import Bag, refuse_without_bag
from sam2_ros.recordings.folders import splits

ENGINES = ("processes", "ray")
#: Signals that a terminal sends to every process in it.
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGHUP)
#: Options that say nothing of other recordings.
OF_BAGS = ("image_topic", "truth_topic", "node")


def evaluate(
    paths: Sequence[Path],
    template: Job,
    run: Path,
    *,
    jobs: int = 1,
    engine: str = "processes",
    sequences: Sequence[str] = (),
    split: str = "",
) -> list[SequenceResult]:
    """Evaluate every recording at ``paths`` as ``template`` says and write ``run``/result.json and report.html.

    run: an existing folder.  sequences: names of those that are wanted, all when empty.  split: of a data
    set the sequences of its list of that name.
    Raises RecordingError when there is nothing to evaluate; what goes wrong with one recording
    is in its result.  When the run is interrupted, what was done until then is written.
    """
    work = work_list(paths, template, run, sequences, split)
    started = time.monotonic()
    results: list[SequenceResult] = []
    try:
        for result in do(work, jobs, engine):
            results.append(result)
    finally:
        clear_parts(run)  # of processes that were killed
        if results:
            results += [failed(job, "the run ended before it was done") for job in work[len(results) :]]
            facts = _facts(results, work) | {
                "model": template.choice.identity(),
                "configuration": configuration(template, jobs, engine),
                "seconds": round(time.monotonic() - started, 1),
            }
            write_result(run, results, total(results), facts)
            write_report(run)
    return results


def _facts(results: Sequence[SequenceResult], work: Sequence[Job]) -> dict:
    """Totals of all sequences."""
    return {
        "latency": latencies(job.folder / "timing.csv" for job in work),
        "objects": sum(len(result.objects) for result in results),
        "frames": sum(result.frames for result in results),
        "tracked": sum(result.tracked for result in results),
        "clicks": sum(result.clicks for result in results),
        "prompted_frames": sum(result.prompted_frames for result in results),
        "failed": [result.name for result in results if result.error],
    }


def work_list(
    paths: Sequence[Path], template: Job, run: Path, sequences: Sequence[str] = (), split: str = ""
) -> list[Job]:
    """One job for each wanted recording, each with a folder of its own.

    What cannot be read has a job as well, which will say so, as long as there is anything else.
    Raises RecordingError.
    """
    wanted, names, unreadable, known = [], [], [], []
    # Not resolved, although a job may be done from another folder: folders know one another by the names on the way.
    for path in map(Path.absolute, paths):
        try:
            opened = recordings.find(path, **dict(template.topics))
        except (Sam2RosError, OSError) as error:
            unreadable.append(str(error))
            wanted.append((recordings.name_of(path), path))
            continue
        known += opened
        found = [(one.name, one.path) for one in opened]
        if split:
            listed = _split(path, split)
            absent = sorted(set(listed) - {name for name, _ in found})
            if absent:
                raise RecordingError(
                    f"{path} lacks {len(absent)} of the {len(listed)} sequences of its list {split}: "
                    f"{', '.join(absent[:12])}{', ...' * (len(absent) > 12)}"
                )
            found = [(name, place) for name, place in found if name in listed]
        names += [name for name, _ in found]
        wanted += [(name, place) for name, place in found if not sequences or name in sequences]
    if known and not unreadable and not any(isinstance(one, Bag) for one in known):
        refuse_without_bag(known[0], **{name: topic for name, topic in template.topics if name in OF_BAGS})
    if not names:
        raise RecordingError("; ".join(unreadable) or f"the list {split} is empty")
    missing = set(sequences) - set(names)
    if missing:
        raise RecordingError(f"no sequence is called {', '.join(sorted(missing))}; there are: {', '.join(names)}")
    work, taken = [], set()
    for name, place in wanted:
        folder, number = name, 1
        while folder in taken:
            number += 1
            folder = f"{name}-{number}"
        taken.add(folder)
        work.append(dataclasses.replace(template, path=place, folder=run.resolve() / "sequences" / folder))
    return work


def _split(path: Path, name: str) -> list[str]:
    known = splits(path)
    if name not in known:
        raise RecordingError(f"{path} brings no list ImageSets/{name}.txt; its lists: {', '.join(known) or 'none'}")
    return known[name]


def do(work: Sequence[Job], jobs: int = 1, engine: str = "processes") -> Iterator[SequenceResult]:
    """The results of all jobs in their order.  Raises MissingDependency for an engine that is not installed."""
    quiet = not sys.stderr.isatty()
    if engine == "ray":
        yield from _do_on_ray(work)
    elif jobs == 1 or len(work) == 1:
        frames = [_length(job) for job in work]
        with tqdm(total=None if None in frames else sum(frames), unit="image", disable=quiet) as bar:
            yield from (evaluate_one(job, bar.update) for job in work)
    else:
        found = _do_in_processes(work, min(jobs, len(work)))
        yield from tqdm(found, total=len(work), unit="recording", disable=quiet)


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
        # The processes inherit from the threads that start them which signals are blocked: a terminal sends Ctrl-C to all.
        with ThreadPoolExecutor(count, "jobs", signal.pthread_sigmask, (signal.SIG_BLOCK, _OF_A_TERMINAL)) as threads:
            try:
                yield from threads.map(do_one, work)
            finally:
                ours.close()  # nobody waits for a recording that was begun when the run is interrupted
    finally:
        while not free.empty():
            free.get().shutdown()


def _end_with(run: Connection) -> None:
    """End this process as soon as the other end of ``run`` is closed, also by the death of the process that holds it."""

    def wait() -> None:
        run.poll(None)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _do_on_ray(work: Sequence[Job]) -> Iterator[SequenceResult]:
    """The same on a running Ray cluster whose machines see the same files, else on this machine."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependency("the engine ray needs the library: pip install ray") from error
    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    remote: Callable = ray.remote(evaluate_one).options(num_cpus=work[0].threads)
    promises = [remote.remote(job) for job in work]
    for job, promise in zip(work, promises):
        try:
            found = ray.get([promise])[0]
        except Exception as error:  # ray has many names for a machine that is gone
            found = failed(job, f"{type(error).__name__}: {error}")
        yield found


def total(results: Sequence[SequenceResult]) -> Summary | None:
    """Over the objects of all sequences, each object weighing the same; None without any."""
    objects = [one for result in results for one in result.objects]
    return summary(objects) if objects else None


def configuration(template: Job, jobs: int, engine: str) -> dict:
    """Everything that was chosen, defaults included."""
    return {
        "model": template.choice.model,
        **template.choice.arithmetic(),
        "prompt": template.protocol,
        "rules": {"name": template.rules, **dataclasses.asdict(RULES[template.rules])},
        "on_clock": template.on_clock,
        "clicks": template.clicks,
        "budgets": template.budgets,
        "every": template.every,
        "threads": template.threads,
        "topics": dict(template.topics),
        "tracker": template.choice.all_settings(),
        "jobs": jobs,
        "engine": engine,
    }


# -- the command line ------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """``sam2_ros evaluate``; 1 when some recording could not be evaluated."""
    parsed = parser().parse_args(arguments)
    template = template_from(parsed)
    for known in (template.choice.identity, template.choice.all_settings, template.choice.arithmetic):
        known()  # an unknown model, setting or device is refused before anything is written
    name = parsed.name or f"{time.strftime('%Y%m%d-%H%M%S')}-{recordings.name_of(Path(parsed.model))}-{parsed.prompt}"
    with run_folder(parsed.out, name) as run:
        results = evaluate(
            parsed.recordings,
            template,
            run,
            jobs=parsed.jobs,
            engine=parsed.engine,
            sequences=parsed.sequences,
            split=parsed.split,
        )
    _say(results, run)
    if not parsed.split and not parsed.sequences:
        _say_splits(parsed.recordings)
    return int(any(result.error for result in results))


def _say(results: Sequence[SequenceResult], run: Path) -> None:
    for result in [*results, None]:
        scores = headline(result.summary if result else total(results))
        name = result.name if result else "all objects"
        if result and (result.error or result.image_iou):
            shown = result.error or "  ".join(f"{100 * iou:.1f} after {n}" for n, iou in result.image_iou.items())
        elif scores["j_and_f"] is None:
            shown = "no ground truth" if result else ""
        else:
            shown = "J&F {j_and_f:5.1f}  J {j:5.1f}  F {f:5.1f}".format(**scores)
        if not result and shown:
            shown += f"  ({total(results).scored} objects)"
        if shown:
            print(f"{name:24} {shown}")
        for sentence in (*result.lost, *result.refused) if result else ():
            print(f"{'':24} {sentence}")
    print(f"results in {run}")


def _say_splits(paths: Sequence[Path]) -> None:
    """Where all of a data set was evaluated, and its lists are of parts of it."""
    for path in paths:
        lists = {name: set(listed) for name, listed in splits(path).items()}
        there = {one.name for one in recordings.find(path)} if lists else set()
        parts = [name for name, listed in lists.items() if listed < there]
        if parts and there not in lists.values():
            print(
                f"note: these are all sequences of {path}; published numbers are of one of its lists: "
                f"{', '.join(f'--split {name}' for name in parts)}"
            )


def template_from(parsed: argparse.Namespace) -> Job:
    """The job that the options describe, still without a recording.  Raises InvalidInput."""
    _refuse_unused(parsed)
    settings = (PAPER if parsed.paper else {}) | OF_RULES.get(parsed.rules, {}) | settings_from(parsed.set)
    threads = parsed.threads or (os.cpu_count() or 1 if parsed.on_clock else 1)
    if parsed.on_clock and parsed.jobs > 1:
        raise InvalidInput("--on-clock measures how fast this machine is; use it with one job at a time")
    if parsed.on_clock and parsed.prompt in ("offline", "images"):
        raise InvalidInput(f"--prompt {parsed.prompt} looks at every image; leave out --on-clock")
    limits_of(parsed.image_range)
    topics = {
        "image_topic": parsed.image_topic,
        "truth_topic": parsed.truth_topic,
        "node": parsed.node,
        "image_range": "" if parsed.image_range == AUTO else parsed.image_range,
    }
    return Job(
        Path(),
        Path(),
        Choice(parsed.model, parsed.device, tuple(sorted(settings.items()))),
        parsed.prompt,
        parsed.rules,
        parsed.on_clock,
        parsed.clicks or CLICKS,
        parsed.budgets or (MOST_FRAMES,),
        parsed.every or 1,
        tuple((name, topic) for name, topic in topics.items() if topic),
        threads,
    )


def _refuse_unused(parsed: argparse.Namespace) -> None:
    """InvalidInput for an option that would change nothing, though its user expects that it does."""
    interactive = parsed.prompt.startswith(("online", "offline"))
    if parsed.clicks and not interactive:
        raise InvalidInput(
            f"--clicks is of the prompts online and offline, not of {parsed.prompt}; "
            "on the first frame alone click with --prompt 1-click, 3-click or 5-click"
        )
    if parsed.budgets and not interactive:
        raise InvalidInput(f"--budgets is of the prompts online and offline, not of {parsed.prompt}; leave it out")
    if parsed.every and parsed.prompt != "images":
        raise InvalidInput(f"--every is of the prompt images, not of {parsed.prompt}; leave it out")
    if parsed.model in BASELINES and (parsed.set or parsed.paper):
        given = "--set" if parsed.set else "--paper"
        raise InvalidInput(f"{parsed.model} has no settings of the tracker; leave out {given}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of counts such as 1,2,4,8")
    return numbers


def parser() -> argparse.ArgumentParser:
    """The options of ``sam2_ros evaluate``."""
    top = argparse.ArgumentParser(
        prog="sam2_ros evaluate",
        description="Turn recordings into numbers and a report.",
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = top.add_argument
    add("recordings", type=Path, nargs="+", metavar="BAG|FOLDER|VIDEO", help="a data set is all of its sequences")
    add("--prompt", choices=PROTOCOLS, default="auto", help="how objects are prompted; auto = recorded, else mask")
    add("--clicks", type=positive, metavar="N", help=f"on each frame of an interactive protocol (default {CLICKS})")
    add(
        "--budgets",
        type=_numbers,
        metavar="N,N",
        help=f"frames that may be clicked on in one; a run for each (default {MOST_FRAMES})",
    )
    add("--on-clock", action="store_true", help="drop the frames that this machine is too slow for")
    add("--rules", choices=RULES, default="davis", help="which frames count; in sa-v masks may overlap (%(default)s)")
    add("--model", default="embedded", help="a known name, a path, opencv or first-mask (%(default)s)")
    add("--device", default="auto", help="cpu, cuda, ...; auto = a GPU if there is one")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the tracker; repeatable")
    add("--paper", action="store_true", help="settings of published numbers: no post-processing, no forgetting")
    add("--sequences", type=lambda text: text.split(","), default=[], metavar="A,B", help="only these of a data set")
    add(
        "--split", default="", metavar="NAME", help="only those that a data set's ImageSets/NAME.txt lists, such as val"
    )
    add("--every", type=positive, metavar="N", help="--prompt images: take every N-th image (default 1)")
    add("--image-topic", default="", metavar="TOPIC", help="the camera's topic in a bag")
    add("--truth-topic", default="", metavar="TOPIC", help="the topic of the label images in a bag")
    add("--image-range", default=AUTO, metavar="RANGE", help=HELP)
    add(
        "--node", default="", metavar="NAME", help="whose prompts in a bag are given, where several nodes were prompted"
    )
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (%(default)s)")
    add("--name", default="", help="of the run's folder; default: the time, the model and the prompt")
    add("--jobs", type=positive, default=1, metavar="N", help="recordings at a time (%(default)s)")
    add("--threads", type=positive, metavar="N", help="of each job on a CPU; default 1, with --on-clock all")
    add("--engine", choices=ENGINES, default="processes", help="what --jobs runs on (%(default)s)")
    return top
