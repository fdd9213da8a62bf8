"""Run a command as the command line does, but with its errors raised."""

import json

from sam2_ros import cli


def run_command(name, *arguments):
    """Parse the words ``arguments`` and run; the exit code."""
    return cli.command_of(name).run(cli.parse(name, [str(argument) for argument in arguments]))


def main(*arguments):
    """Run a whole command line; its exit code.  Errors are sentences on standard error."""
    return cli.main([str(argument) for argument in arguments])


def evaluate(tmp_path, *arguments):
    """Run ``evaluate``; its result.json, its folder and its exit code."""
    code = run_command("evaluate", *arguments, "--out", tmp_path / "runs", "--name", "run")
    folder = (tmp_path / "runs" / "latest").resolve()
    return json.loads((folder / "result.json").read_text()), folder, code


def files_of(folder):
    """Everything that a run wrote and that does not speak of time."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("timing.csv", "result.json", "report.html")
    }
