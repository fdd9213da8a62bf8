"""At what times a bag is played, with a stand-in for time and for its publisher."""

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from sam2_ros.commands.play import LONGEST_GAP
from sam2_ros.ros import player
from sam2_ros.ros.player import Playback, Player

SECOND = 10**9


@pytest.fixture
def play(monkeypatch):
    """Plays messages of these times, in seconds; when they were published, and what was said."""
    now = [0.0]
    monkeypatch.setattr(player.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(player.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + max(seconds, 0.5)))

    def run(*times, longest_gap=LONGEST_GAP, rate=1.0):
        said, published, start = [], [], now[0]
        logger = SimpleNamespace(warning=said.append)
        one = Player(
            SimpleNamespace(get_logger=lambda: logger), Playback(rate=rate, clock=False, longest_gap=longest_gap)
        )
        one._publishers["/x"] = SimpleNamespace(publish=lambda raw: published.append(round(now[0] - start)))
        one.play(SimpleNamespace(time=round(at * SECOND), topic="/x", raw=b"") for at in times)
        return published, said

    return run


def test_a_pause_is_waited_for_and_said(play):
    published, said = play(0, 1, 21, 22)
    assert published == [0, 1, 21, 22]
    assert len(said) == 1 and "a gap of 20.0 s" in said[0] and "--longest-gap 5" in said[0]


def test_a_clock_that_was_set_after_the_start_of_a_recording_is_not_waited_for(play):
    published, said = play(0, 1, 1.7e9, 1.7e9 + 1)
    assert published == [0, 1, 1, 2]
    assert len(said) == 1 and "a gap of 1699999999.0 s" in said[0] and "skipped" in said[0]


def test_what_is_skipped_is_the_users_to_say(play):
    assert play(0, 21, 22, longest_gap=5.0)[0] == [0, 0, 1]
    assert play(0, 100, longest_gap=math.inf)[0] == [0, 100]


def test_a_pause_that_takes_long_only_because_it_is_played_slowly_is_said_too(play):
    published, said = play(0, 4, rate=0.5)
    assert published == [0, 8] and "a gap of 4.0 s" in said[0]
    assert play(0, 8, rate=2.0) == ([0, 4], [])


def test_a_clock_that_goes_back_is_said_and_what_follows_keeps_its_pace(play):
    published, said = play(100, 101, 50, 51, 52)
    assert published == [0, 1, 1, 2, 3]
    assert len(said) == 1 and "goes back by 51.0 s" in said[0]
