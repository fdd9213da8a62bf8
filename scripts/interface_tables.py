"""Writes the tables of docs/interface.md that the code knows: ``python scripts/interface_tables.py``.

A generated part of the page stands between two comments, ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sam2_ros.cli import COMMANDS
from sam2_ros.ros.parameters import CLASSES, FIXED

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "interface.md"
_PART = re.compile(r"<!-- table: (\S+) -->\n.*?<!-- end -->", re.DOTALL)
_FIELD = re.compile(r"(?P<type>\S+)\s+(?P<name>\w+)(?P<value>=\S+)?\s*(?:#\s*(?P<comment>.*))?$")


def filled(page: str) -> str:
    """``page`` with every generated part written again."""
    return _PART.sub(lambda part: f"<!-- table: {part[1]} -->\n{_table(part[1])}\n<!-- end -->", page)


def _table(name: str) -> str:
    if name == "commands":
        return _rows(("command", "what it does"), ((f"`{key}`", text) for key, (_, text) in COMMANDS.items()))
    if name == "parameters":
        return _parameters()
    return _interface(ROOT / name)


def _parameters() -> str:
    fields = [field for settings in CLASSES for field in dataclasses.fields(settings)]
    return _rows(("parameter", "default", "values", "can change while running", "meaning"), map(_parameter, fields))


def _parameter(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    low, high, choices = (field.metadata[key] for key in ("low", "high", "choices"))
    values = ", ".join(f"`{choice}`" for choice in choices or ())
    if low is not None and high is not None:
        values = f"{low} to {high}"
    default = json.dumps(field.default)
    live = "no" if field.name in FIXED else "yes"
    return f"`{field.name}`", f"`{default}`", values, live, field.metadata["description"]


def _interface(path: Path) -> str:
    """The introduction of one .msg or .srv file and a table of its fields."""
    introduction, parts = _read(path)
    titles = [""] if len(parts) == 1 else ["Request", "Response"]
    text = [introduction]
    for title, rows in zip(titles, parts):
        table = _rows(("field", "type", "meaning"), rows) if rows else "Empty."
        text.append(f"*{title}*\n\n{table}" if title else table)
    return "\n\n".join(text)


def _read(path: Path) -> tuple[str, list[list[tuple[str, str, str]]]]:
    """What stands above a file's first field, and the fields of its message, or of its request and its response."""
    introduction, comments = "", []
    parts: list[list[tuple[str, str, str]]] = [[]]
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            comments.append(line.removeprefix("#").strip())
            continue
        field = _FIELD.match(line)
        if field is not None:
            meaning = field["comment"] or " ".join(comments)
            parts[-1].append((f"`{field['name']}{field['value'] or ''}`", f"`{field['type']}`", meaning))
        if field is None or field["comment"]:
            introduction = introduction or " ".join(comments).replace("  ", " ")
        if line == "---":
            parts.append([])
        comments = []
    return introduction, parts


def _rows(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join(text).replace("  ", " ")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
