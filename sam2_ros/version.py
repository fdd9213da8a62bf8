"""The version of this package, which is written once: in package.xml."""

import importlib.metadata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _description() -> Path | None:
    """The package.xml of this very copy: beside the source, or in share/ of the prefix that it was installed into."""
    beside = PACKAGE.parent / "package.xml"
    shared = [prefix / "share" / PACKAGE.name / "package.xml" for prefix in PACKAGE.parents]
    return next((path for path in (beside, *shared) if path.is_file()), None)


def _read() -> str:
    path = _description()
    found = ElementTree.parse(path).findtext("version") if path else None
    # A library that pip installed without the node has no package.xml.
    return found or importlib.metadata.version(PACKAGE.name)


__version__ = _read()
