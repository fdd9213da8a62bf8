"""Bags and a running node: ``sam2_ros record`` and ``sam2_ros play``.

    sam2_ros record --out kitchen                 what /sam2_ros subscribes to and publishes, until Ctrl-C
    sam2_ros record --out kitchen --node /arm/sam2_ros /tf /joint_states
    sam2_ros play kitchen                         the camera and the prompts again, with /clock
    sam2_ros play kitchen --start 12.5 --loop     from there on, over and over until Ctrl-C

Both work with bags that ``ros2 bag`` writes and reads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sam2_ros.errors import InvalidInput, RecordingError, Sam2RosError
from sam2_ros.interrupts import Interrupts
from sam2_ros.recordings import is_bag
from sam2_ros.recordings.bags import APPLIED, COMPRESSED, IMAGE, PROMPT
from sam2_ros.recordings.bags.changed_types import Converter
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.writer import BagWriter
from sam2_ros.recordings.recording import StoredMessage
from sam2_ros.ros import player, recorder
from sam2_ros.ros.start import full_node, full_topic, running_node

NODE = "/sam2_ros"
STRING = "std_msgs/msg/String"
#: What the recorder itself says, in JSON: about the node, and at the end about what it lost.
ABOUT, SUMMARY = "/sam2_ros_recorder/about", "/sam2_ros_recorder/summary"
CLOCK = "/clock"
#: Results, which a running node publishes itself.
_RESULTS = ("/masks", "/masks/compressed", "/objects", "/overlay", "/overlay/compressed")
#: Types that become prompts; so do the clicks of image viewers, which are known by their topic's name.
_ASKED = ("geometry_msgs/msg/PointStamped", "vision_msgs/msg/Detection2DArray")


def record(out: Path, topics: Sequence[str] = (), of_node: str = NODE, seconds: float | None = None) -> dict[str, Any]:
    """Record into a new bag until interrupted or for ``seconds``; returns what was written and lost by topic.

    topics: relative ones are taken as ``ros2 bag record`` takes them.  The bag also holds, as JSON, the node's
    parameters with its model (name, and in a second message version and SHA256) on ``ABOUT``, and what is returned
    on ``SUMMARY``.  A bag to which no message came is removed again.  Raises RecordingError when the bag cannot be
    created or the disk is full, and what was written by then can be read; CannotStart when ROS cannot; InvalidInput
    for names and times that cannot be.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise InvalidInput(f"a recording lasts longer than 0 seconds, and not for ever; got {seconds:g} s")
    out, of_node = out.expanduser(), full_node(of_node) if of_node else ""
    if os.path.lexists(out):
        raise RecordingError(f"{out} exists already; give the name of a new bag")
    with Interrupts() as interrupts, running_node("sam2_ros_recorder", interrupts) as node:
        wanted = [full_topic(topic, node) for topic in topics]
        with _new_bag(out) as writer:
            outcome = recorder.run(
                node,
                writer.write,
                wanted,
                of_node,
                partial(_tell, writer, of_node),
                math.inf if seconds is None else seconds,
            )
            if outcome.failure is not None:
                raise outcome.failure
            summary = {"written": outcome.written, "lost": outcome.lost, "not_installed": outcome.not_installed}
            _note(writer, SUMMARY, summary)
    return summary


@contextmanager
def _new_bag(out: Path) -> Iterator[BagWriter]:
    """A bag to write into; it is removed again, lest it block the next try, when nothing but notes was written."""
    written: Counter[str] = Counter()
    try:
        with BagWriter(out) as writer:
            written = writer.written
            yield writer
    finally:
        if not set(written) - {ABOUT, SUMMARY}:
            with suppress(OSError):  # it was never made, or somebody else's file lies there
                for file in (out / f"{out.name}.mcap", out / "metadata.yaml"):
                    file.unlink(missing_ok=True)
                out.rmdir()


