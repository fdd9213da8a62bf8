"""One file per command.

Its docstring is what ``--help`` says, ``add_options(parser)`` declares the options, and ``run(parsed)``
calls one function of another room and returns the exit code.  What is heavy is imported in ``run``:
``--help``, a mistake in the options and the completion of a word by the shell need none of it.
"""
