"""The front door: five names and a version, imported from the package itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sam2_ros

ROOT = Path(__file__).parents[1]
NAMES = ("load", "Tracker", "Frame", "Prompt", "Track")

#: The example of the package's docstring, and arguments as people write them.
EXAMPLE = """
import numpy as np
from sam2_ros import Frame, Prompt, Track, Tracker, __version__, load

image = np.zeros((480, 640, 3), np.uint8)
tracker = Tracker(load("embedded"))
tracker.track(Frame(image))
tracker.prompt(Prompt("cup", points=[(320, 200)], labels=[1]))
tracks: list[Track] = tracker.track(Frame(image[:, ::-1], stamp=33_000_000))

Prompt("cup", points=np.array([[320.5, 200.0], [10.0, 20.0]]), labels=np.array([1, 0]))
Prompt("cup", box=(10, 20, 110.5, 220), replace=True)
Prompt("cup", box=[10, 20, 110, 220], mask=[[0, 1], [1, 1]])
Prompt(mask=tracks[0].mask)
version: str = __version__
"""


def python(code: str, *, isolated: bool = False) -> str:
    command = [sys.executable, *(["-I"] if isolated else []), "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_the_one_of_its_room(name: str) -> None:
    pytest.importorskip("torch")
    value = getattr(sam2_ros, name)
    assert value.__name__ == name and value.__module__.startswith("sam2_ros.")
    assert name in dir(sam2_ros) and name in sam2_ros.__all__


def test_every_name_is_listed_before_it_is_imported() -> None:
    assert python("import sam2_ros; print(*sorted({*sam2_ros.__all__} - {*dir(sam2_ros)}))") == ""
    assert {*sam2_ros.__all__} == {*NAMES, "__version__"}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'sam2_ros' has no attribute 'Trakcer'"):
        _ = sam2_ros.Trakcer
    with pytest.raises(ImportError, match="Trakcer"):
        exec("from sam2_ros import Trakcer")


@pytest.mark.parametrize("line", ["import sam2_ros", "from sam2_ros import Frame, Prompt, Track, __version__"])
def test_torch_is_loaded_when_the_model_is_used_and_not_before(line: str) -> None:
    assert python(f"{line}; import sys; print('torch' in sys.modules)") == "False"


def test_the_version_is_that_of_package_xml() -> None:
    written = re.search(r"<version>(.*)</version>", (ROOT / "package.xml").read_text())
    assert written and sam2_ros.__version__ == written[1]


def copied_package(to: Path) -> Path:
    """The two files that know the version, without the rest."""
    package = to / "sam2_ros"
    package.mkdir(parents=True)
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "sam2_ros" / name, package)
    return package


def version_of(package: Path) -> str:
    return python(
        f"import sys; sys.path.insert(0, {str(package.parent)!r}); import sam2_ros; print(sam2_ros.__version__)",
        isolated=True,
    )


def test_an_installation_by_colcon_knows_its_version(tmp_path: Path) -> None:
    package = copied_package(tmp_path / "lib/python3/site-packages")
    share = tmp_path / "share/sam2_ros"
    share.mkdir(parents=True)
    (share / "package.xml").write_text("<package><version>7.8.9</version></package>")
    assert version_of(package) == "7.8.9"


def test_an_installation_by_pip_knows_its_version_without_a_package_xml(tmp_path: Path) -> None:
    package = copied_package(tmp_path)
    metadata = tmp_path / "sam2_ros-4.5.6.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sam2_ros\nVersion: 4.5.6\n")
    assert version_of(package) == "4.5.6"


def test_the_messages_of_an_installed_copy_are_found_beside_another_copy(tmp_path: Path) -> None:
    copied_package(tmp_path / "source")
    generated = tmp_path / "installed/sam2_ros/msg"
    generated.mkdir(parents=True)
    (generated.parent / "__init__.py").touch()
    (generated / "__init__.py").write_text("Prompt = 'a message'")
    folders = [str(tmp_path / "source"), str(tmp_path / "installed")]
    code = f"import sys; sys.path[:0] = {folders!r}; from sam2_ros.msg import Prompt; print(Prompt)"
    assert python(code, isolated=True) == "a message"


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says in strict mode of two files of a user's project; torch is left out, which takes long to read."""
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = shutil.which("mypy", path=search)
    if not command:
        pytest.skip("mypy is not installed")
    folder = tmp_path_factory.mktemp("typed")
    (folder / "example.py").write_text(EXAMPLE)
    (folder / "misspelt.py").write_text("from sam2_ros import Trakcer\nTrakcer()\n")
    (folder / "mypy.ini").write_text(
        "[mypy]\nstrict = true\nfollow_imports = silent\n"
        "[mypy-torch.*,safetensors.*]\nfollow_imports = skip\n"
        "[mypy-tqdm.*]\nignore_missing_imports = true\n"
    )
    found = subprocess.run(
        [command, "--python-executable", sys.executable, "example.py", "misspelt.py"],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.returncode in (0, 1), found.stderr
    lines = found.stdout.splitlines()
    return {name: "\n".join(line for line in lines if line.startswith(name)) for name in ("example.py", "misspelt.py")}


def test_the_example_passes_a_type_checker(complaints: dict[str, str]) -> None:
    assert complaints["example.py"] == ""


def test_a_type_checker_finds_a_misspelt_name(complaints: dict[str, str]) -> None:
    assert '"Trakcer"' in complaints["misspelt.py"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "sam2_ros/py.typed").is_file()
    assert '"py.typed"' in (ROOT / "pyproject.toml").read_text()
