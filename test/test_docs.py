"""The documentation is true: links lead somewhere, tables are those of the code, commands run as written."""

import argparse
import ast
import dataclasses
import importlib.util
import os
import re
import runpy
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings.bags import write_bag

from sam2_ros import cli
from sam2_ros.recordings.labels import LabelWriter
from sam2_ros.recordings.pictures import write_picture
from sam2_ros.recordings.video_writer import VideoWriter

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *sorted(DOCS.glob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}


def name_of(page):
    return str(page.relative_to(ROOT))


# -- links and files -------------------------------------------------------------------------------


def anchors(text):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_code(text):
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(TEXT[page])):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.is_file(), f"{target} is not there"
        assert not anchor or anchor in anchors(linked.read_text()), f"{target} has no such heading"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=name_of)
def test_a_page_of_the_site_links_to_its_own_folder_only(page):
    assert "](../" not in TEXT[page], "the site has nothing outside docs/; write the path as code"


def test_the_site_lists_every_page():
    listed = re.findall(r"[\w]+\.md", (ROOT / "mkdocs.yml").read_text())
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))
    assert all(f"({name})" in TEXT[DOCS / "index.md"] for name in listed if name != "index.md")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_exists(page):
    named = re.findall(r"`((?:[\w.]+/)*[\w]+\.(?:py|md|yaml|xml|json))`", without_code(TEXT[page]))
    of_others = {"metadata.yaml", "model.json", "result.json", "driver.launch.py"}
    for name in set(named) - of_others:
        folders = (ROOT, page.parent, *(ROOT / one for one in ("sam2_ros", "sam2_ros/training", "launch")))
        places = (folder / name for folder in folders)
        assert "NAME" in name or any(place.exists() for place in places), f"there is no {name}"


def test_the_readme_stays_short():
    assert len(TEXT[ROOT / "README.md"].splitlines()) <= 130


def test_the_moving_picture_moves_and_is_small():
    picture = (DOCS / "demo.webp").read_bytes()
    assert len(picture) < 2_000_000 and b"ANIM" in picture[:64]


def test_the_version_is_the_same_in_every_file():
    version = ElementTree.parse(ROOT / "package.xml").findtext("version")
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.rst").read_text()
    assert "\nForthcoming\n-----------\n" in changes or f"\n{version} (" in changes


# -- what the code knows ---------------------------------------------------------------------------


def rows_of(text, columns):
    """The rows of all tables of this width: {(set of clips, first prompt): the other cells}, without bold type."""
    rows, clips = {}, ""
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == columns and cells[1] not in ("---", "first prompt"):
            clips = cells[0].partition("(")[0].partition(",")[0].strip() or clips
            rows[clips, cells[1]] = cells[2:]
    return rows


def test_the_numbers_of_the_embedded_model_are_those_of_its_card():
    card, page = (ROOT / "sam2_ros" / "weights" / "MODEL_CARD.md").read_text(), TEXT[DOCS / "numbers.md"]
    of_masks, _, of_flags = page.partition("### Occlusion")
    scores = {row: float(cells[0]) for row, cells in rows_of(card, 7).items()}
    told = {
        row: float(cells[0])
        for row, cells in rows_of(of_masks, 6).items()
        if row[1] in ("mask", "box") or "click" in row[1]
    }
    assert len(scores) == 12 and {row: told[row] for row in scores} == scores
    flags = rows_of(card, 6)
    assert len(flags) == 8 and {row: rows_of(of_flags, 6)[row] for row in flags} == flags
    said = re.findall(r"\d+", re.search(r"it reaches (.*?)\. It flags", TEXT[ROOT / "README.md"], re.DOTALL)[1])
    kinds = [(clips, prompt) for clips in ("robot scenes", "real sequences") for prompt in ("one click", "mask")]
    assert [int(number) for number in said] == [round(scores[kind]) for kind in kinds]
    recalls = [int(cells[1].rstrip(" %")) for (clips, _), cells in flags.items() if clips == "robot scenes"]
    assert len(recalls) == 4
    assert abs(min(recalls) / 100 - 1 / 2) < 0.05 and abs(max(recalls) / 100 - 2 / 3) < 0.05
    for file in (ROOT / "README.md", DOCS / "troubleshooting.md"):
        said = re.search(r"flags half to two thirds of\s+the\s+hidden\s+frames", TEXT[file])
        assert said, f"{file.name} says otherwise"


