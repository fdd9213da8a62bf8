"""Train or fine-tune a SAM 2 of any size: ``train(read_settings("recipe.yaml"))``.

A run writes into its folder: ``state.pt`` (all that is needed to go on exactly),
``model.safetensors`` (the averaged weights, the result), ``settings.json``, the CSV logs
and ``progress.png``.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from sam2_ros.errors import CheckpointError, InvalidInput, TrainingError
from sam2_ros.model import checkpoint
from sam2_ros.model.efficientnet import EfficientNetLite
from sam2_ros.model.sam2 import SAM2
from sam2_ros.model.sizes import SIZES
from sam2_ros.tracking.memory import RECENT_MEMORIES
from sam2_ros.training.clips import Clip, ClipSource, ClipStock
from sam2_ros.training.feeding import check_folders, feed
from sam2_ros.training.journal import Journal
from sam2_ros.training.losses import Losses, answer_loss, click_loss, edges, mean, right
from sam2_ros.training.recipe import Stage, TrainSettings, changes, read_settings
from sam2_ros.training.start import initialise
from sam2_ros.training.unroll import SPOILED, Answer, ClipBatch, Prompting, Unroller
from sam2_ros.training.validation import PROMPTS, validate

logger = logging.getLogger(__name__)

#: Seed and length of the validation's composites; training seeds are not this large.
VALIDATION_SEED, VALIDATION_FRAMES = 900_001, 8
#: What the process that draws clips adds to the machine's load beside one for each core.
OWN_LOAD = 0.7
#: Chance that correction clicks fall on the object whatever the error (paper, appendix D.2.2).
FROM_TRUTH_SHARE = 0.1
#: A training ends after this many steps in a row with a gradient that is not finite; one bad clip does not end it.
MOST_SPOILED = 20


class Training:
    """The state of one run: weights, their average, the optimiser, and the next step.

    initial: weights to begin with instead of those that the settings name.
    """

    def __init__(self, settings: TrainSettings, initial: str = "") -> None:
        self.device = checkpoint.available(settings.device)
        torch.manual_seed(settings.seed)
        self.model = _fresh(settings, initial or settings.initial).to(self.device)
        self.settings = settings = settings.of_side(self.model.size.image_size)
        self.average = {name: value.detach().clone().float() for name, value in self.model.state_dict().items()}
        if settings.encoder_rate == 0:
            self.model.image_encoder.requires_grad_(False)  # nothing of it is kept for a backward pass
        if settings.frozen_stages:
            trunk = self.model.image_encoder.trunk
            if not isinstance(trunk, EfficientNetLite):
                raise InvalidInput(f"the trunk of {self.model.size.name} cannot be frozen; set frozen_stages to 0")
            trunk.freeze(settings.frozen_stages)
        groups = _groups(self.model, settings.weight_decay, encoder_apart=settings.encoder_rate != 1.0)
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.999), fused=True)
        self.step = 0
        self._sized: dict[int, SAM2] = {}  # the same weights at other image sides
        self.spoiled = 0  # steps in a row whose gradient was not finite

    def learn(self, batch: ClipBatch) -> dict[str, float]:
        """One optimiser step; everything random in it follows from the seed and the step."""
        settings, step = self.settings, self.step
        _, stage, _ = settings.stage_at(step)
        model = self._model_at(stage.side).train()
        torch.manual_seed(settings.seed * 1_000_003 + step)
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        prompting = draw_prompting(np.random.default_rng((settings.seed, step, 3)), settings, stage)
        prompting = prompting.after(len(batch.images) - stage.frames)
        batch = batch.to(self.device)
        unrolled = Unroller(model, batch, prompting, generator).run()
        losses = _losses(unrolled.answers, batch, settings)
        loss = losses.total(stage.dice_weight, stage.visibility_weight) + settings.quiet * unrolled.loudness
        clicks = torch.stack(
            [click_loss(answer.candidates, answer.prompt, stage.side) for answer in unrolled.answers]
        ).mean()
        loss = loss + settings.click_weight * clicks
        loss.backward()
        for number, group in enumerate(self.optimiser.param_groups):
            group["lr"] = settings.rate_at(step) * (settings.encoder_rate if number >= 2 else 1.0)
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        if torch.isfinite(norm):
            self.optimiser.step()
            self.spoiled = 0
        else:
            self._leave_out(step)
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self._follow()
        return {
            "loss": loss.item(),
            "focal": losses.focal.item(),
            "dice": losses.dice.item(),
            "iou": losses.iou.item(),
            "visibility": losses.visibility.item(),
            "click": clicks.item(),
            "gradient": float(norm),
            "loudness": unrolled.loudness.item(),
        }

    def _leave_out(self, step: int) -> None:
        """A step whose gradient is not finite changes no weight.  Raises TrainingError after too many in a row."""
        self.spoiled += 1
        logger.warning("step %d had a gradient that is not finite; it was left out", step)
        if self.spoiled >= MOST_SPOILED:
            raise TrainingError(
                f"the gradients of {self.spoiled} steps in a row, the last of them step {step}, were not finite: "
                f"nothing is learned any more; go on with --resume from what is saved in {self.settings.out}, with "
                "lower rates in the stages of --config, or begin again"
            )

    def averaged(self) -> SAM2:
        """A model of the size's own image side with the averaged weights, in eval mode."""
        model = SAM2(self.model.size).to(self.device)
        model.load_state_dict(self.average)
        return model.eval()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the weights; faster in the beginning."""
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        values = self.model.state_dict()
        torch._foreach_lerp_(list(self.average.values()), [values[name].float() for name in self.average], 1 - decay)

    def _model_at(self, side: int) -> SAM2:
        """The same parameters in a model for another image side; only its fixed tables differ."""
        if side == self.model.size.image_size:
            return self.model
        if side not in self._sized:
            self._sized[side] = SAM2(self.model.size.at(side)).to(self.device)
            _share(self.model, self._sized[side])
        return self._sized[side]

    def save(self, folder: Path) -> None:
        """Write the state and the averaged weights; a crash leaves the former files."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "settings": dataclasses.asdict(self.settings),
        }
        write_state(state, folder)
        checkpoint.save(self.averaged().cpu(), folder / "model.safetensors")

    def restore(self, folder: Path) -> None:
        """Go on from a saved state; CheckpointError when there is none or it is of another size."""
        path = state_in(folder)
        state = torch.load(path, map_location=self.device, weights_only=True)
        decays = [group["weight_decay"] for group in self.optimiser.param_groups]
        if len(decays) != len(state["optimiser"]["param_groups"]):
            raise CheckpointError(
                f"{path} is of a run with another encoder_rate; "
                "it cannot change between 1 and another value while a run goes on"
            )
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path} is of another model or another version of the training: {error}") from error
        for group, decay in zip(self.optimiser.param_groups, decays):
            group["weight_decay"] = decay  # of now, not of the state
        self.average, self.step = state["average"], state["step"]


