"""The model and the parameters that were recorded with a bag, in place of what nobody has chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

from sam2_ros.errors import CheckpointError, InvalidInput
from sam2_ros.model import checkpoint
from sam2_ros.model.downloads import PUBLISHED, without_side
from sam2_ros.node_settings import NodeSettings
from sam2_ros.recordings.bags.notes import About, about
from sam2_ros.recordings.recording import Recording
from sam2_ros.stream.tracker_setup import DEFAULT_MODEL, FIELDS, TrackerSetup, checked

#: Parameters of the node that change no mask.
OF_NODE = frozenset(field.name for field in dataclasses.fields(NodeSettings))
#: Parameters that rclpy gives to every node, besides those with a dot in their names.
OF_RCLPY = frozenset({"use_sim_time", "start_type_description_service"})


def as_recorded(chosen: TrackerSetup, recording: Recording) -> tuple[TrackerSetup, list[str]]:
    """``chosen``, completed by the recorded model and parameters, and sentences about it; unchanged without a record.

    Only settings of tracker and session are used.  Parameters that this version does not know, and invalid values,
    are named and left out.
    """
    noted = about(recording)
    if noted is None:
        return chosen, []
    settings, left_out = _settings(chosen, noted)
    model, doubt = (chosen.chosen_model, "") if chosen.chosen_model else _model(noted)
    if doubt:
        left_out.insert(0, doubt)
    found = dataclasses.replace(
        chosen, chosen_model=model, settings=tuple(sorted({**settings, **dict(chosen.settings)}.items()))
    )
    taken = [] if chosen.chosen_model else [f"model {found.model}"]
    taken += [f"{name} {value}" for name, value in settings.items() if value != FIELDS[name][1].default]
    rest = "other settings are the defaults" if taken else "all settings are the defaults"
    sentences = [f"as recorded of {noted.node}: {', '.join([*taken, rest])}"]
    return found, sentences + [f"recorded, but left out: {'; '.join(left_out)}"] * bool(left_out)


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


def _model(noted: About) -> tuple[str, str]:
    """The recorded model, or the default where it is not here, and what is wrong with it."""
    name = str(noted.parameters.get("model") or DEFAULT_MODEL)
    recorded = noted.model.get("sha256")
    try:
        here = checkpoint.identify(name, download=False).sha256
    except CheckpointError as error:
        if without_side(name)[0] in PUBLISHED:
            return name, ""  # it will be downloaded
        return DEFAULT_MODEL, f"model {name} ({error})"
    if recorded and recorded != here:
        return name, f"the weights of model {name} with sha256 {recorded[:12]}, those here have {here[:12]}"
    return name, ""
