"""One file per command.

Its docstring is the text of ``--help``, ``add_options(parser)`` declares the options, and ``run(parsed)`` calls one
function of another room and returns the exit code.  Heavy libraries are imported in ``run``, because ``--help``,
wrong options and shell completion do not need them.
"""
