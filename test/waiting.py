"""Waiting in tests for something that another thread or process does."""

import time

#: Seconds after which something that should happen has not.
PATIENCE = 30.0


def wait_until(condition, what, patience=PATIENCE):
    """What ``condition`` returns once it is true."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {patience:g} s for {what}, which did not happen")
