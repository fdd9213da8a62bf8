"""Plays a bag, also one of ``ros2 bag``, to a running node."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sam2_ros.errors import RecordingError
from sam2_ros.recordings import is_bag
from sam2_ros.recordings.bags.playback import CLOCK, rounds_of, targets_of
from sam2_ros.recordings.bags.reader import BagReader
from sam2_ros.recordings.bags.topics import COMPRESSED, IMAGE
from sam2_ros.ros import player
from sam2_ros.ros.player import Playback


def play(
    bag: Path, topics: Sequence[str] = (), how: Playback = Playback(), tell: Callable[[str], object] = print
) -> int:
    """Publish a bag to a running node, headers unchanged; returns the number of messages.

    topics: those to play; by default all but results, which the node publishes itself.  Prompts
    are played as the node applied them (clicks and service calls among them) where that was
    recorded, in place of the ones that it was asked for.  Removals, which are service calls only,
    are not.  A recorded /clock is played in place of one of our own.  tell: called with a sentence about what was lost.
    Raises RecordingError, InvalidInput and CannotStart.
    """
    source, targets = _opened(bag, topics)
    if not how.clock:
        targets.pop(CLOCK, None)
    kinds = {topic.name: topic.type for topic in source.topics}
    images = [target for name, target in targets.items() if kinds[name] in (IMAGE, COMPRESSED)]
    rounds = rounds_of(source, targets, round(how.start * 1e9), how.loop, tell)
    first = next(rounds)  # nothing to play is said before anything is waited for
    return player.run(
        itertools.chain([first], rounds),
        [(target, kinds[name], name in source.latched) for name, target in targets.items()],
        replace(how, clock=how.clock and CLOCK not in targets),
        images,
    )


def _opened(bag: Path, topics: Sequence[str]) -> tuple[BagReader, dict[str, str]]:
    """The bag, and the topics to play by their names in it.  Raises RecordingError where one is missing."""
    if not bag.exists() or not is_bag(bag):
        raise RecordingError(f"{bag} is not a bag; give the folder or the file of one")
    source = BagReader(bag)
    targets = targets_of(source, topics)
    missing = sorted(set(topics) - set(targets))
    if missing or not targets:
        raise RecordingError(
            f"{bag} has nothing on {', '.join(missing) or 'any topic'}; it holds: {', '.join(map(str, source.topics))}"
        )
    return source, targets
