"""The recipe of a training: one settings class, a curriculum of stages, and their YAML or JSON file."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sam2_ros.errors import InvalidInput
from sam2_ros.settings import check, convert, setting

#: What happens to weights that are named without any stages.
FINE_TUNE = Path(__file__).parent / "fine_tune.yaml"
#: Types of settings by the name in their declaration.
KINDS = {"int": int, "float": float, "str": str}
#: Settings of one call, which a run that goes on neither keeps nor misses.
OF_A_CALL = ("out", "time_limit_minutes")


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of the curriculum; single images first, then short clips, then long ones.

    steps: optimiser steps.  frames: frames per clip, 1 = images.  clips: clips per step.
    side: image side in pixels, 0 = the model's own; a model trained small goes on large, with the same weights.
    rate, end_rate: learning rate at the start and end of the stage; cosine between them.
    smallest: share of the first frame that an object must cover to be asked for.
    dice_weight, visibility_weight: of these losses; 1 in the paper.
    clicks: most correction clicks on a corrected frame.  corrections: most frames corrected.
    images: share of the steps that see as many single images as they would see frames; prompts are
    learned from many objects there, memory from the clips (the paper alternates, too: appendix D.2.2).
    lead: most frames that come before those of a clip and are tracked without gradients.  leads: share of the clips
    that have such frames.
    second_side: another image side in pixels, 0 = none.  second_share: share of the steps at that side.
    """

    steps: int
    frames: int
    clips: int
    side: int
    rate: float
    end_rate: float
    clicks: int = 1
    corrections: int = 1
    smallest: float = 0.0012
    dice_weight: float = 1.0
    visibility_weight: float = 1.0
    images: float = 0.0
    lead: int = 0
    leads: float = 0.5
    second_side: int = 0
    second_share: float = 0.5

    def __post_init__(self) -> None:
        low = {
            "steps": 1,
            "frames": 1,
            "clips": 1,
            "side": 32 if self.side else 0,
            "rate": 0.0,
            "end_rate": 0.0,
            "clicks": 0,
            "corrections": 0,
            "lead": 0,
            "second_side": 32 if self.second_side else 0,
        }
        for name, least in low.items():
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} of a stage must be at least {least}, got {getattr(self, name)}")
        for name in ("images", "second_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InvalidInput(f"{name} of a stage is a share of its steps, 0 to 1, got {getattr(self, name)}")

    def at(self, step: int) -> Stage:
        """The stage as its step ``step`` (from 0) is: of clips or of images, at the one side or at the other.

        Both kinds are spread evenly.
        """
        stage = self
        if self.second_side and _falls_on(step, self.second_share):
            stage = dataclasses.replace(stage, side=self.second_side, second_side=0)
        if _falls_on(step, self.images):
            stage = dataclasses.replace(stage, frames=1, clips=self.frames * self.clips, images=1.0, lead=0)
        return stage

    def lead_of(self, random: np.random.Generator) -> int:
        """How many frames come before those of one step's clips."""
        return int(random.integers(1, self.lead + 1)) if self.lead and random.random() < self.leads else 0


def _falls_on(step: int, share: float) -> bool:
    """Whether ``step`` is one of a share of all steps that is spread evenly."""
    return math.floor((step + 1) * share) > math.floor(step * share)


#: From nothing, on one CPU core, in a few hours.
FROM_SCRATCH = (
    Stage(steps=1200, frames=1, clips=12, side=128, rate=6e-4, end_rate=5e-4),
    Stage(steps=1000, frames=3, clips=5, side=128, rate=5e-4, end_rate=3e-4),
    Stage(steps=1000, frames=5, clips=2, side=256, rate=3e-4, end_rate=1e-4),
    Stage(steps=2000, frames=8, clips=2, side=256, rate=1e-4, end_rate=1e-5, clicks=3, corrections=2),
)


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a training run depends on."""

    out: str = setting("training", "folder for checkpoints, logs and plots")
    size: str = setting("embedded", "size of the model, when it starts from nothing (see model/sizes.py)")
    initial: str = setting(
        "",
        "checkpoint to fine-tune, a name or path, as fine_tune.yaml says where no stages are given; "
        "empty = start from nothing",
    )
    footage: str = setting("", "folder of videos with masks in DAVIS layout; empty = none")
    footage_share: float = setting(
        0.35, "share of clips that show the footage, where there is any; 1 = no others", low=0.0, high=1.0
    )
    plain_share: float = setting(0.4, "share of these clips without drawn objects on top", low=0.0, high=1.0)
    robot_share: float = setting(
        0.4, "share of clips that show rendered robot scenes, where there are a hundred or more", low=0.0, high=1.0
    )
    pictures: str = setting(
        "", "folder of photographs, and of things cut out on a transparent background; empty = none"
    )
    robots: str = setting("", "folder of rendered robot scenes (.npz); empty = none")
    photos: str = setting("", "folder of photographs with masks (see photographs.py); empty = none")
    photo_share: float = setting(
        0.4, "share of single images that are photographs, where there are any", low=0.0, high=1.0
    )
    scenes: str = setting("", "folder of rendered scenes of scanned objects (see object_scenes.py); empty = none")
    scene_share: float = setting(0.3, "share of clips that show these scenes, where there are any", low=0.0, high=1.0)
    seed: int = setting(0, "seed of weights, clips and prompts", low=0)
    device: str = setting("auto", "torch device; auto = cuda where there is one, else cpu")
    threads: int = setting(
        0,
        "CPU threads of the model; 0 = torch decides, -1 = one while other programs use the processor, "
        "else one for each core",
        low=-1,
        high=256,
    )
    workers: int = setting(2, "processes that draw clips; 0 = draw them in this one", low=0, high=256)
    worker_niceness: int = setting(5, "how much these processes give way to others", low=0, high=19)
    objects: int = setting(3, "most objects per clip", low=1, high=16)
    vanishing: float = setting(
        0.5, "share of clips that ask first for objects which go out of sight", low=0.0, high=1.0
    )
    encoder_rate: float = setting(
        1.0, "learning rate of the image encoder, as a share of the rate; 0 = it stays as it is", low=0.0, high=1.0
    )
    frozen_stages: int = setting(
        0, "first stages of an EfficientNet trunk, with its stem, that stay as they are", low=0, high=7
    )
    dropout: float = setting(
        0.0, "share of activations that the memory attention drops; 0.1 in the paper", low=0.0, high=0.9
    )
    drop_path: float = setting(
        0.0,
        "chance that the trunk's last block is skipped, earlier ones less; 0.1 to 0.3 in the paper",
        low=0.0,
        high=0.9,
    )
    warm_up: int = setting(200, "steps over which the learning rate rises from 0", low=0)
    weight_decay: float = setting(0.05, "AdamW weight decay, of matrices only", low=0.0, high=1.0)
    clip_norm: float = setting(0.1, "gradients are scaled down to this L2 norm", low=0.0)
    average: float = setting(0.999, "decay per step of the averaged weights, which are the result", low=0.0, high=1.0)
    mask_share: float = setting(0.5, "share of batches whose first prompt is a mask", low=0.0, high=1.0)
    box_share: float = setting(
        0.25, "share of batches whose first prompt is a box; the rest is clicked", low=0.0, high=1.0
    )
    correct_share: float = setting(
        0.5, "share of the batches of clips with correction clicks; images always have some", low=0.0, high=1.0
    )
    exact_share: float = setting(
        0.0,
        "share of batches whose clicks meet the middle of object or error and whose boxes fit; "
        "the others are off at random",
        low=0.0,
        high=1.0,
    )
    oldest_prompt: int = setting(
        0,
        "in half of the batches the first prompt counts as older than it is, by up to this many frames",
        low=0,
        high=1000,
    )
    spoiled_share: float = setting(
        0.0, "share of the batches of clips in which a stretch of frames is remembered wrongly", low=0.0, high=1.0
    )
    lingering_share: float = setting(
        0.0, "share of drawn things that stay in front of another, or come back elsewhere", low=0.0, high=1.0
    )
    crossing_share: float = setting(
        0.0, "share of drawn look-alikes that pass over what they look like", low=0.0, high=1.0
    )
    edge_weight: float = setting(
        0.0, "how much more a pixel at the edge of an object counts in the focal loss", low=0.0
    )
    steady_weight: float = setting(
        0.0, "how much more a pixel that was right before a correction counts in the focal loss", low=0.0
    )
    click_weight: float = setting(0.0, "weight of what clicks that are not obeyed cost", low=0.0)
    loss_stride: int = setting(2, "masks are compared at the image side divided by this", low=1, high=4)
    quiet: float = setting(
        0.0, "weight of the penalty on loud image features and memories; for a start from nothing", low=0.0
    )
    validate_every: int = setting(300, "steps between validations on held-out clips; 0 = never", low=0)
    validation_footage: str = setting("", "folder of videos in DAVIS layout to validate on; empty = drawn clips")
    validation_clips: int = setting(16, "held-out clips in a validation", low=1, high=1000)
    save_minutes: float = setting(5.0, "minutes between checkpoints", low=0.0)
    time_limit_minutes: float = setting(
        0.0, "save and stop after this many minutes; 0 = at the last stage's end", low=0.0
    )
    stages: tuple[Stage, ...] = dataclasses.field(default=FROM_SCRATCH)

    def __post_init__(self) -> None:
        check(self)
        if not self.stages:
            raise InvalidInput("a training needs at least one stage")
        if self.mask_share + self.box_share > 1.0:
            raise InvalidInput(f"mask_share {self.mask_share} and box_share {self.box_share} exceed 1 together")
        if self.footage and self.scenes and self.footage_share + self.scene_share > 1.0:
            raise InvalidInput(
                f"footage_share {self.footage_share} and scene_share {self.scene_share} exceed 1 together"
            )

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(stage.steps for stage in self.stages)

    def of_side(self, side: int) -> TrainSettings:
        """The same for a model whose own image side is ``side`` pixels: no stage's side is 0."""
        stages = (dataclasses.replace(stage, side=stage.side or side) for stage in self.stages)
        return dataclasses.replace(self, stages=tuple(stages))

    def stage_at(self, step: int) -> tuple[int, Stage, float]:
        """The number of the stage that ``step`` (from 0) belongs to, the stage at that step, its progress (0..1)."""
        for number, stage in enumerate(self.stages):
            if step < stage.steps or number == len(self.stages) - 1:
                return number, stage.at(step), min(step / stage.steps, 1.0)
            step -= stage.steps
        raise AssertionError("stages are never empty")

    def rate_at(self, step: int) -> float:
        """The learning rate of ``step``."""
        _, stage, done = self.stage_at(step)
        rate = stage.end_rate + (stage.rate - stage.end_rate) * 0.5 * (1 + math.cos(math.pi * done))
        return rate * min(1.0, (step + 1) / self.warm_up) if self.warm_up else rate


def read_settings(
    path: str | Path | None = None, saved: Mapping[str, Any] | None = None, **overrides: Any
) -> TrainSettings:
    """Settings from a YAML or JSON file, with single values replaced; InvalidInput for unknown names and bad values.

    saved: settings of the run that goes on, used where file and overrides say nothing; unknown names are left out.
    """
    known = {field.name for field in dataclasses.fields(TrainSettings)}
    values = {name: value for name, value in (saved or {}).items() if name in known and name not in OF_A_CALL}
    values |= (_parsed(Path(path)) if path is not None else {}) | overrides
    if values.get("initial") and "stages" not in values:
        values = _parsed(FINE_TUNE) | values
    values = _converted(values, TrainSettings, "training settings")
    if "stages" in values:
        values["stages"] = _stages(values["stages"])
    return TrainSettings(**values)


def changes(saved: Mapping[str, Any], settings: TrainSettings) -> list[str]:
    """One sentence for each setting that is not as in the ``saved`` ones of the run that goes on."""
    found = []
    for field in dataclasses.fields(TrainSettings):
        before, now = saved.get(field.name, field.default), getattr(settings, field.name)
        if field.name == "stages":
            if _stages(before) != now:
                found.append("the stages are not those of the run so far")
        elif before != now and field.name not in OF_A_CALL:
            found.append(f"{field.name} is {now!r}, in the run so far it was {before!r}")
    return found


def _stages(values: Any) -> tuple[Stage, ...]:
    if not isinstance(values, (list, tuple)):
        raise InvalidInput(f"stages must be a list, got {values!r}")
    return tuple(_stage(stage) for stage in values)


def _stage(values: Any) -> Stage:
    if isinstance(values, Stage):
        return values
    if not isinstance(values, dict):
        raise InvalidInput(f"a stage must hold names and values, like {{steps: 100, frames: 8, ...}}; got {values!r}")
    values = _converted(values, Stage, "fields of a stage")
    missing = [
        field.name
        for field in dataclasses.fields(Stage)
        if field.default is dataclasses.MISSING and field.name not in values
    ]
    if missing:
        raise InvalidInput(f"a stage lacks {', '.join(missing)}; it has {values}")
    return Stage(**values)


def _converted(values: Mapping[str, Any], kind: type, what: str) -> dict[str, Any]:
    """Values as the fields of the dataclass ``kind`` declare them; InvalidInput for names that it lacks."""
    known = {field.name: KINDS.get(str(field.type)) for field in dataclasses.fields(kind)}
    unknown = sorted(str(name) for name in values if name not in known)
    if unknown:
        raise InvalidInput(f"unknown {what} {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    return {
        name: value if (wanted := known[name]) is None else convert(name, value, wanted)
        for name, value in values.items()
    }


def _parsed(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InvalidInput(f"the training file {path} does not exist")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else _yaml(text, path)
    except InvalidInput:
        raise
    except ValueError as error:  # of JSON, or of bytes that are no text
        raise InvalidInput(f"{path} is not valid: {error}") from error
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} must hold names and values, got {type(values).__name__}")
    return values


def _yaml(text: str, path: Path) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
