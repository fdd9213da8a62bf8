"""The published state of an object, with hysteresis."""

from __future__ import annotations

from dataclasses import dataclass

from sam2_ros.types import State


@dataclass(frozen=True, slots=True)
class Visibility:
    """The published state of one object on one frame, as a function of its past object scores."""

    state: State = State.VISIBLE
    frames_since_seen: int = 0

    def after(self, score: float, margin: float, lost_after: int, *, prompted: bool = False) -> Visibility:
        """The state one frame later, when the model gave the raw object ``score`` (> 0 = seen).

        The state changes only when the score passes 0 by more than ``margin`` (logits), so that
        an object half hidden does not flicker.  Unseen for ``lost_after`` frames, it is lost.
        prompted: the object was prompted on that frame, which replaces the state of before.  Only the count
        goes on: a prompt "it is not here" does not mean that the object was seen.
        """
        before = State.VISIBLE if prompted else self.state
        unseen = 0 if score > 0 else self.frames_since_seen + 1
        if score > margin:
            state = State.VISIBLE
        elif unseen >= lost_after:
            state = State.LOST
        elif score < -margin and before == State.VISIBLE:
            state = State.OCCLUDED
        else:
            state = before
        return Visibility(state, unseen)