def train(settings: TrainSettings, resume: bool = False, tell: Callable[[str], None] = logger.info) -> Path:
    """Run the curriculum, or the rest of it, and return the path of the trained weights.

    tell: receives one line now and then, beside the progress bar.
    """
    torch.set_num_threads(_threads(settings.threads))
    folder = Path(settings.out)
    check_folders(settings, tell)
    if not resume and (folder / "state.pt").exists():
        raise CheckpointError(
            f"{folder} holds a run already; go on with it by --resume, or name another folder by --out"
        )
    training = Training(settings, _last_weights(folder) if resume and settings.initial else "")
    settings = training.settings
    if resume:
        for change in changes(saved_settings(folder), settings):
            logger.warning("%s", change)
        training.restore(folder)
    journal = Journal(folder)
    journal.forget_after(training.step)
    if training.step >= settings.steps:
        tell(f"all {settings.steps} steps of {folder} are done; name more of them in its stages to go on")
    (folder / "settings.json").write_text(json.dumps(dataclasses.asdict(settings), indent=1))
    held_out = validation_clips(settings) if settings.validate_every else []
    started = saved = time.monotonic()
    bar = tqdm(initial=training.step, total=settings.steps, unit="step", mininterval=10.0)
    batches = feed(settings, training.step)
    asked = _asked_to_stop()  # after the workers have started, which end by a signal of their own
    for batch in batches:
        number, _, _ = settings.stage_at(training.step)
        torch.set_num_threads(_threads(settings.threads))
        values = training.learn(batch)
        minutes = (time.monotonic() - started) / 60
        values |= {"rate": settings.rate_at(training.step - 1), "stage": number, "minutes": minutes}
        journal.write("steps", training.step, values)
        bar.set_description(f"stage {number} loss {values['loss']:.3f}", refresh=False)
        bar.update(1)
        last = training.step == settings.steps or asked.is_set() or 0 < settings.time_limit_minutes <= minutes
        if held_out and (last or training.step % settings.validate_every == 0):
            tell(_validated(training, held_out, journal))
        if last or time.monotonic() - saved > settings.save_minutes * 60:
            training.save(folder)
            journal.plot()
            saved = time.monotonic()
        if last:
            break
    bar.close()
    return folder / "model.safetensors"


