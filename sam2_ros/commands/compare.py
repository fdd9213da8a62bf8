"""Put evaluations side by side.

The first run is what the others are compared with.  Objects are paired by id and sequence, whose
path counts where a run has several of one name.  Every mean of a row, the first run's too, is over
the same objects: those that all runs have.  What only some of them have is left out and named.  The
interval is a percentile bootstrap over the sequences: it says how much of a difference could be luck
in their choice.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of sam2_ros evaluate, two or more")


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.evaluation.compare import report

    print(report(parsed.runs))
    return 0
