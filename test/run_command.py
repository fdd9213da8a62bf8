"""Run a command as the command line does, but with its errors raised."""

from sam2_ros import cli


def run_command(name, *arguments):
    """Parse the words ``arguments`` and run; the exit code."""
    return cli.command_of(name).run(cli.parse(name, [str(argument) for argument in arguments]))