@pytest.fixture(scope="module")
def tables():
    """The script that writes the tables."""
    pytest.importorskip("rcl_interfaces", reason="ROS 2 is not installed")
    spec = importlib.util.spec_from_file_location("interface_tables", ROOT / "scripts" / "interface_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(tables):
    """Where this fails, ``python scripts/interface_tables.py`` writes them again."""
    page = TEXT[DOCS / "interface.md"]
    assert tables.filled(page) == page
    written = set(re.findall(r"<!-- table: (\S+) -->", page))
    interfaces = {name_of(path) for folder in ("msg", "srv") for path in (ROOT / folder).iterdir()}
    assert written == {"commands", "parameters"} | interfaces


def test_every_topic_and_service_of_the_node_is_in_the_interface():
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    from ros_bench import Bench

    bench = Bench()
    try:
        node = bench.connect().node
        own = (node.get_name(), node.get_namespace())
        found = [
            *node.get_publisher_names_and_types_by_node(*own),
            *node.get_subscriber_names_and_types_by_node(*own),
            *node.get_service_names_and_types_by_node(*own),
        ]
    finally:
        bench.close()
    page = TEXT[DOCS / "interface.md"]
    for name, types in found:
        short = name.replace("/sam2_ros/", "~/", 1).removeprefix("/")
        kind = types[0].replace("/msg/", "/").replace("/srv/", "/")
        if kind.split("/")[0] in ("rcl_interfaces", "rosgraph_msgs", "type_description_interfaces"):
            continue  # every node has them
        assert re.search(rf"^\| .*`/?{re.escape(short)}`.* \| {kind}", page, re.MULTILINE), (
            f"{short} ({kind}) is missing"
        )


def text_of(node):
    """The text of a string, {} for each value in it; empty for anything else."""
    if isinstance(node, ast.BinOp):
        return text_of(node.left)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def nodes_of(name):
    return ast.walk(ast.parse((ROOT / "sam2_ros" / name).read_text()))


def test_the_headings_of_troubleshooting_are_sentences_of_the_code():
    page = TEXT[DOCS / "troubleshooting.md"]
    written = [
        *re.findall(r"^### (.+)$", page, re.MULTILINE),
        *re.findall(r"^\| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)[2:],
    ]
    beginnings = tuple(
        re.sub(r"\b(TOPIC|TYPE|VALUE|NODE|NAME|FILE|MODULE|ADDRESS|N)\b", "{}", text) for text in written
    )
    files = (
        "ros/depth.py",
        "ros/diagnosis.py",
        "ros/unused.py",
        "ros/startup.py",
        "installation.py",
        "model/downloads.py",
        "model/sizes.py",
    )
    texts = [text_of(node) for name in files for node in nodes_of(name)]
    for beginning in beginnings:
        assert any(text.startswith(beginning) for text in texts), f"no code says {beginning!r}"
    calls = [node for node in nodes_of("ros/diagnosis.py") if isinstance(node, ast.Call)]
    states = [text_of(call.args[-1]) for call in calls if ast.unparse(call.func) in ("Diagnosis", "_warning")]
    states = [text for text in states if text]
    assert len(states) > 18
    assert [text for text in states if not text.startswith(beginnings)] == [], "each needs a heading and a remedy"


def test_the_drawing_of_the_imports_shows_every_one():
    import test_layers

    drawing = re.search(r"```mermaid\nflowchart TD\n(.*?)```", TEXT[DOCS / "design.md"], re.DOTALL)[1]
    drawn = {pair for pair in re.findall(r"(\w+) --> (\w+)", drawing) if pair[1] != "words"}
    level = test_layers.LEVEL
    assert all(level[lower] < level[upper] for upper, lower in drawn), "it shows an import that goes up"
    rooms = {path.name for path in (ROOT / "sam2_ros").iterdir() if path.is_dir()}
    for path in test_layers.FILES:
        room = test_layers.room(path)
        others = {name.split(".")[1] for name in test_layers.imports(path) if name.startswith("sam2_ros.")}
        for other in (others & rooms) - {room, "msg", "srv"}:
            assert room not in rooms or reaches(drawn, room, other), f"{room} imports {other}"


def test_every_participant_of_a_drawing_is_a_file_of_the_code():
    files = re.findall(r"^ *participant \w+ as (\S+)$", TEXT[DOCS / "design.md"], re.MULTILINE)
    assert len(files) > 15
    assert [file for file in files if not (ROOT / "sam2_ros" / file).is_file()] == []


def reaches(edges, start, end):
    """Whether a way along the edges leads from start to end."""
    following = {other for room, other in edges if room == start}
    return end in following or any(reaches(edges, other, end) for other in following)


def test_the_drawn_tree_is_the_real_one():
    tree = re.search(r"```text\n(sam2_ros/.*?)```", TEXT[DOCS / "design.md"], re.DOTALL)[1]
    drawn = set(re.findall(r"\b(\w+(?:/|\.py))(?=\s|$)", tree))
    package = ROOT / "sam2_ros"
    generated = {"msg", "srv", "__pycache__", "weights"}
    real = {f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name not in generated}
    real |= {path.name for path in package.glob("*.py")} - {"__main__.py"}
    outside = {f"{path.name}/" for path in ROOT.iterdir() if path.is_dir()}
    assert real <= drawn and drawn - real - {"sam2_ros/"} <= outside


# -- commands --------------------------------------------------------------------------------------

#: Commands that prepare a shell, and those that install; nothing of that can be tried in a test.
PREPARING = {"cd", "mkdir", "git", "source", "export", "eval"}
INSTALLING = {"pip", "python3", "sudo", "rosdep", "colcon"}
#: Commands of ours that are only parsed here, and the test that runs them on what they need: a camera, a running node,
#: a server of weights, minutes.
RUN_ELSEWHERE = {
    "demo": "demo/test_run.py",
    "download": "commands/test_download.py",
    "export-onnx": "commands/test_export_onnx.py",
    "node": "ros/test_processes.py",
    "play": "ros/test_play_bag.py",
    "quantise": "commands/test_quantise.py",
    "record": "ros/test_record_bag.py",
    "train": "training/test_train.py",
}


def commands(page):
    """Every command in the page's fenced shell blocks."""
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", TEXT[page], re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield from filter(None, (part.strip() for part in re.sub(r"\s#\s.*|^\s*#.*", "", line).split("&&")))


def commands_in_sentences(page):
    """Every command in a sentence or a table, without the variables before it."""
    for code in re.findall(r"`([^`]+)`", without_code(TEXT[page])):
        command = re.sub(r"^(\w+=\S+ )+", "", " ".join(code.split()))
        if command.split()[0] in CHECKS and " " in command and not command.startswith("sam2_ros COMMAND"):
            yield command


@pytest.fixture
def image():
    """A red ball at (320, 240)."""
    image = np.full((480, 640, 3), 90, np.uint8)
    return cv2.circle(image, (320, 240), 60, (200, 40, 40), -1)


@pytest.fixture
def place(tmp_path, monkeypatch, image):
    """A folder with the files that the pages speak of."""
    write_picture(tmp_path / "photo.jpg", image)
    with VideoWriter(tmp_path / "video.mp4", 10) as video:
        for _ in range(3):
            video.write(image)
    write_bag(tmp_path / "trial", 5)
    data = tmp_path / "some" / "DAVIS"
    writer = LabelWriter(data / "Annotations" / "ball")
    for index in range(4):
        (data / "JPEGImages" / "ball").mkdir(parents=True, exist_ok=True)
        write_picture(data / "JPEGImages" / "ball" / f"{index:05d}.jpg", image)
        writer.write((image[..., 0] > 150).astype(np.uint8))
    (data / "ImageSets").mkdir()
    (data / "ImageSets" / "val.txt").write_text("ball\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if "```bash" in TEXT[page]], ids=name_of)
def test_the_commands_of_a_page_work_as_written(page, place, capsys):
    found = list(commands(page))
    assert found
    for command in found:
        words = shlex.split(command)
        check = CHECKS.get(words[0])
        if check is None:
            assert words[0] in PREPARING | INSTALLING, f"say how this test checks {command!r}"
        else:
            check(words, capsys)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_in_sentences_can_be_parsed(page, capsys):
    for command in commands_in_sentences(page):
        words = shlex.split(command)
        check = parse_ours if words[0] == "sam2_ros" else CHECKS[words[0]]
        check(words, capsys)


def run_ours(words, capsys):
    """``sam2_ros ...``: run it, or parse its arguments where another test runs it."""
    name, *arguments = words[1:]
    if name in RUN_ELSEWHERE:
        parse_ours(words, capsys)
    elif name == "doctor" and not importlib.util.find_spec("rclpy"):
        assert cli.main([name, *arguments]) == 1 and "the node needs ROS 2" in capsys.readouterr().out
    else:
        assert cli.main([name, *arguments]) == 0, capsys.readouterr().err


def parse_ours(words, capsys):
    """``sam2_ros ...``: its options exist, and so do the parameters that are given to the node."""
    name, *arguments = words[1:]
    if name.startswith("--"):
        with pytest.raises(SystemExit, match="^0$"):
            cli.main(words[1:])
    elif arguments:
        parsed = cli.parse(name, arguments)
        check_parameters([word for word in getattr(parsed, "ros_args", []) if ":=" in word])
    else:
        assert name in cli.COMMANDS


def test_what_a_page_only_shows_is_run_by_another_test():
    for name, file in RUN_ELSEWHERE.items():
        assert name in cli.COMMANDS
        assert re.search(rf'["\[(, ]{name}[\],")]', (ROOT / "test" / file).read_text()), f"{file} does not run {name}"


def check_parameters(pairs):
    parameters = settings_fields()
    for name, value in (pair.split(":=") for pair in pairs):
        assert name in parameters or value.startswith("/"), f"{name} is no parameter"


def settings_fields():
    """The fields of the node's parameters by name."""
    module = pytest.importorskip("sam2_ros.ros.parameters", reason="ROS 2 is not installed")
    return {field.name: field for settings in module.CLASSES for field in dataclasses.fields(settings)}


def check_make(words, capsys):
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    for word in words[1:]:
        name, given, _ = word.partition("=")
        assert name in targets if not given else re.search(rf"\b{name}\b", makefile), f"make has no {word}"


class Parsed(Exception):
    """A program got as far as its options."""


def check_python(words, capsys):
    """``python FILE ...`` and ``python -m MODULE ...``: begin the program, and end it when its options are parsed."""
    begin, name, *arguments = (runpy.run_module, *words[2:]) if words[1] == "-m" else (runpy.run_path, *words[1:])
    file = Path(importlib.util.find_spec(name).origin) if words[1] == "-m" else ROOT / name
    if "ArgumentParser" not in file.read_text():
        assert not arguments, f"{name} takes no arguments"
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(*given):
        raise Parsed(parse(*given))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
        patch.setattr(os, "environ", dict(os.environ))
        patch.setattr(sys, "argv", [name, *arguments])
        patch.syspath_prepend(ROOT / "benchmarks")
        try:
            with pytest.raises(Parsed):
                begin(name if words[1] == "-m" else str(file), run_name="__main__")
        except ModuleNotFoundError as error:  # of ROS, or of a simulator
            assert importlib.util.find_spec("rclpy") is None or not error.name.startswith("sam2_ros"), error


def check_ros2(words, capsys):
    """What can be known of ``ros2 ...`` without it: files, arguments, parameters, types and fields."""
    verb, rest = words[1:3], words[3:]
    if verb[0] == "launch" and verb[1] == "sam2_ros":
        text = (ROOT / "launch" / rest[0]).read_text()
        for argument in rest[1:]:
            name = argument.partition(":=")[0]
            assert name.startswith("--") or f'"{name}"' in text, f"{rest[0]} has no argument {name}"
    elif verb[0] == "run" and rest[0] == "sam2_ros":
        parse_ours(rest, capsys)
    elif verb == ["param", "set"]:
        assert rest[1] in settings_fields()
    elif verb in (["topic", "pub"], ["service", "call"]):
        kind = next(word for word in rest if "/msg/" in word or "/srv/" in word)
        check_content(kind, *rest[rest.index(kind) + 1 :])


def check_content(kind, content="{}"):
    """Every field that is given exists in the message or the request."""
    yaml = pytest.importorskip("yaml")
    package, part, name = kind.split("/")
    if package == "sam2_ros":
        fields = (ROOT / part / f"{name}.{part}").read_text().partition("---")[0]
        for field in yaml.safe_load(content):
            assert re.search(rf"^\S+ {field}\b", fields, re.MULTILINE), f"{kind} has no field {field}"


CHECKS = {"sam2_ros": run_ours, "make": check_make, "python": check_python, "ros2": check_ros2}


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in TEXT[page]], ids=name_of)
def test_the_example_of_a_page_runs(page, image, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", TEXT[page], re.DOTALL)
    names = {"first_image": image, "next_image": image}
    exec(example, names)
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert "cup" in printed and names["track"].mask.sum() > 1000
