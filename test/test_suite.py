"""The suite itself is found by pytest wherever it runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What launch_testing does: it imports a module to see what is in it, before pytest collects it.
PLUGIN = """
import runpy
import pytest

def pytest_pycollect_makemodule(module_path, parent):
    runpy.run_path(str(module_path))
    return pytest.Module.from_parent(parent, path=module_path)
"""


def test_a_module_that_skips_itself_takes_no_other_with_it_beside_the_plugins_of_a_ros_installation(
    tmp_path, monkeypatch
):
    plugins = ("launch_testing", "launch_ros", "launch_pytest")
    site, tests = tmp_path / "site", tmp_path / "tests"
    (site / "plugins-1.dist-info").mkdir(parents=True)
    (site / "plugins-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (site / "plugins-1.dist-info" / "entry_points.txt").write_text(
        "\n".join(["[pytest11]", *(f"{name} = stand_in_for_{name}" for name in plugins)])
    )
    for name in plugins:
        (site / f"stand_in_for_{name}.py").write_text(PLUGIN)
    tests.mkdir()
    (tests / "test_a.py").write_text("import pytest\npytest.importorskip('not_installed_here')\n")
    (tests / "test_b.py").write_text("def test_it():\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", raising=False)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", ROOT / "pyproject.toml", "-p", "no:cacheprovider", tests],
        capture_output=True,
        text=True,
    )
    assert "1 passed, 1 skipped" in done.stdout, done.stdout + done.stderr
