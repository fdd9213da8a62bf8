"""The node's state in one sentence: for each way in which it can be silent, what is wrong and the remedy.

Pure functions over ``Facts``.  The state is "tracking" only while masks of a useful age are published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sam2_ros.ros import fastdds_profile
from sam2_ros.ros.neighbours import Neighbour
from sam2_ros.ros.parameters import NodeSettings

#: A larger share of lost or repeated images is a warning, once there were ENOUGH images.
LOSS, ENOUGH = 0.2, 10
#: The same for images in the wrong order, which are left out.
DISORDER, DISORDERED = 0.05, 3
#: This many restarts of time are a warning.
RESTARTS = 3
#: Masks are useful up to this age: in seconds, or in intervals of the camera, whichever is longer.
USEFUL_SECONDS, USEFUL_INTERVALS = 0.5, 5
#: While something is tracked, detections left out for this reason are no warning.
WEAK = "below detection_score"


class Said(NamedTuple):
    """What the node logs: its state, whether that is a warning, and a sentence."""

    state: str
    warns: bool
    sentence: str


def _warning(state: str, sentence: str) -> Said:
    return Said(state, True, sentence)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about the last ``seconds``; counts are of images unless a comment says otherwise."""

    topic: str
    publishers: int
    best_effort_publishers: int
    reliable: bool | None  # the subscription; None = there is none
    silence: float  # seconds since the last image, or since there is a publisher
    seconds: float
    received: int
    lost: int
    processed: int
    refused: int
    repeated: int  # with the same stamp as the image before
    objects: int
    prompt_topic: str
    other_type: str = ""  # type that is published on the topic instead of images
    unwanted: str = ""  # topic and type of the same camera's images that image_transport excludes
    neighbours: tuple[Neighbour, ...] | None = ()  # other topics of images; None = still being counted
    arrived: bool = True  # whether an image has come from the present publishers
    container: bool = False  # whether this process runs in a container
    names: tuple[str, ...] = ()  # nodes that publish the topic
    node: str = "/sam2_ros"
    namesakes: int = 0  # other nodes with the name ``node``
    late: int = 0  # older than an earlier image, left out
    restarts: int = 0  # how often stamps went back far; remembered images can then no longer be prompted
    unread: int = 0  # refused since the last image that could be read
    waiting: int = 0  # requests, now
    merged: int = 0  # requests, with waiting ones
    turned_away: int = 0  # requests, because too many were waiting
    age: float = 0.0  # seconds from the arrival of an image to its masks
    unanswered: float = 0.0  # seconds in which images have come and no masks were published
    boxes: int = 0  # detections
    refused_prompts: int = 0
    reason: str = ""  # why the last prompt was refused
    left_out: Mapping[str, int] = field(default_factory=dict)  # detections by reason


def describe(facts: Facts, settings: NodeSettings) -> Said | None:
    """The state; None when it is too early to say anything."""
    absent = _absent(facts, settings)
    if absent is not None or (not facts.publishers and facts.silence > settings.silence_after):
        return absent
    reason = _no_images(facts, settings)
    if reason is not None or not facts.received:
        return reason
    for look in (
        _unreadable,
        _repeating,
        _doubled,
        _disordered,
        _restarting,
        _overloaded,
        _stuck,
        _late,
        _unusable_detections,
        _idle,
    ):
        said = look(facts, settings)
        if said is not None:
            return said
    return _tracking(facts)


# -- no images -----------------------------------------------------------------------------------


def _absent(facts: Facts, settings: NodeSettings) -> Said | None:
    """The image topic has no publisher of images."""
    if facts.publishers:
        return None
    if facts.unwanted:
        return _warning(
            "no camera",
            f"image_transport is {settings.image_transport}, but this camera's images are on {facts.unwanted}: "
            "set image_transport to auto",
        )
    if facts.other_type:
        return _warning(
            "no images",
            f"{facts.topic} carries {facts.other_type}: remap 'image' to a topic of "
            "sensor_msgs/msg/Image or CompressedImage" + _list(facts.neighbours),
        )
    if facts.silence <= settings.silence_after or facts.neighbours is None:
        return None
    return _warning(
        "no camera",
        f"nobody publishes {facts.topic}: remap 'image' or start the camera"
        + (_list(facts.neighbours) or "; no other images are published in this ROS_DOMAIN_ID"),
    )


