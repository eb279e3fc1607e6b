"""`streamfilter inspect` and `streamfilter models`: what there is to choose from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from streamfilter.cli.output import say


@click.command()
@click.argument("model")
def inspect(model: str) -> None:
    """Print a model's spec as JSON: input, tasks, thresholds, training, measured figures."""
    from streamfilter.scorer import Scorer

    scorer = Scorer(model, "cpu")
    described = {"file": str(scorer.path), "bytes": scorer.path.stat().st_size, **asdict(scorer.spec)}
    say(json.dumps(described, indent=2))


@click.command()
def models() -> None:
    """List the models that ship, with size and measured figures."""
    from streamfilter.scorer import Scorer, shipped_models

    for name, path in shipped_models().items():
        spec = Scorer(name, "cpu").spec
        say(f"{name}  {path.stat().st_size / 1e6:.1f} MB  {spec.input_hw[1]} x {spec.input_hw[0]} px")
        for line in _measured_lines(spec.measured):
            say(f"  {line}")


def _measured_lines(measured: Any) -> list[str]:
    return [
        f"{where}, {task}: {_figures(figures)}" for where, tasks in measured.items() for task, figures in tasks.items()
    ]


def _figures(figures: Any) -> str:
    """`auroc 0.981, quality_oracle (auroc 0.992)` out of nested figures; counts and absent ones are left out."""
    named = {name: f"{value:.3f}" for name, value in figures.items() if isinstance(value, float)}
    named |= {name: f"({_figures(value)})" for name, value in figures.items() if isinstance(value, dict)}
    return ", ".join(f"{name} {text}" for name, text in named.items())
