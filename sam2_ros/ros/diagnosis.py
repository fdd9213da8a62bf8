"""Finds out why the node publishes no useful masks: one sentence with the remedy, or that all is well.

Pure functions over ``Facts``.  The state is "tracking" only while masks of a useful age are published.
docs/troubleshooting.md has a heading for each sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sam2_ros.node_settings import NodeSettings
from sam2_ros.ros import fastdds_profile
from sam2_ros.ros.image_topics import ImageTopic

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


class Diagnosis(NamedTuple):
    """The state that the node logs: a name, whether it is a warning, and a sentence."""

    state: str
    warns: bool
    sentence: str


def _warning(state: str, sentence: str) -> Diagnosis:
    return Diagnosis(state, True, sentence)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of the last ``seconds``; counts are of images unless a comment says otherwise."""

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
    others: tuple[ImageTopic, ...] | None = ()  # other topics of images; None = still being counted
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


def after_pause(seconds: float) -> str:
    """The sentence for a process that runs again."""
    return f"this node did not run for {seconds:.0f} s: its process was stopped, or the machine is overloaded"


def diagnose(facts: Facts, settings: NodeSettings) -> Diagnosis | None:
    """The state; None when it is too early to say anything."""
    fault = _not_published(facts, settings)
    if fault or (not facts.publishers and facts.silence > settings.silence_after):
        return fault
    fault = _not_received(facts, settings)
    if fault or not facts.received:
        return fault
    return _unusable_images(facts) or _late_masks(facts, settings) or _untracked(facts, settings) or _tracking(facts)


def _not_published(facts: Facts, settings: NodeSettings) -> Diagnosis | None:
    """The image topic has no publisher of images."""
    if facts.publishers:
        return None
    others = f"; images are published on {', '.join(map(str, facts.others))}" if facts.others else ""
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
            f"sensor_msgs/msg/Image or CompressedImage{others}",
        )
    if facts.silence <= settings.silence_after or facts.others is None:
        return None
    return _warning(
        "no camera",
        f"nobody publishes {facts.topic}: remap 'image' or start the camera"
        f"{others or '; no other images are published in this ROS_DOMAIN_ID'}",
    )


