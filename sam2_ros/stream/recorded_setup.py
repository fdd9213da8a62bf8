"""The model and the parameters that were recorded with a bag, where no others are chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

from sam2_ros.errors import CheckpointError, InvalidInput, MissingDependency
from sam2_ros.model import checkpoint
from sam2_ros.model.names import PUBLISHED, without_side
from sam2_ros.node_settings import NodeSettings
from sam2_ros.recordings.bags.notes import About, about
from sam2_ros.recordings.recording import Recording
from sam2_ros.settings import convert
from sam2_ros.stream.tracker_setup import DEFAULT_MODEL, FIELDS, TrackerSetup, checked
from sam2_ros.tracking.settings import TrackerSettings

#: Parameters of the node that change no mask, and those that are read apart: model, image_side and engine.
OF_NODE = frozenset(field.name for field in dataclasses.fields(NodeSettings))
#: Parameters that rclpy gives to every node, besides those with a dot in their names.
OF_RCLPY = frozenset({"use_sim_time", "start_type_description_service"})


def as_recorded(chosen: TrackerSetup, recording: Recording) -> tuple[TrackerSetup, list[str]]:
    """``chosen``, completed by the recorded model and parameters, and sentences about it; unchanged without a record.

    Of the parameters only these are used: the settings of tracker and session, the engine if it is installed, and the
    image side with the recorded model (another model that was chosen keeps its own).  Parameters that this version
    does not know, and invalid values, are named and left out.
    """
    noted = about(recording)
    if noted is None:
        return chosen, []
    settings, left_out = _settings(chosen, noted)
    found = dataclasses.replace(chosen, settings=tuple(sorted({**settings, **dict(chosen.settings)}.items())))
    taken = []
    if not chosen.chosen_model:
        found, doubts = _with_model(found, noted)
        left_out = [*doubts, *left_out]
        taken = [f"model {found.model}"]
        if found.image_side and chosen.chosen_side is None:
            taken.append(f"image_side {found.image_side}")
    if not chosen.chosen_engine and TrackerSettings in chosen.uses:
        found, doubts = _with_engine(found, noted)
        left_out += doubts
        taken += [f"engine {found.engine}"] if found.engine != NodeSettings.engine else []
    taken += [f"{name} {value}" for name, value in settings.items() if value != FIELDS[name][1].default]
    rest = "other settings are the defaults" if taken else "all settings are the defaults"
    sentences = [f"as recorded of {noted.node}: {', '.join([*taken, rest])}"]
    if left_out:
        sentences.append(f"recorded, but left out: {'; '.join(left_out)}")
    return found, sentences


def _settings(chosen: TrackerSetup, noted: About) -> tuple[dict[str, Any], list[str]]:
    """The recorded settings that count and are not chosen, and sentences on those that are left out."""
    settings: dict[str, Any] = {}
    left_out = []
    for name, value in noted.parameters.items():
        if name in OF_NODE | OF_RCLPY or "." in name or name in dict(chosen.settings):
            continue
        if name not in FIELDS:
            left_out.append(f"{name} is not a parameter of this version")
        elif FIELDS[name][0] in chosen.uses:
            try:
                settings[name] = checked(name, value)
            except InvalidInput as error:
                left_out.append(str(error))
    return settings, left_out


def _with_model(chosen: TrackerSetup, noted: About) -> tuple[TrackerSetup, list[str]]:
    """``chosen`` with the recorded model and image side, or the default where it is not here, and what is wrong.

    Raises InvalidInput where a side was chosen that the recorded model cannot take.
    """
    name, side = str(noted.parameters.get("model") or DEFAULT_MODEL), chosen.chosen_side
    doubts: list[str] = []
    if side is None:
        side, doubts = _side(noted)
    elif side:
        name, _ = without_side(name)
    found = dataclasses.replace(chosen, chosen_model=name, chosen_side=side)
    recorded = noted.model.get("sha256")
    try:
        here = checkpoint.identify(name, download=False, image_side=side).sha256
    except InvalidInput as error:
        if chosen.chosen_side is not None:
            raise
        return dataclasses.replace(found, chosen_side=0), [*doubts, str(error)]
    except CheckpointError as error:
        if without_side(name)[0] in PUBLISHED:
            return found, doubts  # it will be downloaded
        return dataclasses.replace(chosen, chosen_model=DEFAULT_MODEL), [f"model {name} ({error})", *doubts]
    if recorded and recorded != here:
        doubts.append(f"the weights of model {name} with sha256 {recorded[:12]}, those here have {here[:12]}")
    return found, doubts


def _with_engine(chosen: TrackerSetup, noted: About) -> tuple[TrackerSetup, list[str]]:
    """``chosen`` with the recorded engine; if that cannot be used here, the default and a sentence."""
    engine = noted.parameters.get("engine", NodeSettings.engine)
    if engine == NodeSettings.engine:
        return chosen, []
    try:
        found = dataclasses.replace(chosen, chosen_engine=NodeSettings(engine=engine).engine)
        found.check_engine()
    except (InvalidInput, MissingDependency) as error:
        return chosen, [f"engine {engine} ({error})"]
    return found, []


def _side(noted: About) -> tuple[int, list[str]]:
    """The recorded image side, or 0 and a sentence where it cannot be one."""
    try:
        side = convert("image_side", noted.parameters.get("image_side", 0), int)
        return NodeSettings(image_side=side).image_side, []
    except InvalidInput as error:
        return 0, [str(error)]
