"""`python -m trainer reproduce`: from pictures to models and every table, in one command that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from trainer.judge.report import machine
from trainer.recipe import finish
from trainer.recipe.plan import Place
from trainer.recipe.steps import LabelStep, Step
from trainer.reproduce.cost import Meter, first_picture, seconds_left
from trainer.reproduce.plan import reproduce_steps


@click.command("reproduce")
@click.option("--kit", type=click.Path(path_type=Path), required=True, help="Folder of the kit.")
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path(), show_default=True,
    help="Folder under which labels/, runs/, models/, scores/ and benchmarks/results/ are made.",
)  # fmt: skip
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of published weights; implies --paper.")
@click.option(
    "--paper", is_flag=True, help="Train the paper's recipe as well; downloads weights without --weights-dir."
)
@click.option("--smoke", is_flag=True, help="Small, under WORK/smoke: does everything go through?")
@click.option("--plan", "plan_only", is_flag=True, help="Only print the steps and what they will cost.")
@click.pass_context
def command(
    context: click.Context, kit: Path, work: Path, weights_dir: Path | None, paper: bool, smoke: bool, plan_only: bool
) -> None:
    """Make labels, models and every table; print the steps and their cost first."""
    place = Place.of(kit, work, weights_dir, smoke)
    steps = reproduce_steps(place, smoke, paper or weights_dir is not None)
    click.echo(plan_text(steps, weights_dir))
    if plan_only:
        return
    finish(context, steps)


def plan_text(steps: Sequence[Step], weights_dir: Path | None = None) -> str:
    """Each step, whether it is done, its expected hours on this machine, and their total."""
    meter = Meter(first_picture([step.job for step in steps if isinstance(step, LabelStep)]), weights_dir)
    hours = [seconds_left(step, meter, steps) / 3600 for step in steps]
    width = max(len(step.title) for step in steps)
    lines = [
        f"{step.title:{width}}  {'done' if step.done() else f'{left:.2f} h'}"
        for step, left in zip(steps, hours, strict=True)
    ]
    total = f"total: {sum(hours):.2f} hours on {machine()}, from a measurement made now"
    return "\n".join([*lines, total])