def _tell(writer: BagWriter, of_node: str, parameters: dict[str, Any]) -> None:
    """Note what is known of a node: its parameters at once, and with its model once that was looked up, which takes a while."""
    model = str(parameters.get("model", ""))
    with suppress(RecordingError):  # the bag is full or closed, which is not for this thread to say
        _note(writer, ABOUT, {"node": of_node, "model": {"name": model}, "parameters": parameters})
        _note(writer, ABOUT, {"node": of_node, "model": _identity(model), "parameters": parameters})


def _identity(model: str) -> dict[str, str]:
    """Name, version and checksum of a model, as far as this machine has it, too."""
    try:
        from sam2_ros.model import checkpoint  # brings torch, which a recorder on a small machine can do without

        known = checkpoint.identify(model, download=False)
        return {"name": known.name, "version": known.version, "sha256": known.sha256}
    except (Sam2RosError, ImportError) as error:
        return {"name": model, "unknown": str(error)}


def _note(writer: BagWriter, topic: str, content: dict[str, Any]) -> None:
    writer.write(topic, STRING, time.time_ns(), SimpleNamespace(data=json.dumps(content, default=list)), latched=True)


def play(
    bag: Path,
    topics: Sequence[str] = (),
    rate: float = 1.0,
    clock: bool = True,
    start: float = 0.0,
    loop: bool = False,
    longest_gap: float = player.LONGEST_GAP,
) -> int:
    """Publish a bag to a running node, headers unchanged; returns the number of messages.

    topics: those to play; by default all but results, which the node publishes itself.  Prompts
    are played as the node applied them (clicks and service calls among them) where that was
    recorded, in place of the ones that it was asked for.  Removals, which are service calls only,
    are not.  clock: whether /clock goes out: the recorded one, if there is one, else the times of the
    recording.  start: seconds of the recording that are left out at its beginning, prompts included,
    but not what is latched, such as static transforms.
    loop: begin again at the end, until interrupted.  longest_gap: seconds of the recording without a message that are
    waited for; what is longer is skipped.  Raises RecordingError, InvalidInput and CannotStart.
    """
    if not (0 < rate < math.inf and 0 <= start < math.inf):
        raise InvalidInput(f"the rate must be above 0 and the start not negative; got {rate:g} and {start:g} s")
    if not longest_gap > 0:
        raise InvalidInput(f"the longest gap must be above 0 (inf = every gap is waited for); got {longest_gap:g} s")
    if not bag.exists() or not is_bag(bag):
        raise RecordingError(f"{bag} is no bag; give the folder or the file of one")
    source = BagReader(bag)
    targets = targets_of(source, topics)
    missing = sorted(set(topics) - set(targets))
    if missing or not targets:
        raise RecordingError(
            f"{bag} has nothing on {', '.join(missing) or 'any topic'}; it holds: {', '.join(map(str, source.topics))}"
        )
    if not clock:
        targets.pop(CLOCK, None)
    kinds = {topic.name: topic.type for topic in source.topics}
    images = [target for name, target in targets.items() if kinds[name] in (IMAGE, COMPRESSED)]
    rounds = _rounds(source, targets, round(start * 1e9), loop)
    first = next(rounds)  # nothing to play is said before anything is waited for
    published, _ = player.run(
        itertools.chain([first], rounds),
        [(target, kinds[name], name in source.latched) for name, target in targets.items()],
        rate,
        clock and CLOCK not in targets,
        wait_for=images,
        longest_gap=longest_gap,
    )
    return published