def _not_received(facts: Facts, settings: NodeSettings) -> Diagnosis | None:
    """The camera is there, but its images do not arrive."""
    topic, sent = facts.topic, facts.lost + facts.received
    if facts.reliable and facts.publishers == facts.best_effort_publishers > 0:
        return _warning(
            "incompatible",
            f"{topic} is published best-effort but subscribed to as reliable, so nothing arrives: "
            "set image_reliability to auto or best_effort",
        )
    if sent >= ENOUGH and facts.lost > LOSS * sent:
        return _warning(
            "losing",
            f"only {facts.received} of {sent} images of {topic} arrived in {facts.seconds:.0f} s: {_loss(facts)}",
        )
    if facts.silence > settings.silence_after:
        publishers = "a publisher" if facts.publishers == 1 else f"{facts.publishers} publishers"
        return _warning(
            "silent",
            f"no image on {topic} for {facts.silence:.0f} s, though it has {publishers}: "
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


def _nothing_yet(facts: Facts) -> str:
    """No image has come from a publisher; the reason is not known."""
    where = "this node runs in a container"
    if not facts.container:
        where = "one of the two runs in a container or as another user"
    return (
        f"nothing may have been published yet (see `ros2 topic hz {facts.topic}`); if something is, and {where}, "
        "they may share no memory (/dev/shm): start the container with --ipc=host and both as the same user, "
        "or give both FASTDDS_BUILTIN_TRANSPORTS=UDPv4"
    )


def _unusable_images(facts: Facts) -> Diagnosis | None:
    """Images arrive, but cannot be read, or are mixed or in a wrong order."""
    topic = facts.topic
    unread, enough = (facts.unread, ENOUGH) if facts.processed else (facts.refused, 1)
    if unread >= enough:
        return _warning("unreadable", f"none of the last {unread} images of {topic} could be read")
    if facts.processed >= ENOUGH and facts.repeated > LOSS * facts.processed:
        return _warning(
            "repeating",
            f"{facts.repeated} of {facts.processed} images of {topic} have the same stamp as the image before and "
            "get its masks again: the camera must give every image its own stamp",
        )
    if facts.namesakes:
        return _warning(
            "namesakes",
            f"{facts.namesakes + 1} nodes are called {facts.node}: their masks are mixed, and a new parameter value "
            "may reach the wrong one; end one, or give it another name (name:=left, or -r __node:=left)",
        )
    if len(facts.names) > 1:
        return _warning(
            "doubled",
            f"{len(facts.names)} publishers send images on {topic} ({', '.join(facts.names)}), and they are mixed: "
            "end one, or remap its topic and 'image'",
        )
    if facts.late >= DISORDERED and facts.late > DISORDER * facts.received:
        return _warning(
            "disordered",
            f"{facts.late} of {facts.received} images of {topic} came after newer ones and were left out: make "
            "the camera reliable (image_reliability), and let only one camera publish the topic",
        )
    if facts.restarts >= RESTARTS:
        return _warning(
            "restarting",
            f"the stamps of {topic} went back {facts.restarts} times in {facts.seconds:.0f} s; earlier images can "
            "then no longer be prompted: let one camera with one clock publish the topic, or play longer bags",
        )
    return None


def _late_masks(facts: Facts, settings: NodeSettings) -> Diagnosis | None:
    """Masks come when they are of no use any more."""
    intervals = facts.age * facts.received / max(facts.seconds, 1e-9)
    useless = facts.age > USEFUL_SECONDS and intervals > USEFUL_INTERVALS
    if facts.turned_away or (useless and (facts.merged or facts.waiting > 1)):
        return _warning(
            "overloaded",
            f"prompts come faster than the tracker can apply them: {facts.waiting} wait, {facts.merged} were merged "
            f"and {facts.turned_away} turned away in {facts.seconds:.0f} s, and masks are {facts.age:.1f} s old: "
            "prompt an object once, or where its mask is wrong, not on every image",
        )
    if facts.unanswered > max(settings.silence_after, 2 * facts.age):
        return _warning(
            "stuck",
            f"images of {facts.topic} arrive, but no masks were published for {facts.unanswered:.0f} s: the tracker "
            "is busy with one image or prompt; choose a smaller model, a smaller image_side or a GPU (parameters "
            "model, image_side, device)",
        )
    if facts.objects and useless:
        return _warning(
            "late",
            f"masks are {facts.age:.1f} s old when they are published, {intervals:.0f} intervals of the camera: this "
            "machine is too slow for the model and its objects; choose a smaller model, a smaller image_side or a GPU "
            "(parameters model, image_side, device), or track fewer objects",
        )
    return None


def _untracked(facts: Facts, settings: NodeSettings) -> Diagnosis | None:
    """Nothing is tracked, or what a detector sends is not."""
    harmless = facts.objects and set(facts.left_out) <= {WEAK}
    if facts.boxes and sum(facts.left_out.values()) >= facts.boxes and not harmless:
        counts = sorted(facts.left_out.items(), key=lambda one: -one[1])
        reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
        return _warning(
            "unusable detections",
            f"none of the {facts.boxes} detections of the last {facts.seconds:.0f} s can be used: {reasons} "
            f"(detection_score is {settings.detection_score:g}; boxes are in pixels of {facts.topic}, "
            "scores from 0 to 1)",
        )
    if facts.objects:
        return None
    if facts.refused_prompts:
        return _warning(
            "refused",
            f"nothing is tracked: {facts.refused_prompts} prompts were refused in {facts.seconds:.0f} s, "
            f"the last {facts.reason}",
        )
    return Diagnosis("idle", False, f"images arrive, nothing is tracked yet: send a prompt to {facts.prompt_topic}")


def _tracking(facts: Facts) -> Diagnosis | None:
    if not facts.processed:
        return None  # the first masks of this period are not published yet
    rate = facts.processed / facts.seconds if facts.seconds else 0.0
    left_out = f"; {facts.late} came after newer ones and were left out" if facts.late else ""
    return Diagnosis(
        "tracking",
        False,
        f"tracking {facts.objects} object{'s' if facts.objects > 1 else ''} at {rate:.1f} images/s "
        f"of {facts.received / max(facts.seconds, 1e-9):.1f} that arrive{left_out}",
    )
