"""Plays a bag, also one of ``ros2 bag``, to a running node."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from sam2_ros.errors import InvalidInput, RecordingError
from sam2_ros.recordings import is_bag
from sam2_ros.recordings.bags.playback import CLOCK, rounds_of, targets_of
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.topics import COMPRESSED, IMAGE
from sam2_ros.ros import player


def play(
    bag: Path,
    topics: Sequence[str] = (),
    *,
    rate: float = 1.0,
    clock: bool = True,
    start: float = 0.0,
    loop: bool = False,
    longest_gap: float = math.inf,
    tell: Callable[[str], object] = print,
) -> int:
    """Publish a bag to a running node, headers unchanged; returns the number of messages.

    topics: those to play; by default all but results, which the node publishes itself.  Prompts
    are played as the node applied them (clicks and service calls among them) where that was
    recorded, in place of the ones that it was asked for.  Removals, which are service calls only,
    are not.  clock: whether /clock goes out: the recorded one, if there is one, else the times of the
    recording.  start: seconds of the recording that are left out at its beginning, prompts included,
    but not what is latched, such as static transforms.
    loop: begin again at the end, until interrupted.  longest_gap: seconds of the recording without a message that are
    waited for; what is longer is skipped.  tell: is told what of the bag was lost.
    Raises RecordingError, InvalidInput and CannotStart.
    """
    if not (0 < rate < math.inf and 0 <= start < math.inf):
        raise InvalidInput(f"the rate must be above 0 and the start not negative; got {rate:g} and {start:g} s")
    if not longest_gap > 0:
        raise InvalidInput(f"the longest gap must be above 0 (inf = every gap is waited for); got {longest_gap:g} s")
    if not bag.exists() or not is_bag(bag):
        raise RecordingError(f"{bag} is not a bag; give the folder or the file of one")
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
    rounds = rounds_of(source, targets, round(start * 1e9), loop, tell)
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
