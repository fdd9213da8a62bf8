"""The options of an evaluation, and the job that they describe; errors name the options as on the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sam2_ros.errors import InvalidInput
from sam2_ros.evaluation.baselines import BASELINES, setup_of
from sam2_ros.evaluation.choices import CLICKS, MOST_FRAMES, OF_RULES, PAPER
from sam2_ros.evaluation.evaluate import Job


@dataclass(frozen=True, slots=True)
class Request:
    """The options of an evaluation; None and "": not chosen.

    settings: of tracker, session and depth, by name.  paper: the settings of published numbers.
    topics: the options of bags (``OF_BAGS``), by name.  jobs: recordings at a time.
    """

    model: str = ""
    device: str = "auto"
    engine: str = ""
    image_side: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: bool = False
    protocol: str = "auto"
    rules: str = "davis"
    clicks: int | None = None
    budgets: tuple[int, ...] | None = None
    every: int | None = None
    on_clock: bool = False
    jobs: int = 1
    threads: int | None = None
    topics: Mapping[str, str] = field(default_factory=dict)

    def job(self) -> Job:
        """The job for each recording, still without one.  Raises InvalidInput."""
        self._refuse_unused_by_protocol()
        self._refuse_unused_by_baseline()
        self._refuse_clock()
        settings = (PAPER if self.paper else {}) | OF_RULES.get(self.rules, {}) | dict(self.settings)
        return Job(
            path=Path(),
            folder=Path(),
            setup=setup_of(self.model, self.device, settings, self.image_side, self.engine),
            protocol=self.protocol,
            rules=self.rules,
            on_clock=self.on_clock,
            clicks=self.clicks or CLICKS,
            budgets=self.budgets or (MOST_FRAMES,),
            every=self.every or 1,
            topics=tuple((name, topic) for name, topic in self.topics.items() if topic),
            threads=self.threads or (os.cpu_count() or 1 if self.on_clock else 1),
        )

    def _refuse_unused_by_protocol(self) -> None:
        """InvalidInput for an option that would change nothing, although its user expects that it does."""
        interactive = self.protocol.startswith(("online", "offline"))
        if self.clicks and not interactive:
            raise InvalidInput(
                f"--clicks belongs to the prompts online and offline, not to {self.protocol}; "
                "on the first frame alone click with --prompt 1-click, 3-click or 5-click"
            )
        if self.budgets and not interactive:
            raise InvalidInput(
                f"--budgets belongs to the prompts online and offline, not to {self.protocol}; leave it out"
            )
        if self.every and self.protocol != "images":
            raise InvalidInput(f"--every belongs to the prompt images, not to {self.protocol}; leave it out")

    def _refuse_unused_by_baseline(self) -> None:
        if self.model not in BASELINES:
            return
        if self.image_side is not None:
            raise InvalidInput(f"{self.model} takes images as they are; leave out --image-side")
        of_tracker = self.settings.keys() - {"image_range"}  # by which the pictures are read
        if of_tracker or self.paper:
            given = "--set" if of_tracker else "--paper"
            raise InvalidInput(f"{self.model} has no settings of the tracker; leave out {given}")

    def _refuse_clock(self) -> None:
        if self.on_clock and self.jobs > 1:
            raise InvalidInput("--on-clock measures how fast this machine is; use it with one job at a time")
        if self.on_clock and self.protocol in ("offline", "images"):
            raise InvalidInput(f"--prompt {self.protocol} looks at every image; leave out --on-clock")
