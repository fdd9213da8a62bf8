"""Check what would stop the node on this machine, and print what a bug report needs.

    sam2_ros doctor                   versions, GPU, model, shared memory, ROS, the image topics that are published now
    sam2_ros doctor --model large     the same, as the node would start with another model

It downloads nothing and takes a few seconds.  The exit code is 0 when the node would start, and 1 when not.
"""

from __future__ import annotations

import argparse

from sam2_ros.commands import options


def add_options(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)


def run(parsed: argparse.Namespace) -> int:
    from sam2_ros.doctor import examine

    reasons: list[str] = []
    for finding in examine(parsed.model, parsed.device, parsed.image_side):
        print(f"{finding.name:18} {finding.value}", flush=True)
        if finding.stops and finding.stops not in reasons:  # a library may be missing to several others
            reasons.append(finding.stops)
    if not reasons:
        print("\nthe node would start")
        return 0
    print("\nthe node would not start:")
    for reason in reasons:
        print(f"- {reason}")
    return 1
