"""Compare evaluations.

The other runs are compared with the first one.  Objects are matched by id and sequence; where a run has several
sequences of one name, their paths decide.  Every mean, that of the first run as well, is over the objects that all
runs have; the others are left out and listed.  The interval is a percentile bootstrap over the sequences: it shows how
much of a difference may come from the choice of the sequences.

Where runs have positions with truth, a second table has their errors in millimetres, as means over the objects that all
of these runs share.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="folders that sam2_ros evaluate wrote, two or more"
    )


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.evaluation.compare import report

    print(report(parsed.runs))
    return 0
