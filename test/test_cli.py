"""The command line: one sentence where something cannot be done, a traceback only for faults of ours."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sam2_ros import __version__, cli


def replace_command(monkeypatch: pytest.MonkeyPatch, run) -> None:
    """``compare`` does what ``run`` does, with any two words."""
    command = SimpleNamespace(__doc__="", add_options=lambda parser: parser.add_argument("runs", nargs=2), run=run)
    monkeypatch.setitem(sys.modules, "sam2_ros.commands.compare", command)
    monkeypatch.setitem(cli.COMMANDS, "compare", ("sam2_ros.errors", ""))


def test_a_module_that_is_not_installed_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(cli.COMMANDS, "compare", ("not_a_library.at_all", ""))
    assert cli.main(["compare", "a", "b"]) == 1
    message = capsys.readouterr().err
    assert "not_a_library" in message and message.count("\n") == 1


def test_a_missing_part_of_an_installed_library_is_named_in_full(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(cli.COMMANDS, "compare", ("email.no_such_part", ""))
    assert cli.main(["compare", "a", "b"]) == 1
    assert "the Python module email.no_such_part, which" in capsys.readouterr().err


def test_a_missing_module_of_our_own_is_a_fault_and_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "compare", ("sam2_ros.no_such_room", ""))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["compare", "a", "b"])


def test_what_is_refused_is_one_sentence_and_exit_code_1(tmp_path, capsys) -> None:
    assert cli.main(["export", str(tmp_path / "nothing"), "--format", "davis", "--out", str(tmp_path / "out")]) == 1
    assert "nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error, sentence",
    [
        (OSError(28, "No space left on device", "out/x.png"), "sam2_ros compare: out/x.png: No space left on device\n"),
        (OSError(28, "No space left on device"), "sam2_ros compare: No space left on device\n"),
    ],
)
def test_what_the_system_refuses_is_one_sentence_and_exit_code_1(monkeypatch, capsys, error, sentence) -> None:
    def failing(_):
        raise error

    replace_command(monkeypatch, failing)
    assert cli.main(["compare", "a", "b"]) == 1
    assert capsys.readouterr().err == sentence


def printing(code: str, **keywords) -> subprocess.CompletedProcess:
    """The command line in a process whose one command does what ``code`` says."""
    start = (
        "import sys, types; from sam2_ros import cli; cli.COMMANDS = {'say': ('sys', '')}; "
        "sys.modules['sam2_ros.commands.say'] = types.SimpleNamespace("
        f"__doc__='', add_options=lambda _: None, run=lambda _: {code}); sys.exit(cli.main(['say']))"
    )
    return subprocess.run([sys.executable, "-c", start], stderr=subprocess.PIPE, text=True, **keywords)


def test_a_name_that_is_no_text_is_printed_as_escapes() -> None:
    done = printing("print('caf\\udce9')", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, "caf\\udce9\n")


def test_a_full_disk_behind_the_standard_output_is_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = printing("print('x')", stdout=full)
    assert (done.returncode, done.stderr) == (1, "sam2_ros say: No space left on device\n")


def test_heavy_libraries_wait_for_the_command_that_needs_them() -> None:
    code = "import sys; from sam2_ros import cli; sys.exit(bool({'torch', 'cv2', 'rclpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_ctrl_c_while_libraries_are_imported_ends_the_process_at_once(tmp_path) -> None:
    (tmp_path / "slow_to_import.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    code = (
        "import sys; from sam2_ros import cli; cli.COMMANDS['compare'] = ('slow_to_import', '');"
        f"sys.path.append({str(tmp_path)!r}); cli.main(['compare', 'a', 'b'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGINT and done.stderr == ""


def test_messages_that_were_not_built_are_a_fault_of_the_installation(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "sam2_ros.msg", None)
    monkeypatch.setitem(cli.COMMANDS, "compare", ("sam2_ros.msg", ""))
    assert cli.main(["compare", "a", "b"]) == 1
    assert "sam2_ros.msg, which are not built here" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_is_interrupted_once_and_clears_away_what_is_half_written(
    number, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared = []

    def command(_) -> int:
        try:
            signal.raise_signal(number)
            return 0
        finally:
            signal.raise_signal(number)  # of somebody who does not want to wait
            cleared.append(True)

    replace_command(monkeypatch, command)
    assert cli.main(["compare", "a", "b"]) == 128 + number and cleared


def test_a_worker_process_of_a_command_ends_as_any_other() -> None:
    code = (
        "import os, signal, sys, time; from sam2_ros.interrupts import Interrupts\n"
        "ours, its = os.pipe()\n"
        "with Interrupts() as signals:\n"
        "    worker = os.fork()\n"
        "    if not worker:\n"
        "        os.write(its, b'x')\n"
        "        time.sleep(30)\n"
        "        os._exit(1)\n"
        "    os.read(ours, 1)\n"
        "    os.kill(worker, signal.SIGTERM)\n"
        "    sys.exit(os.WTERMSIG(os.waitpid(worker, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == signal.SIGTERM


def test_an_interrupt_that_no_signal_caused_ends_with_the_code_of_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_):
        raise KeyboardInterrupt

    replace_command(monkeypatch, interrupted)
    assert cli.main(["compare", "a", "b"]) == 130


def test_a_refused_name_that_is_no_text_is_printed_with_escapes(tmp_path, capsys) -> None:
    (tmp_path / "photo.jpg").touch()
    assert (
        cli.main(
            ["segment", str(tmp_path / "photo.jpg"), "--point", "1,1", "--name", "caf\udce9", "--out", str(tmp_path)]
        )
        == 1
    )
    assert r"caf\udce9" in capsys.readouterr().err


#: What a command must be given, where it does not start without.
GIVEN = {"record": ["--out", "bag"], "play": ["bag"]}


@pytest.mark.parametrize("command", sorted(cli.ON_ROS))
def test_a_command_on_ros_says_in_one_sentence_that_there_is_no_ros(command: str, tmp_path: Path) -> None:
    code = (
        "import sys; from importlib.machinery import PathFinder; find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *args: None if name == 'rclpy' else find(name, *args)\n"
        f"from sam2_ros import cli; sys.exit(cli.main({[command, *GIVEN.get(command, [])]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"sam2_ros {command} needs ROS 2, whose module rclpy is not found here")
    assert done.stderr.count("\n") == 1


def test_every_command_has_a_file_of_its_own_and_every_file_a_command() -> None:
    files = {path.stem.replace("_", "-") for path in (Path(cli.__file__).parent / "commands").glob("*.py")}
    assert files - {"--init--", "options", "prompt-options"} == set(cli.COMMANDS)


def test_options_need_no_heavy_library() -> None:
    code = (
        "import sys; from sam2_ros import cli; [cli.parser_of(name).format_help() for name in cli.COMMANDS]; "
        "sys.exit(' '.join({'torch', 'rclpy', 'rosbags', 'matplotlib', 'tqdm'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_option_is_explained_in_the_same_words_by_every_command() -> None:
    said: dict[str, set[str]] = {}
    for name in cli.COMMANDS:
        if name != "train":  # its options are the settings of a training
            for action in cli.parser_of(name)._actions:
                for option in action.option_strings:
                    said.setdefault(option, set()).add((action.help or "").partition(" (")[0])
    differing = {option for option, words in said.items() if len(words) > 1}
    # Another file or node in each of them; and evaluate knows models that are none of SAM 2.
    assert differing == {"--out", "--node", "--name", "--every", "--model"}
    assert all(words.startswith("a known name or the path of a checkpoint") for words in said["--model"])


def test_the_version_is_that_of_the_package(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"sam2_ros {__version__}\n"


def test_help_names_the_exit_codes_and_how_to_complete_words(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "register-python-argcomplete sam2_ros" in out
    assert re.findall(r"^  (\d+(?: \+ N)?)  ", out, re.MULTILINE) == ["0", "1", "2", "128 + N"]


@pytest.mark.parametrize("words", [["no-such-command"], [], ["compare"], ["export", "run", "--format", "other"]])
def test_wrong_usage_has_the_exit_code_2(words, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2 and "usage: sam2_ros" in capsys.readouterr().err


# -- completion by the shell -----------------------------------------------------------------------


def test_a_shell_that_completes_is_given_the_options_of_the_command_that_was_typed(monkeypatch) -> None:
    given = []

    def autocomplete(parser) -> None:
        given.append(parser)
        raise SystemExit(0)

    monkeypatch.setitem(sys.modules, "argcomplete", SimpleNamespace(autocomplete=autocomplete))
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setenv("COMP_LINE", "sam2_ros export --for")
    with pytest.raises(SystemExit):
        cli.main(["compare"])
    (parser,) = given
    parsed = parser.parse_args(["export", "run", "--format", "davis", "--out", "x"])
    assert parsed.command == "export" and parsed.format == "davis"
    assert set(cli.COMMANDS) <= set(parser.format_help().split())


@pytest.mark.parametrize(
    "line, words",
    [
        ("sam2_ros rep", {"replay"}),
        ("sam2_ros evaluate x --pr", {"--prompt"}),
        ("sam2_ros evaluate x --prompt onl", {"online", "online-sam", "online-restart"}),
        ("sam2_ros segment x.png --model em", {"embedded", "embedded_320"}),
        ("sam2_ros replay x --set hole", {"hole_area="}),
        ("sam2_ros track x --device c", {"cpu", "cuda"}),
        ("sam2_ros node --ro", {"--ros-args"}),
    ],
)
def test_words_are_completed(line: str, words: set[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    # The words go to the file descriptor 8, what the parser says to 9.
    script = 'exec "$1" -m sam2_ros 8>"$0" 9>/dev/null'
    done = subprocess.run(["bash", "-c", script, tmp_path / "words", sys.executable], env=environment)
    assert done.returncode == 0
    assert {word.strip() for word in (tmp_path / "words").read_text().split("\n")} == words
