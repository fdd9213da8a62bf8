"""The logs of a training: CSV always, TensorBoard and a plot where their packages are installed."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

#: Weight of the past in the plotted, smoothed loss.
SMOOTHING = 0.97


class Journal:
    """``steps.csv`` and ``validation.csv`` in ``folder``; rows are appended, so a resumed run goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.board = _board(folder)

    def write(self, name: str, step: int, values: dict[str, float | int]) -> None:
        """Append one row to ``name``.csv; a file with other columns is set aside as ``name``.old.csv."""
        path = self.folder / f"{name}.csv"
        columns = ["step", *values]
        if path.exists():
            with path.open(newline="") as file:
                if next(csv.reader(file), None) != columns:
                    path.replace(path.with_suffix(".old.csv"))
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(columns)
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{name}/{key}", value, step)

    def forget_after(self, step: int) -> None:
        """Drop rows of steps that a run which stopped without saving had done, and that will be done again."""
        for path in (self.folder / "steps.csv", self.folder / "validation.csv"):
            if not path.exists():
                continue
            with path.open(newline="") as file:
                rows = list(csv.reader(file))
            kept = [row for number, row in enumerate(rows) if number == 0 or int(row[0]) <= step]
            if len(kept) < len(rows):
                with path.open("w", newline="") as file:
                    csv.writer(file).writerows(kept)

    def plot(self) -> None:
        """Draw ``progress.png``: the loss and the J of each prompt; nothing without matplotlib."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            return
        try:
            self._draw(Figure(figsize=(9, 4), layout="constrained"))
        except Exception as error:  # fonts that an update took away: no reason to end a training of many hours
            logger.warning("progress.png was not drawn: %s", error)

    def _draw(self, figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        steps = _columns(self.folder / "steps.csv")
        if steps.get("loss"):
            left.plot(steps["step"], _smoothed(steps["loss"]))
        left.set(xlabel="step", ylabel="loss", yscale="log", title="training loss, smoothed")
        scores = _columns(self.folder / "validation.csv")
        for name in [name for name in scores if name.endswith("_j")]:
            right.plot(scores["step"], scores[name], marker=".", label=f"from a {name[:-2]}")
        right.set(xlabel="step", ylabel="mean IoU (J) after frame 0", ylim=(0, 1), title="held-out clips")
        if scores:
            right.legend()
        figure.savefig(self.folder / "progress.png", dpi=110)


def _board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def _columns(path: Path) -> dict[str, list[float]]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _smoothed(values: list[float]) -> list[float]:
    smooth, weight, out = 0.0, 0.0, []
    for value in values:
        smooth, weight = SMOOTHING * smooth + (1 - SMOOTHING) * value, SMOOTHING * weight + 1 - SMOOTHING
        out.append(smooth / weight)
    return out
