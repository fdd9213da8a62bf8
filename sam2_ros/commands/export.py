"""Write the masks of an evaluation as a data set.

    davis        JPEGImages/SEQUENCE/*.jpg, Annotations/SEQUENCE/*.png, ImageSets/val.txt
    youtube-vos  the same with meta.json: objects and the images that show them
    sa-v         JPEGImages_24fps/SEQUENCE/*.jpg, Annotations_6fps/SEQUENCE/OBJECT/*.png
    coco-rle     JPEGImages/SEQUENCE/*.jpg, annotations.json with run-length codes (COCO for videos)

sam2_ros evaluate can read all of them.  Pictures of a folder are copied unchanged; those of bags and videos become
JPEG files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sam2_ros.commands import options
from sam2_ros.evaluation.choices import FORMATS


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a folder that sam2_ros evaluate wrote")
    parser.add_argument("--format", choices=FORMATS, required=True, help="layout of the data set that is written")
    options.add_out(parser, "where the data set is written")
    parser.add_argument(
        "--every", type=options.positive, default=1, metavar="N", help="masks of every N-th image (%(default)s)"
    )


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.evaluation.export import export

    count = export(parsed.run, parsed.format, parsed.out, parsed.every)
    print(f"{count} sequences in {parsed.out}")
    return 0
