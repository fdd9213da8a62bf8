"""A track as plain values, for JSON files."""

from __future__ import annotations

from typing import Any

from sam2_ros.types import Track


def values_of(track: Track) -> dict[str, Any]:
    """One object on one image as plain values; boxes and centroids in pixels."""
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
    }
