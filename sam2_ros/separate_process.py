"""Python code in a process of its own: what it imports may end its process, or never answer."""

from __future__ import annotations

import os
import subprocess
import sys


def run_separately(code: str, patience: float) -> subprocess.CompletedProcess[str]:
    """Run ``code`` with the modules that this process finds; raises subprocess.TimeoutExpired after ``patience`` s."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=patience, check=False
    )
