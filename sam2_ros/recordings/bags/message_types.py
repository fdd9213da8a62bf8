"""Definitions of message types: those in a bag, those of a ROS distribution, and our own.

This and ``writer`` are the only modules that import the rosbags library.
"""

from __future__ import annotations

import re
from typing import Any

from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from sam2_ros.installation import share


class BagTypes:
    """Message types as the bag itself defines them, so that older versions of a type are read as they were."""

    def __init__(self, distribution: str | None) -> None:
        self.fallback = known_distribution(distribution)
        self._stores: dict[tuple[str, str], Typestore] = {}

    def of(self, kind: str, definition: str, idl: bool) -> Typestore:
        """The types to read messages of one kind with; rosbags raises errors of many types for a bad definition."""
        key = (kind, definition)
        if key not in self._stores:
            if not definition:
                self._stores[key] = known_types(self.fallback)
            else:
                self._stores[key] = get_typestore(Stores.EMPTY)
                self._stores[key].register(idl_types(definition) if idl else get_types_from_msg(definition, kind))
        return self._stores[key]


def known_types(distribution: Stores = Stores.LATEST) -> Typestore:
    """The types of a ROS distribution and our own: for writing, and for bags without definitions."""
    store = get_typestore(distribution)
    types: dict[str, Any] = {}
    for file in share("sam2_ros", "msg").glob("*.msg"):
        types.update(get_types_from_msg(file.read_text(), f"sam2_ros/msg/{file.stem}"))
    store.register(types)
    return store


def idl_types(definition: str) -> dict[str, Any]:
    """The types in a definition of the IDL of ROS, one or several."""
    types: dict[str, Any] = {}
    for part in re.split(r"^=+\nIDL: .*\n", definition, flags=re.MULTILINE):
        types.update(get_types_from_idl(part) if part.strip() else {})
    return types


def known_distribution(name: str | None) -> Stores:
    """The types of a ROS distribution; those of the newest for a name that is not known."""
    return Stores.__members__.get(f"ROS2_{(name or '').upper()}", Stores.LATEST)