def _rounds(source: BagReader, targets: dict[str, str], start: int, loop: bool) -> Iterator[Iterator[StoredMessage]]:
    """The messages from ``start`` (nanoseconds) on under their new topics, once or for ever; says once what was lost."""
    said: set[str] = set()
    converter = Converter(print)
    while True:
        lost: list[str] = []
        messages = source.messages(set(targets), lost)
        first = newest = next(messages, None)
        if first is None:
            raise RecordingError(f"nothing of {source.path} can be played: {'; '.join(lost) or 'no topic is left'}")
        latched: list[StoredMessage] = []
        while newest.time - first.time < start:
            latched += [newest] if newest.latched else []
            last, newest = newest.time, next(messages, None)
            if newest is None:
                raise RecordingError(
                    f"{source.path} ends {(last - first.time) / 1e9:.3f} s after its first message; "
                    f"start before that, not at {start / 1e9:g} s"
                )
        in_force = (replace(message, time=newest.time) for message in latched)
        yield (
            replace(message, topic=targets[message.topic])
            for message in converter.convert(itertools.chain(in_force, [newest], messages))
        )
        for sentence in set(lost) - said:
            print(sentence)
        said |= set(lost)
        if not loop:
            return


def targets_of(source: BagReader, topics: Sequence[str]) -> dict[str, str]:
    """Under which topic each topic of a bag is played."""
    names = {topic.name: topic for topic in source.topics if topic.count}
    if topics:
        return {name: name for name in topics if name in names}
    applied = {name.removesuffix(APPLIED) for name in names if name.endswith(APPLIED)}
    nodes = {name.removesuffix("/prompt") for name in applied}
    results = {node + part for node in nodes | {NODE} for part in _RESULTS} | {ABOUT, SUMMARY, *applied}
    if applied:  # what clicks and detections led to is among the prompts that were applied
        results |= {name for name, topic in names.items() if topic.type in _ASKED or name.endswith("_mouse_left")}
    return {
        name: name.removesuffix(APPLIED) if topic.type == PROMPT else name
        for name, topic in names.items()
        if name not in results
    }


def main_record(arguments: Sequence[str]) -> int:
    """``sam2_ros record``."""
    parser = _parser("record", "Record a running node into a bag.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="more topics")
    parser.add_argument("--out", type=Path, required=True, metavar="BAG", help="folder of the new bag")
    parser.add_argument("--node", default=NODE, help='whose topics are recorded; "" = none (%(default)s)')
    parser.add_argument("--seconds", type=float, help="end by itself after so long")
    parsed = parser.parse_args(arguments)
    summary = record(parsed.out, parsed.topics, parsed.node, parsed.seconds)
    asked = {f"/{topic.removeprefix('/')}" for topic in parsed.topics}
    for topic in sorted({*asked, *summary["written"], *summary["lost"]}):
        lost = summary["lost"].get(topic, 0)
        print(f"{summary['written'].get(topic, 0):8} {topic}" + (f"   LOST {lost}" if lost else ""))
    if not summary["written"]:
        print(
            f"nothing was recorded: is {parsed.node or 'what the topics name'} running, in this ROS_DOMAIN_ID? No bag is left"
        )
        return 1
    print(f"recorded into {parsed.out}")
    return 0


def main_play(arguments: Sequence[str]) -> int:
    """``sam2_ros play``."""
    parser = _parser("play", "Publish a bag to a running node.")
    parser.add_argument("bag", type=Path, metavar="BAG")
    parser.add_argument("--topics", nargs="+", default=(), metavar="TOPIC", help="only these")
    parser.add_argument("--rate", type=float, default=1.0, help="speed; 1 = as recorded")
    parser.add_argument(
        "--start",
        "--start-offset",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="begin so long after the first message",
    )
    parser.add_argument("--loop", "-l", action="store_true", help="begin again at the end, until Ctrl-C")
    parser.add_argument("--no-clock", action="store_true", help="do not publish /clock")
    parser.add_argument(
        "--longest-gap",
        type=float,
        default=player.LONGEST_GAP,
        metavar="SECONDS",
        help="skip what is longer without any message; inf = wait for everything (%(default)g)",
    )
    parsed = parser.parse_args(arguments)
    topics = [f"/{topic.removeprefix('/')}" for topic in parsed.topics]
    count = play(
        parsed.bag.expanduser(), topics, parsed.rate, not parsed.no_clock, parsed.start, parsed.loop, parsed.longest_gap
    )
    print(f"{count} messages played")
    return 0 if count else 1


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"sam2_ros {command}",
        description=description,
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