def settings_for(config: str | None, overrides: Mapping[str, Any], resume: bool = False) -> TrainSettings:
    """The settings of a run: those of ``overrides``, then of the file ``config``, then of the run that goes on."""
    settings = read_settings(config, **overrides)
    if not resume:
        return settings
    whole = read_settings(config, saved_settings(Path(settings.out)), **overrides)
    names = [field.name for field in dataclasses.fields(whole)]
    kept = [name for name in names if getattr(whole, name) != getattr(settings, name)]
    if kept:
        logger.info("not given, so as in the run so far: %s", ", ".join(kept))
    return whole


def _threads(wanted: int) -> int:
    """How many threads to compute with now, for the setting ``threads``.

    Threads wait for each other after every operation, so where others are busy two take longer than one.
    """
    if wanted >= 0:
        return wanted or torch.get_num_threads()
    cores = os.cpu_count() or 1
    return cores if os.getloadavg()[0] < cores + OWN_LOAD else 1


def _asked_to_stop() -> threading.Event:
    """Set by SIGTERM: the run then ends after its step, with everything saved."""
    asked = threading.Event()
    if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
        signal.signal(signal.SIGTERM, lambda *_: asked.set())
    return asked


def saved_settings(folder: Path) -> dict[str, Any]:
    """The settings that the run in ``folder`` was saved with; CheckpointError when there is none."""
    return torch.load(state_in(folder), map_location="cpu", weights_only=True, mmap=True)["settings"]


def draw_prompting(random: np.random.Generator, settings: TrainSettings, stage: Stage) -> Prompting:
    """How the clips of one step are prompted.

    Single images are never given by their mask, since nothing would be left to find, and always corrected.
    """
    shares = np.array([settings.mask_share if stage.frames > 1 else 0.0, settings.box_share])
    if stage.frames == 1 and settings.mask_share < 1.0:
        shares[1] = settings.box_share / (1 - settings.mask_share)
    lot = random.random()
    first = "mask" if lot < shares[0] else "box" if lot < shares.sum() else "click"
    corrected: tuple[int, ...] = ()
    corrects = stage.frames == 1 or random.random() < settings.correct_share
    if stage.clicks and stage.corrections and corrects:
        start = [] if first == "mask" else [0]  # what is clicked or boxed is refined at once, as in the paper
        rest = np.arange(1, stage.frames)
        count = min(int(random.integers(1, stage.corrections + 1)) - len(start), len(rest))
        corrected = (*start, *sorted(random.choice(rest, count, replace=False).tolist()))
    clicks = int(random.integers(1, stage.clicks + 1)) if corrected else 0
    from_truth, exact = bool(random.random() < FROM_TRUTH_SHARE), bool(random.random() < settings.exact_share)
    age, wrong = 0, "absent"
    spoiled: tuple[int, ...] = ()
    if stage.frames > 2:
        if settings.oldest_prompt and random.random() < 0.5:
            age = int(random.integers(settings.oldest_prompt + 1))
        if settings.spoiled_share and random.random() < settings.spoiled_share:
            begin = int(random.integers(1, stage.frames - 1))
            spoiled = tuple(range(begin, min(begin + int(random.integers(1, RECENT_MEMORIES + 1)), stage.frames - 1)))
            wrong = str(random.choice(SPOILED))
    return Prompting(first, corrected, clicks, from_truth, exact, age, spoiled, wrong)