def _list(neighbours: tuple[Neighbour, ...] | None) -> str:
    return f"; images are published on {', '.join(map(str, neighbours))}" if neighbours else ""


def _no_images(facts: Facts, settings: NodeSettings) -> Said | None:
    """The camera is there, but its images do not arrive."""
    if facts.reliable and facts.publishers == facts.best_effort_publishers > 0:
        return _warning(
            "incompatible",
            f"{facts.topic} is published best-effort but subscribed to as reliable, so nothing arrives: "
            "set image_reliability to auto or best_effort",
        )
    sent = facts.lost + facts.received
    if sent >= ENOUGH and facts.lost > LOSS * sent:
        return _warning(
            "losing",
            f"only {facts.received} of {sent} images of {facts.topic} arrived in {facts.seconds:.0f} s: {_loss(facts)}",
        )
    if facts.silence > settings.silence_after:
        return _warning(
            "silent",
            f"no image on {facts.topic} for {facts.silence:.0f} s, though {_publishers(facts.publishers)}: "
            + ("the camera has stopped or hangs" if facts.arrived else _nothing_yet(facts)),
        )
    return None


def _loss(facts: Facts) -> str:
    if facts.reliable:
        return "the network or this machine is too slow for them"
    return (
        "large best-effort images are lost between processes; make the camera reliable, give its process "
        f"{fastdds_profile.variable()}=.../{fastdds_profile.PROFILE}, or use image_transport compressed"
    )


def _publishers(count: int) -> str:
    return "it has a publisher" if count == 1 else f"it has {count} publishers"


def _nothing_yet(facts: Facts) -> str:
    """No image has come from a publisher; the reason is not known."""
    where = (
        "this node runs in a container" if facts.container else "one of the two runs in a container or as another user"
    )
    return (
        f"nothing may have been published yet (see `ros2 topic hz {facts.topic}`); if something is, and {where}, "
        "they may share no memory (/dev/shm): start the container with --ipc=host and both as the same user, "
        "or give both FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
    )


# -- images that cannot be used ------------------------------------------------------------------


def _unreadable(facts: Facts, settings: NodeSettings) -> Said | None:
    unread, enough = (facts.unread, ENOUGH) if facts.processed else (facts.refused, 1)
    if unread < enough:
        return None
    return _warning("unreadable", f"none of the last {unread} images of {facts.topic} could be read")


def _repeating(facts: Facts, settings: NodeSettings) -> Said | None:
    if facts.processed < ENOUGH or facts.repeated <= LOSS * facts.processed:
        return None
    return _warning(
        "repeating",
        f"{facts.repeated} of {facts.processed} images of {facts.topic} have the same stamp as the image before and "
        "get its masks again: the camera must stamp every image itself",
    )


def _doubled(facts: Facts, settings: NodeSettings) -> Said | None:
    """Two cameras on one topic, or two of this node: their messages are mixed."""
    if facts.namesakes:
        return _warning(
            "namesakes",
            f"{facts.namesakes + 1} nodes are called {facts.node}: their masks are mixed, and a new parameter value "
            "may reach the wrong one; end one, or give it another name (name:=left, or -r __node:=left)",
        )
    if len(facts.names) < 2:
        return None
    return _warning(
        "doubled",
        f"{len(facts.names)} publishers send images on {facts.topic} ({', '.join(facts.names)}), and they are mixed: "
        "end one, or remap its topic and 'image'",
    )


