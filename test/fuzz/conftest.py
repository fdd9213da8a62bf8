import importlib.util

#: As elsewhere, what cannot be imported is not tested; `make test` installs it.
collect_ignore_glob = [] if importlib.util.find_spec("hypothesis") else ["test_*.py"]
