import importlib.util

#: As elsewhere, what cannot be imported is not tested; `make test` installs it.
collect_ignore_glob = [] if importlib.util.find_spec("hypothesis") else ["test_*.py"]


def pytest_terminal_summary(terminalreporter):
    """How many inputs came to each door."""
    if collect_ignore_glob:
        return
    from fuzz.doors import CAME, REFUSED

    if CAME:
        terminalreporter.section("fuzzed doors")
        for name, count in sorted(CAME.items()):
            terminalreporter.write_line(f"{count:7} inputs, {REFUSED[name]:7} refused   {name}")
        terminalreporter.write_line(f"{sum(CAME.values()):7} in all")
