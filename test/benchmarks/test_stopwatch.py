"""Rows of the table of times."""

import time

import torch
from parts import stopwatch


class Model:
    """Two stages, one inside of a frame twice."""

    def encode(self):
        time.sleep(0.002)

    def decode(self):
        time.sleep(0.001)


def frames(*seconds):
    return [{"frame": one, "encode": one / 2, "decode": one / 4} for one in seconds]


def test_stages_and_the_whole_frame_are_timed():
    model, watch = Model(), stopwatch.Stopwatch(torch.device("cpu"))
    watch.watch(model, {"encode": "encode", "decode": "decode"})

    def step(_):
        model.encode()
        model.decode()
        model.decode()

    watch.frame(step, 0)
    times = watch.frames[0]
    assert times["encode"] >= 0.002 and times["decode"] >= 0.002
    assert times["frame"] >= times["encode"] + times["decode"]


def test_rows_have_medians_and_what_is_left_beside_the_stages():
    row = stopwatch.rows_of("tiny", 512, 1, {"ours": frames(0.1, 0.2, 0.3)}, [])[0]
    assert row.median == 200.0 and row.p10 < 200.0 < row.p90
    assert row.stages == {"encode": 100.0, "attend": 0.0, "decode": 50.0, "remember": 0.0, "rest": 50.0}


def test_contenders_are_compared_frame_by_frame():
    # On a machine that becomes slow: the quotient of the medians would be 15.
    timed = {"ours": frames(0.1, 0.1, 1.0), "theirs": frames(0.2, 1.5, 2.0)}
    ours, theirs = stopwatch.rows_of("tiny", 512, 1, timed, ["theirs"])
    assert ours.faster == {"theirs": 2.0} and theirs.faster == {}


def test_a_line_of_the_table_has_as_many_cells_as_its_header():
    row = stopwatch.rows_of("tiny", 512, 1, {"ours": frames(0.1), "theirs": frames(0.2)}, ["theirs"])[0]
    line = stopwatch.line(row, ["theirs"])
    assert line.count("|") == stopwatch.header(["theirs"]).splitlines()[0].count("|")
    assert line.endswith("| 2.00 |")
