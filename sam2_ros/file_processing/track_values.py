"""A track as plain values, for JSON files."""

from __future__ import annotations

from typing import Any

from sam2_ros.geometry.positions import Position
from sam2_ros.types import Track


def values_of(track: Track, position: Position | None = None) -> dict[str, Any]:
    """One object on one image as plain values; boxes and centroids in pixels, positions in metres."""
    return {
        "id": track.id,
        "name": track.name,
        "state": track.state.name,
        "occluded": track.occluded,
        "object_score": round(track.object_score, 4),
        "probability": round(track.probability, 4),
        "predicted_iou": round(track.predicted_iou, 4),
        "box": track.box,
        "centroid": track.centroid,
        "area": track.area,
        "frames_since_seen": track.frames_since_seen,
        "prompted_frames": track.prompted_frames,
        **({} if position is None else _in_metres(position)),
    }


def _in_metres(position: Position) -> dict[str, Any]:
    """Where an object is, as in the fields of a TrackedObject."""
    surface = position.surface
    return {
        "position": [round(float(value), 4) for value in surface.position],
        "position_age": round(position.age, 4),
        "oriented_box_size": [round(float(value), 4) for value in surface.box_size],
        "depth_pixels": surface.pixels,
        "depth_share": round(surface.share, 4),
    }
