"""Evaluates many recordings into one folder with numbers and a report."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from sam2_ros import recordings
from sam2_ros.errors import RecordingError, Sam2RosError
from sam2_ros.evaluation.choices import OF_BAGS
from sam2_ros.evaluation.evaluate import Job, failed
from sam2_ros.evaluation.job_runners import do
from sam2_ros.evaluation.metrics import RULES, Summary, summary
from sam2_ros.evaluation.positions import position_summary
from sam2_ros.evaluation.report import write_report
from sam2_ros.evaluation.results import SequenceResult, latencies, write_result
from sam2_ros.files import clear_parts, some_of
from sam2_ros.ranges import AUTO
from sam2_ros.recordings.bags.bag import Bag, refuse_without_bag
from sam2_ros.recordings.folders import splits
from sam2_ros.recordings.recording import Recording
from sam2_ros.stream.recorded_setup import as_recorded

#: Stands for a setting that differs between the recordings of a run; each result has its own value.
AS_RECORDED = "as recorded"


def evaluate(
    paths: Sequence[Path],
    template: Job,
    run: Path,
    *,
    jobs: int = 1,
    workers_on: str = "processes",
    sequences: Sequence[str] = (),
    split: str = "",
) -> list[SequenceResult]:
    """Evaluate every recording at ``paths`` as ``template`` says and write ``run``/result.json and report.html.

    run: an existing folder.  workers_on: one of ``choices.WORKERS_ON``.  sequences: names of those that are wanted,
    all when empty.  split: of a data set the sequences of its list of that name.
    Raises RecordingError when there is nothing to evaluate; what goes wrong with one recording
    is in its result.  When the run is interrupted, what was done until then is written.
    """
    work = work_list(paths, template, run, sequences, split)
    started = time.monotonic()
    results: list[SequenceResult] = []
    try:
        for result in do(work, jobs, workers_on):
            results.append(result)
    finally:
        clear_parts(run)  # of processes that were killed
        if results:
            results += [failed(job, "the run ended before it was done") for job in work[len(results) :]]
            facts = _facts(results) | {
                "model": _common([setup.identity() for setup in {job.setup: None for job in work}]),
                "configuration": _computed(results) | configuration(template, work, jobs, workers_on),
                "seconds": round(time.monotonic() - started, 1),
            }
            write_result(run, results, total(results), facts)
            write_report(run)
    return results


def _facts(results: Sequence[SequenceResult]) -> dict[str, Any]:
    """Totals of all sequences."""
    return {
        "latency": latencies(timing for result in results for timing in result.timings),
        "objects": sum(len(result.objects) for result in results),
        "frames": sum(result.frames for result in results),
        "tracked": sum(result.tracked for result in results),
        "clicks": sum(result.clicks for result in results),
        "prompted_frames": sum(result.prompted_frames for result in results),
        "positions": position_summary([one for result in results for one in result.positions]),
        "failed": [result.name for result in results if result.error],
    }


def work_list(
    paths: Sequence[Path], template: Job, run: Path, sequences: Sequence[str] = (), split: str = ""
) -> list[Job]:
    """One job for each wanted recording, each with a folder of its own.

    What cannot be read has a job as well, which will say so, as long as there is anything else.
    Raises RecordingError.
    """
    found: list[tuple[str, Path, Recording | None]] = []
    unreadable = []
    # Not resolved, although a job may be done from another folder: folders know one another by the names on the way.
    for path in map(Path.absolute, paths):
        try:
            options: dict[str, Any] = dict(template.topics)
            opened = recordings.find(path, **options)
        except (Sam2RosError, OSError) as error:
            unreadable.append(str(error))
            found.append((recordings.name_of(path), path, None))
            continue
        opened = _listed(opened, path, split) if split else opened
        found += [(one.name, one.path, one) for one in opened]
    known = [one for _, _, one in found if one is not None]
    if known and not unreadable and not any(isinstance(one, Bag) for one in known):
        refuse_without_bag(known[0], **{name: topic for name, topic in template.topics if name in OF_BAGS})
    names = [one.name for one in known]
    if not names:
        raise RecordingError("; ".join(unreadable) or f"the list {split} is empty")
    missing = set(sequences) - set(names)
    if missing:
        raise RecordingError(f"no sequence is called {', '.join(sorted(missing))}; there are: {', '.join(names)}")
    work: list[Job] = []
    taken: set[str] = set()
    for name, place, recording in found:
        if recording is not None and sequences and name not in sequences:
            continue
        folder = run.resolve() / "sequences" / _free(name, taken)
        taken.add(folder.name)
        setup, sentences = as_recorded(template.setup, recording) if recording else (template.setup, [])
        work.append(dataclasses.replace(template, path=place, folder=folder, setup=setup, recorded=tuple(sentences)))
    return work


def _listed(opened: Sequence[Recording], path: Path, split: str) -> list[Recording]:
    """The sequences of a data set that are in its list of this name.  Raises RecordingError when one is not there."""
    lists = splits(path)
    if split not in lists:
        raise RecordingError(f"{path} has no list ImageSets/{split}.txt; its lists: {', '.join(lists) or 'none'}")
    absent = sorted(set(lists[split]) - {one.name for one in opened})
    if absent:
        raise RecordingError(
            f"{path} lacks {len(absent)} of the {len(lists[split])} sequences of its list {split}: {some_of(absent)}"
        )
    return [one for one in opened if one.name in lists[split]]


def _free(name: str, taken: Collection[str]) -> str:
    """The name, numbered when it is taken."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(one for one in names if one not in taken)


def _common(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The values that are the same for all recordings, and ``AS_RECORDED`` where they differ."""
    names = dict.fromkeys(name for one in facts for name in one)
    return {
        name: facts[0].get(name) if all(one.get(name) == facts[0].get(name) for one in facts) else AS_RECORDED
        for name in names
    }


def total(results: Sequence[SequenceResult]) -> Summary | None:
    """Over the objects of all sequences, each object weighing the same; None without any."""
    objects = [one for result in results for one in result.objects]
    return summary(objects) if objects else None


def _computed(results: Sequence[SequenceResult]) -> dict[str, str]:
    """Device, precision and engine of the models; if recordings differ, all values with commas between them."""
    found = [result.computed for result in results if result.computed]
    if not found:
        return {}
    return {name: ", ".join(sorted({computed[name] for computed in found})) for name in found[0]}


def configuration(template: Job, work: Sequence[Job], jobs: int, workers_on: str) -> dict[str, Any]:
    """Everything that was chosen or recorded, defaults included."""
    setups = list(dict.fromkeys(job.setup for job in work))
    session = _common([dataclasses.asdict(setup.session()) for setup in setups])
    # Who opens the recordings again, for an export, needs all of it.
    opened = {} if session["image_range"] in (AUTO, AS_RECORDED) else {"image_range": session["image_range"]}
    return {
        "model": _common([{"model": setup.model} for setup in setups])["model"],
        "prompt": template.protocol,
        "rules": {"name": template.rules, **dataclasses.asdict(RULES[template.rules])},
        "on_clock": template.on_clock,
        "clicks": template.clicks,
        "budgets": template.budgets,
        "every": template.every,
        "threads": template.threads,
        "topics": {**dict(template.topics), **opened},
        "tracker": _common([setup.all_settings() for setup in setups]),
        "session": session,
        "depth": _common([dataclasses.asdict(setup.depth()) for setup in setups]),
        "jobs": jobs,
        "engine": workers_on,  # files keep this name; "model_engine" is what computed the model
    }