def _disordered(facts: Facts, settings: NodeSettings) -> Said | None:
    if facts.late < DISORDERED or facts.late <= DISORDER * facts.received:
        return None
    return _warning(
        "disordered",
        f"{facts.late} of {facts.received} images of {facts.topic} came after newer ones and were left out: make "
        "the camera reliable (image_reliability), and let only one camera publish the topic",
    )


def _restarting(facts: Facts, settings: NodeSettings) -> Said | None:
    if facts.restarts < RESTARTS:
        return None
    return _warning(
        "restarting",
        f"the stamps of {facts.topic} went back {facts.restarts} times in {facts.seconds:.0f} s; earlier images can "
        "then no longer be prompted: let one camera with one clock publish the topic, or play longer bags",
    )


# -- masks that cannot be used -------------------------------------------------------------------


def _useless_age(facts: Facts) -> bool:
    interval = facts.seconds / max(facts.received, 1)
    return facts.age > max(USEFUL_SECONDS, USEFUL_INTERVALS * interval)


def _overloaded(facts: Facts, settings: NodeSettings) -> Said | None:
    if not facts.turned_away and not (_useless_age(facts) and (facts.merged or facts.waiting > 1)):
        return None
    return _warning(
        "overloaded",
        f"prompts come faster than the tracker can apply them: {facts.waiting} wait, {facts.merged} were merged and "
        f"{facts.turned_away} turned away in {facts.seconds:.0f} s, and masks are {facts.age:.1f} s old: prompt an "
        "object once, or where its mask is wrong, not on every image",
    )


def _stuck(facts: Facts, settings: NodeSettings) -> Said | None:
    if facts.unanswered <= max(settings.silence_after, 2 * facts.age):
        return None
    return _warning(
        "stuck",
        f"images of {facts.topic} arrive, but no masks were published for {facts.unanswered:.0f} s: the tracker is "
        "busy with one image or prompt; choose a smaller model or a GPU (parameters model, device)",
    )


def _late(facts: Facts, settings: NodeSettings) -> Said | None:
    if not facts.objects or not _useless_age(facts):
        return None
    intervals = facts.age * facts.received / max(facts.seconds, 1e-9)
    return _warning(
        "late",
        f"masks are {facts.age:.1f} s old when they are published, {intervals:.0f} intervals of the camera: this "
        "machine is too slow for the model and its objects; choose a smaller model or a GPU (parameters model, "
        "device), or track fewer objects",
    )


def _unusable_detections(facts: Facts, settings: NodeSettings) -> Said | None:
    bad = sum(facts.left_out.values())
    harmless = facts.objects and set(facts.left_out) <= {WEAK}
    if not facts.boxes or bad < facts.boxes or harmless:
        return None
    counts = sorted(facts.left_out.items(), key=lambda one: -one[1])
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
    return _warning(
        "unusable detections",
        f"none of the {facts.boxes} detections of the last {facts.seconds:.0f} s can be used: {reasons} "
        f"(detection_score is {settings.detection_score:g}; boxes are in pixels of {facts.topic}, "
        "scores from 0 to 1)",
    )


def _idle(facts: Facts, settings: NodeSettings) -> Said | None:
    if facts.objects:
        return None
    if facts.refused_prompts:
        return _warning(
            "refused",
            f"nothing is tracked: {facts.refused_prompts} prompts were refused in {facts.seconds:.0f} s, "
            f"the last {facts.reason}",
        )
    return Said("idle", False, f"images arrive, nothing is tracked yet: send a prompt to {facts.prompt_topic}")


def _tracking(facts: Facts) -> Said | None:
    if not facts.processed:
        return None  # the first masks of this period are not published yet
    rate = facts.processed / facts.seconds if facts.seconds else 0.0
    left_out = f"; {facts.late} came after newer ones and were left out" if facts.late else ""
    return Said(
        "tracking",
        False,
        f"tracking {facts.objects} object{'s' * (facts.objects > 1)} at {rate:.1f} images/s "
        f"of {facts.received / max(facts.seconds, 1e-9):.1f} that arrive{left_out}",
    )
