"""Command lines of any options over damaged files: an exit code, a sentence, and no half of a result."""

import json
import shutil

import cv2
import pytest
from fakes import RED, ColourModel, picture
from fuzz.doors import CAME, REFUSED, damaged, fuzz, texts
from hypothesis import given
from hypothesis import strategies as st

from sam2_ros import cli
from sam2_ros.stream import tracker_setup

SIZE = (48, 64)
numbers = st.sampled_from(
    ["16,16", "16,16,0", "0,0", "-1,5", "1e9,2", "nan,1", "16", "a,b", "", "4,4,40,40", "40,40,4,4", "1,2,3,4,5"]
)


@pytest.fixture(autouse=True)
def quick_model(monkeypatch):
    monkeypatch.setattr(tracker_setup, "_load", lambda *_: ColourModel())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    (folder / "pictures").mkdir()
    for index in range(3):
        cv2.imwrite(str(folder / "pictures" / f"{index}.png"), picture({RED: (8 + index, 8)}, SIZE)[..., ::-1])
    return folder


def run(name, arguments, capsys):
    """The exit code of a command; 1 and 2 come with a sentence and without a traceback."""
    CAME[name] += 1
    try:
        code = cli.main(arguments)
    except SystemExit as end:  # argparse
        code = end.code
    said = capsys.readouterr().err
    assert code in (0, 1, 2), code
    if code:
        REFUSED[name] += 1
        assert said.strip() and "Traceback" not in said
    return code


options = st.lists(
    st.tuples(
        st.sampled_from(["--point", "--box", "--name", "--frame", "--mask", "--image-topic"]),
        st.one_of(numbers, st.sampled_from(["0", "2", "50", "-1"]), texts.filter(lambda text: "\0" not in text)),
    ),
    max_size=4,
)


@fuzz(2)
@given(
    data=damaged(
        [
            cv2.imencode(".png", picture({RED: (8, 8)}, SIZE))[1].tobytes(),
            cv2.imencode(".jpg", picture({RED: (8, 8)}, SIZE))[1].tobytes(),
        ],
        most=1,
    ),
    options=options,
)
def test_segment_writes_all_of_its_results_or_none(folder, capsys, data, options) -> None:
    (folder / "photo.png").write_bytes(data)
    out = folder / "segmented"
    shutil.rmtree(out, ignore_errors=True)
    words = [word for option in options for word in option if option[0] != "--frame"]
    code = run(
        "command segment", ["segment", str(folder / "photo.png"), "--point", "16,16", *words, "--out", str(out)], capsys
    )
    left = {path.name for path in out.iterdir()} if out.exists() else set()
    assert left == (set() if code else {"masks.png", "overlay.png", "result.json"})
    if not code:
        json.loads((out / "result.json").read_text())


@fuzz(2)
@given(data=damaged([cv2.imencode(".png", picture({RED: (8, 8)}, SIZE))[1].tobytes()], most=1), options=options)
def test_track_writes_all_of_its_results_or_none(folder, capsys, data, options) -> None:
    (folder / "pictures" / "1.png").write_bytes(data)
    out = folder / "tracked"
    shutil.rmtree(out, ignore_errors=True)
    words = [word for option in options for word in option]
    code = run(
        "command track", ["track", str(folder / "pictures"), "--point", "16,16", *words, "--out", str(out)], capsys
    )
    left = {path.name for path in out.iterdir()} if out.exists() else set()
    assert left == (set() if code else {"masks", "overlay.mp4", "states.jsonl", "sheet.png"})
    if not code:
        lines = [json.loads(line) for line in (out / "states.jsonl").read_text().splitlines()]
        assert len(lines) == len(list((out / "masks").iterdir()))


@fuzz(2)
@given(
    command=st.sampled_from(["evaluate", "compare", "export", "replay"]),
    words=st.lists(
        st.one_of(
            texts.filter(lambda text: "\0" not in text),
            st.sampled_from(["--model", "--set", "--out", "--prompt", "--format", "--rate", "--jobs", "1-click"]),
        ),
        max_size=5,
    ),
)
def test_other_commands_refuse_nonsense_with_a_sentence(tmp_path_factory, monkeypatch, capsys, command, words) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    run(f"command {command}", [command, *words], capsys)
