"""Measure the tracker on recordings, and write a report.

    sam2_ros evaluate kitchen.mcap                          the prompts that were recorded, against ground truth
    sam2_ros evaluate DAVIS --prompt 3-click --jobs 4       a data set, three clicks on each object's first frame
    sam2_ros evaluate DAVIS --prompt online --budgets 1,2,4 J&F against the number of corrected frames
    sam2_ros evaluate kitchen.mcap --on-clock               frames for which it is too slow are dropped
    sam2_ros evaluate DAVIS --model opencv                  a baseline without SAM 2

For a recording of sam2_ros record, the recorded model and parameters are used unless you choose others.
The work is done in this process, in several, or on a Ray cluster, with the same results.
The exit code is 1 if a recording could not be evaluated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_ros.commands import options
from sam2_ros.evaluation.choices import CLICKS, MOST_FRAMES, OF_BAGS, PROTOCOLS, WORKERS_ON
from sam2_ros.evaluation.metrics import RULES

if TYPE_CHECKING:
    from sam2_ros.evaluation.evaluate import Job


def add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recordings", type=Path, nargs="+", metavar="BAG|FOLDER|VIDEO", help="of a data set all sequences are used")
    add("--prompt", choices=PROTOCOLS, default="auto", help="how objects are prompted; auto = recorded, else mask")
    add(
        "--clicks",
        type=options.positive,
        metavar="N",
        help=f"clicks on each corrected frame, with --prompt online or offline (default {CLICKS})",
    )
    add(
        "--budgets",
        type=_numbers,
        metavar="N,N",
        help=f"how many frames of an object may be corrected; one run for each number (default {MOST_FRAMES})",
    )
    add("--on-clock", action="store_true", help="drop the images that this machine is too slow for")
    add("--rules", choices=RULES, default="davis", help="which frames count; in sa-v masks may overlap (%(default)s)")
    options.add_model(parser, ", opencv or first-mask", recorded=True)
    options.add_engine(parser, recorded=True)
    options.add_settings(parser)
    add("--paper", action="store_true", help="settings of published numbers: no post-processing, no forgetting")
    add("--sequences", type=lambda text: text.split(","), default=[], metavar="A,B", help="only these of a data set")
    add(
        "--split", default="", metavar="NAME", help="only those that a data set's ImageSets/NAME.txt lists, such as val"
    )
    add("--every", type=options.positive, metavar="N", help="--prompt images: take every N-th image (default 1)")
    options.add_image_topic(parser)
    options.add_depth_topics(parser)
    add("--truth-topic", default="", metavar="TOPIC", help="the topic of the label images in a bag")
    options.add_image_range(parser, recorded=True)
    options.add_prompted_node(parser)
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are kept (%(default)s)")
    add("--name", default="", help="name of the run's folder (default: the time, the model and the prompt)")
    add("--jobs", type=options.positive, default=1, metavar="N", help="recordings at a time (%(default)s)")
    options.add_threads(parser, "1 for each job, with --on-clock all")
    add("--workers-on", choices=WORKERS_ON, default="processes", help="what --jobs runs on (%(default)s)")


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.evaluation.batch import evaluate
    from sam2_ros.evaluation.lines import lines_of, notes_on_lists
    from sam2_ros.evaluation.results import run_folder
    from sam2_ros.recordings import name_of

    template = job_from(parsed)
    template.setup.check()  # before anything is written
    name = parsed.name or f"{time.strftime('%Y%m%d-%H%M%S')}-{name_of(Path(template.setup.model))}-{parsed.prompt}"
    with run_folder(parsed.out, name) as folder:
        results = evaluate(
            parsed.recordings,
            template,
            folder,
            jobs=parsed.jobs,
            workers_on=parsed.workers_on,
            sequences=parsed.sequences,
            split=parsed.split,
        )
    for line in lines_of(results):
        print(line)
    print(f"results in {folder}")
    if not parsed.split and not parsed.sequences:
        for line in notes_on_lists(parsed.recordings):
            print(line)
    return int(any(result.error for result in results))


def job_from(parsed: argparse.Namespace) -> Job:
    """The job that the options describe, still without a recording.  Raises InvalidInput."""
    from sam2_ros.evaluation.request import Request
    from sam2_ros.stream.tracker_setup import settings_from

    return Request(
        model=parsed.model,
        device=parsed.device,
        engine=parsed.engine,
        image_side=parsed.image_side,
        settings=settings_from(parsed.set, parsed.image_range),
        paper=parsed.paper,
        protocol=parsed.prompt,
        rules=parsed.rules,
        clicks=parsed.clicks,
        budgets=parsed.budgets,
        every=parsed.every,
        on_clock=parsed.on_clock,
        jobs=parsed.jobs,
        threads=parsed.threads,
        topics={name: getattr(parsed, name) for name in OF_BAGS},
    ).job()


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        numbers = ()
    if not numbers or numbers[0] < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers, 1 or more, with commas: 1,2,4,8")
    return numbers
