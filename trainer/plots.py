"""The learning curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.runs import replacing

SIDES = {"training": "-", "held_back": "--"}


def learning_curve(history: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw loss and balanced accuracy against epochs, for the training and the held-back pictures.

    Args:
        history: one point an epoch, as in `history.jsonl`.
        path: the PNG to write.
        title: what was trained.

    Raises:
        OutputError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy = figure.subplots(1, 2)
    epochs = [point["epoch"] for point in history]
    for side, line in SIDES.items():
        name = side.replace("_", "-")
        loss.plot(epochs, [point[side]["loss"] for point in history], line, marker=".", label=name)
        for index, task in enumerate(history[0][side]["balanced_accuracy"]):
            values = [point[side]["balanced_accuracy"][task] for point in history]
            accuracy.plot(epochs, values, line, color=f"C{index}", marker=".", label=f"{task}, {name}")
    loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
    accuracy.set(xlabel="epoch", ylabel="balanced accuracy at 0.5", ylim=(0.4, 1.0))
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title)
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120)
