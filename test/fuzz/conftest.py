from fuzz import doors


def pytest_terminal_summary(terminalreporter):
    """How many inputs came to each door."""
    if not doors.CAME:
        return
    terminalreporter.section("fuzzed doors")
    for name, count in sorted(doors.CAME.items()):
        terminalreporter.write_line(f"{count:7} inputs, {doors.REFUSED[name]:7} refused   {name}")
    terminalreporter.write_line(f"{sum(doors.CAME.values()):7} in all")
