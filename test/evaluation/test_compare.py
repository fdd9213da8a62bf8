import json

import pytest
from run_command import evaluate, run_command

from sam2_ros.errors import InvalidInput, RecordingError
from sam2_ros.evaluation import compare

pytestmark = pytest.mark.usefixtures("quick_plots")


@pytest.fixture
def write(tmp_path):
    """Writes a run of this name: its scores by the path of the sequence, as (id, J&F) of each object."""

    def write(name, scores, rules="davis", **more):
        sequences = [
            {
                "name": path.rpartition("/")[2],
                "path": path,
                "objects": [{"id": number, "j_and_f": value} for number, value in objects],
            }
            for path, objects in scores.items()
        ]
        configuration = {"rules": {"name": rules}, "prompt": "mask", "on_clock": False} | more
        (tmp_path / name).mkdir()
        text = json.dumps({"sequences": sequences, "configuration": configuration})
        (tmp_path / name / "result.json").write_text(text)
        return str(tmp_path / name)

    return write


@pytest.fixture
def runs(write):
    """Two runs over the same objects, the second two points better, and some of other rules."""
    return [
        write("old", {"a": [(1, 50.0), (2, 60.0)], "b": [(1, 70.0)]}),
        write("new", {"a": [(1, 53.0), (2, 61.0)], "b": [(1, 72.0), (2, 9.0)]}),
        write("other", {"b": [(1, 70.0)]}, rules="sa-v"),
        write("few", {"b": [(1, 70.0)]}, prompt="online", clicks=3, budgets=[2], tracker={"hole_area": 8}),
        write("many", {"b": [(1, 71.0)]}, prompt="online", clicks=3, budgets=[8], tracker={"hole_area": 0}),
    ]


def test_objects_are_paired_and_means_are_over_the_shared_ones(runs):
    first, second = (compare.scores_of(compare.read_result(compare.Path(path))) for path in runs[:2])
    (result,) = compare.compare(first, {"new": second})
    assert result.difference.mean == pytest.approx(2.0)
    assert result.sequences == {"a": 2.0, "b": 2.0}
    assert (result.shared, result.unshared) == (3, 1)
    # Objects of one sequence are drawn together, and both sequences gained as much.
    assert (result.difference.low, result.difference.high) == pytest.approx((2.0, 2.0))


def test_the_command_prints_a_table_and_what_makes_runs_incomparable(runs, capsys):
    assert run_command("compare", *runs[:3]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert "| **all objects** | 70.0 | 72.0 (+2.0) | 70.0 (+0.0) |" in words, "over the one object that all three have"
    assert "| objects | 1 | 1 | 1 |" in words
    assert "| a | 55.0 | +2.0 | – |" in words
    assert "note: old has rules davis, other has sa-v" in out
    assert "note: 1 objects are only in old or only in new" in out


def test_more_clicks_are_no_better_model(runs, capsys):
    run_command("compare", *runs[3:])
    out = capsys.readouterr().out
    assert "note: few has budgets [2], many has [8]" in out and "note: few has --set hole_area 8, many has 0" in out
    assert "clicks" not in out


@pytest.mark.parametrize("place", [0, 1])
def test_a_run_without_scores_is_named(runs, write, place):
    given = runs[:1]
    given.insert(place, write("empty", {"a": [(1, None)]}))
    with pytest.raises(InvalidInput, match="no scores in: empty; a run has scores where"):
        run_command("compare", *given)


def test_one_run_is_nothing_to_compare(runs):
    with pytest.raises(InvalidInput, match="two or more"):
        run_command("compare", *runs[:1])


def test_a_folder_that_is_no_run_is_refused(runs, tmp_path):
    with pytest.raises(RecordingError, match="give the folder of an evaluation"):
        run_command("compare", runs[0], str(tmp_path / "nothing"))


def test_the_same_run_twice_differs_by_nothing(tmp_path, data_set, capsys):
    _, folder, _ = evaluate(tmp_path, data_set, "--model", "first-mask")
    capsys.readouterr()
    run_command("compare", folder, folder)
    assert "+0.0 to +0.0" in capsys.readouterr().out


def test_sequences_of_one_name_are_paired_by_their_paths(write, capsys):
    run_command(
        "compare",
        write("old", {"/monday/trial": [(1, 50.0)], "/tuesday/trial": [(1, 60.0)]}),
        write("new", {"/tuesday/trial": [(1, 64.0)], "/monday/trial": [(1, 51.0)]}),
        write("part", {"/tuesday/trial": [(1, 58.0)]}),
    )
    out = " ".join(capsys.readouterr().out.split())
    assert "| /monday/trial | 50.0 | +1.0 | – |" in out
    assert "| /tuesday/trial | 60.0 | +4.0 | -2.0 |" in out


def test_all_means_are_over_what_the_runs_share_and_the_rest_is_named(write, capsys):
    run_command(
        "compare",
        write("long", {"a": [(1, 60.0), (2, 90.0)], "b": [(1, 10.0)], "c": [(1, 20.0)]}),
        write("short", {"a": [(1, 50.0)], "z": [(1, 99.0)]}),
    )
    out = " ".join(capsys.readouterr().out.split())
    assert "| a | 60.0 | -10.0 |" in out and "| **all objects** | 60.0 | 50.0 (-10.0) |" in out
    assert "| objects | 1 | 1 |" in out
    assert "note: 4 objects are only in long or only in short: b, c, z, object 2 of a" in out
    assert "| b |" not in out and "| z |" not in out


def test_errors_of_positions_are_compared_over_the_objects_that_all_runs_with_positions_share(write, capsys):
    def with_positions(name, positions):
        path = write(name, {"a": [(1, 50.0), (2, 50.0)]})
        file = compare.Path(path) / "result.json"
        result = json.loads(file.read_text())
        result["sequences"][0]["positions"] = [
            {"id": number, "median_mm": median, "p95_mm": p95, "valid": valid}
            for number, median, p95, valid in positions
        ]
        file.write_text(json.dumps(result))
        return path

    runs = (
        with_positions("old", [(1, 4.0, 9.0, 0.5), (2, 90.0, 99.0, 0.1)]),
        with_positions("new", [(1, 3.0, 8.0, 0.75), (2, None, None, None)]),
        write("without", {"a": [(1, 50.0)]}),
    )
    assert run_command("compare", *runs) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "| positions | old | new |" in out, "and not the run without"
    assert "| error, median [mm] | 4.0 | 3.0 |" in out and "| error, p95 [mm] | 9.0 | 8.0 |" in out
    assert "| measured [%] | 50.0 | 75.0 |" in out and "| objects | 1 | 1 |" in out
    assert run_command("compare", *runs[1:]) == 0
    assert "positions" not in capsys.readouterr().out


def test_runs_that_share_no_object_all_together_are_refused(runs):
    first, second, third = {("a", 1): 1.0, ("b", 1): 2.0}, {("a", 1): 1.0}, {("b", 1): 1.0}
    with pytest.raises(InvalidInput, match="two at a time"):
        compare.compare(first, {"second": second, "third": third})