def validation_clips(settings: TrainSettings) -> list[Clip]:
    """Stretches of the footage to validate on; without any, composites of what training does not use."""
    footage = settings.validation_footage or None
    source = ClipSource(ClipStock(VALIDATION_SEED, footage, held_out=True, footage_share=1.0, plain_share=1.0))
    side = SIZES[settings.size].image_size if not settings.initial else settings.stages[-1].side
    return [source.draw(number, VALIDATION_FRAMES, side) for number in range(settings.validation_clips)]


def _validated(training: Training, clips: list[Clip], journal: Journal) -> str:
    model = training.averaged()
    if model.size.image_size != clips[0].frames.shape[1]:
        sized = SAM2(model.size.at(clips[0].frames.shape[1])).to(training.device).eval()
        _share(model, sized)
        model = sized
    scores = validate(model, clips, training.device)
    values = {
        f"{prompt}_{part}": getattr(scores[prompt], part)
        for prompt in PROMPTS
        for part in ("j", "first", "occlusion_f1")
    }
    journal.write("validation", training.step, values)
    journal.plot()
    return f"step {training.step}: J " + ", ".join(f"{prompt} {scores[prompt].j:.3f}" for prompt in PROMPTS)


def _losses(answers: list[Answer], batch: ClipBatch, settings: TrainSettings) -> Losses:
    covers: dict[int, tuple[Tensor, Tensor | float]] = {}
    parts = []
    for answer in answers:
        truth = batch.masks[answer.frame]
        if answer.frame not in covers:
            cover = F.avg_pool2d(truth[:, None].float(), settings.loss_stride)
            covers[answer.frame] = cover, 1 + settings.edge_weight * edges(cover) if settings.edge_weight else 1.0
        cover, emphasis = covers[answer.frame]
        if settings.steady_weight and answer.before is not None:
            emphasis = emphasis * (1 + settings.steady_weight * right(answer.before, cover))
        parts.append(answer_loss(answer.candidates, truth, cover, emphasis))
    return mean(parts)


def _last_weights(folder: Path) -> str:
    """The run's own weights, since those that it began with may be gone; "" before the first were saved."""
    path = folder / "model.safetensors"
    return str(path) if path.is_file() else ""


def _fresh(settings: TrainSettings, initial: str) -> SAM2:
    if not initial and settings.size not in SIZES:
        raise CheckpointError(f"unknown size {settings.size!r}; known are {', '.join(SIZES)}")
    first = checkpoint.load(initial, "cpu") if initial else initialise(SAM2(SIZES[settings.size]))
    model = SAM2(dataclasses.replace(first.size, dropout=settings.dropout, drop_path=settings.drop_path))
    model.load_state_dict(first.state_dict())
    return model


def _share(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the parameters of ``source`` themselves, not copies, and equal buffers."""
    own = dict(source.named_parameters())
    for path, _ in list(target.named_parameters()):
        owner, _, name = path.rpartition(".")
        setattr(target.get_submodule(owner), name, own[path])
    target.load_state_dict(source.state_dict())


def _groups(model: nn.Module, decay: float, encoder_apart: bool) -> list[dict[str, Any]]:
    """Weight decay acts on matrices, kernels and tokens, not on biases, norms and what is called an embedding.

    encoder_apart: the parameters of the image encoder are the third and fourth group.
    """
    parts: list[tuple[list[nn.Parameter], list[nn.Parameter]]] = [([], []), ([], [])]
    for name, value in model.named_parameters():
        matrices, others = parts[encoder_apart and name.startswith("image_encoder.")]
        (matrices if value.ndim > 1 and "embed" not in name else others).append(value)
    return [
        {"params": values, "weight_decay": weight}
        for part in parts[: 1 + encoder_apart]
        for values, weight in zip(part, (decay, 0.0))
    ]


def state_in(folder: Path) -> Path:
    """The file from which the run in ``folder`` goes on; CheckpointError when there is none."""
    path = folder / "state.pt"
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; start without resuming, or name the folder of a run")
    return path


def write_state(state: dict[str, Any], folder: Path) -> None:
    """Write the file from which a run goes on; a crash leaves the former one."""
    unfinished = folder / ".state.partial.pt"
    torch.save(state, unfinished)
    os.replace(unfinished, folder / "state.pt")
