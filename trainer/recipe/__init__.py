"""`python -m trainer recipe`: a recipe file -> label tables, a training run and an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from streamfilter.spec import TASKS
from trainer.recipe.file import load_recipe
from trainer.recipe.plan import Place, recipe_steps
from trainer.recipe.steps import Step, commands, run_all

STOPPED = 130


@click.command("recipe")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--kit", type=click.Path(path_type=Path), required=True, help="Folder of the kit.")
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path(), show_default=True,
    help="Folder under which labels/, runs/ and models/ are made.",
)  # fmt: skip
@click.option("--weights-dir", type=click.Path(path_type=Path), help="Folder of published weights; else downloaded.")
@click.option("--only", type=click.Choice(TASKS), help="Train for one task alone, under names that end in it.")
@click.option("--smoke", is_flag=True, help="The recipe's small size, under WORK/smoke: does everything go through?")
@click.option("--print", "print_only", is_flag=True, help="Only print the commands that it amounts to.")
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    kit: Path,
    work: Path,
    weights_dir: Path | None,
    only: str | None,
    smoke: bool,
    print_only: bool,
) -> None:
    """Run the recipe FILE; the same command goes on where it was stopped."""
    recipe = load_recipe(file, smoke)
    steps = recipe_steps(recipe.only(only) if only else recipe, Place.of(kit, work, weights_dir, smoke))
    if print_only:
        click.echo("\n".join(commands(steps)))
        return
    finish(context, steps)


def finish(context: click.Context, steps: Sequence[Step]) -> None:
    """Run the steps and exit: 0 done, 1 pictures had to be skipped, `STOPPED` after Ctrl-C."""
    try:
        troubles = run_all(steps)
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on", err=True)
        context.exit(STOPPED)
    for line in troubles:
        click.echo(line, err=True)
    context.exit(1 if troubles else 0)
