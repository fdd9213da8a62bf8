"""Milliseconds per frame of the tracker, whole: resize, encode, attend, decode, remember, masks at camera size.

    python benchmarks/speed.py
    python benchmarks/speed.py --size edgetam_512 tiny_512 --objects 1 4 --peers --json speed_512.json
    python benchmarks/speed.py --size tiny_512 --precision float32 bfloat16 --engine torch openvino --peers
    python benchmarks/speed.py --size embedded_lite --objects 1 2 4 8 16 --floors

All contenders get the same frames, prompts and random weights in one process, and take turns frame by frame, so that
their ratios hold on a machine whose speed drifts.  Every memory is full when timing starts.  Contenders are ours in
each --engine and --precision, and with --peers the official code and transformers where they have that size, in each
--precision (bfloat16: under autocast).

The table is Markdown; its lines are printed as soon as they are measured.  "rest" is what a frame takes besides the
four stages.  "times as fast" is the median of the ratios of single frames.  The official code and transformers
enlarge a mask to the side of the image in "decode", ours in "remember".

--floors: a second table, with what each stage of ours in PyTorch takes at least (see parts/floors.py), and the share
of its time that this is.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sam2_ros import cpu_threads

cpu_threads.prepare()  # as the command line does, before torch is imported

import torch
from parts.contenders import PEERS, Contender, Ours, contenders, size_named
from parts.floors import Ceiling, Count, Work, ceiling, floor_header, floor_line
from parts.stopwatch import Row, Stopwatch, header, line, rows_of

from sam2_ros.errors import Sam2RosError
from sam2_ros.model.sizes import EMBEDDED_LITE, SIZES, Size

#: Frames until six memories and fifteen pointers are there.
WARM_UP = 16


def references(names: Sequence[str]) -> list[str]:
    """Those that the others are compared with: the peers, without peers our first one, alone none."""
    peers = [name for name in names if not name.startswith("sam2_ros")]
    return peers or (list(names[:1]) if len(names) > 1 else [])


class Race:
    """The contenders of one size, which are timed in turn."""

    def __init__(self, size: Size, device: torch.device, entered: Sequence[Contender], warm_up: int = WARM_UP) -> None:
        self.size, self.device, self.entered, self.warm_up = size, device, entered, warm_up
        self.watches = {one.name: Stopwatch(device) for one in entered}
        for one in entered:
            self.watches[one.name].watch(one.watched, one.methods)

    def run(self, objects: int, frames: int, against: Sequence[str]) -> list[Row]:
        """Time ``frames`` frames with this many objects; against: the names of the ``references``."""
        count = self.warm_up + frames
        steps = {one.name: one.begin(objects, count) for one in self.entered}
        for number in range(count):
            for name, step in steps.items():
                self.watches[name].frame(step, number)
        timed = {name: self.watches[name].frames[-frames:] for name in steps}
        return rows_of(self.size.name, self.size.image_size, objects, timed, against)

    def work(self, contender: Contender, objects: int) -> dict[str, Work]:
        """What each stage does on a frame when memories are full."""
        step = contender.begin(objects, self.warm_up + 1)
        for number in range(self.warm_up):
            step(number)
        count = Count(contender.watched, contender.methods)
        step(self.warm_up)
        count.stop()
        return count.work


def floors(race: Race, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The floors of the stages of ours in PyTorch, for these rows."""
    found = []
    for one in race.entered:
        if not isinstance(one, Ours) or one.engine != "torch":
            continue
        most: Ceiling = ceiling(race.device, getattr(torch, one.precision))
        for row in (row for row in rows if row.contender == one.name):
            for stage, work in race.work(one, row.objects).items():
                found.append(
                    {
                        "size": row.size,
                        "side": row.side,
                        "objects": row.objects,
                        "contender": row.contender,
                        "stage": stage,
                        "work": asdict(work),
                        "ceiling": asdict(most),
                        "floor": 1e3 * most.floor(work),
                        "measured": row.stages[stage],
                    }
                )
    return found


def print_floors(found: Sequence[dict[str, Any]]) -> None:
    """The second table."""
    for one in {entry["contender"]: entry for entry in found}.values():
        most = one["ceiling"]
        print(f"\n{one['contender']}: at most {most['operations'] / 1e9:.0f} GFLOP/s, {most['bytes'] / 1e9:.1f} GB/s")
    print(f"\n{floor_header()}")
    for one in found:
        cells = (f"{one['size']} {one['side']}", str(one["objects"]), one["contender"])
        print(floor_line(cells, one["stage"], Work(**one["work"]), one["floor"], one["measured"]))


def measured(chosen: argparse.Namespace) -> tuple[list[Row], list[dict[str, Any]]]:
    """Run all races, and print each row when it is there."""
    device, rows, least = torch.device(chosen.device), [], []
    peers = PEERS if chosen.peers == [] else chosen.peers or ()
    for size in chosen.size:
        entered = contenders(size, device, chosen.engine, chosen.precision, peers)
        race = Race(size, device, entered, chosen.warm_up)
        against = references([one.name for one in entered])
        print(f"\n{header(against)}", flush=True)
        of_size = []
        for count in chosen.objects:
            for row in race.run(count, chosen.frames, against):
                of_size.append(row)
                print(line(row, against), flush=True)
        rows += of_size
        least += floors(race, of_size) if chosen.floors else []
    return rows, least


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--size",
        type=size_named,
        nargs="+",
        default=[EMBEDDED_LITE],
        metavar="SIZE",
        help=f"one or more of {', '.join(SIZES)}, alone or with a side of the image: tiny_512 (default: "
        "embedded_lite, which ships as embedded)",
    )
    options.add_argument("--objects", type=int, nargs="+", default=[1, 3, 8])
    options.add_argument("--engine", nargs="+", default=["torch"], choices=["torch", "openvino", "openvino_int8"])
    options.add_argument("--precision", nargs="+", default=["float32"], choices=["float32", "bfloat16"])
    options.add_argument("--peers", nargs="*", choices=PEERS, help="other implementations; without a name: all")
    options.add_argument("--floors", action="store_true", help="what each stage takes at least")
    options.add_argument("--frames", type=int, default=40, help="timed frames for each row")
    options.add_argument("--warm-up", type=int, default=WARM_UP, help="frames before those; memories are full after 7")
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=0)
    options.add_argument("--json", type=Path, help="write the figures to this file too")
    return options


def main() -> None:
    chosen = parser().parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    facts = {
        "device": chosen.device,
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "frames": chosen.frames,
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    try:
        rows, least = measured(chosen)
    except Sam2RosError as error:
        raise SystemExit(str(error)) from None
    if least:
        print_floors(least)
    if chosen.json:
        contents = {**facts, "rows": [asdict(row) for row in rows], "floors": least}
        chosen.json.write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main()
