"""Train or fine-tune a model.

    sam2_ros train --config recipe.yaml --out run        from the beginning
    sam2_ros train --resume --out run                    continue from what is saved in the folder of the run

Options override the file; everything else is as in the file, or as in the run so far.
"""

from __future__ import annotations

import argparse
import dataclasses

from sam2_ros.training.recipe import TrainSettings


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="YAML or JSON file of training settings")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the run's folder")
    for field in dataclasses.fields(TrainSettings):
        if field.name != "stages":
            parser.add_argument(
                "--" + field.name.replace("_", "-"),
                type=type(field.default),
                help=f"{field.metadata['description']} (default {field.default!r})",
            )


def run(parsed: argparse.Namespace) -> int:
    import logging

    from sam2_ros.training.train import settings_for, train

    given = vars(parsed)
    config, resume = given.pop("config"), given.pop("resume")
    overrides = {name: value for name, value in given.items() if value is not None}
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(settings_for(config, overrides, resume), resume)
    return 0
