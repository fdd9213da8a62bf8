"""Runs Python code in a separate process, because what it imports may crash or never return."""

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
