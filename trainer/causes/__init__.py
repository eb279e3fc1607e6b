"""`python -m trainer causes`: the model that tells why a picture is of little use."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

log = logging.getLogger(__name__)


@click.command(name="causes")
@click.option("--kit", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="JSON to write.")
@click.option("--pictures", type=click.IntRange(1), default=900, show_default=True, help="Most photographs, drawn.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True)
@click.option(
    "--examples", "store", type=click.Path(dir_okay=False, path_type=Path), help="Keeps the measured examples (.npz)."
)
def command(kit: Path, out: Path, pictures: int, seed: int, workers: int, store: Path | None) -> None:
    """Distort the kit's development photographs, measure them, and fit a small classifier of the cause.

    One photograph in five is held back; the table printed is of those.
    """
    from trainer.causes import examples, fit
    from trainer.runs import make_folder, replacing

    for path in filter(None, (out, store)):
        make_folder(path.parent)
    if store is not None and store.exists():
        log.warning("%s is there already: its examples are taken", store)
        made = examples.load(store)
    else:
        made = examples.make(kit, seed, workers, pictures)
        if store is not None:
            examples.save(made, store)
    model = fit.fit(made, examples.statistics_names(), seed)
    right = fit.share_right(model, made)
    call = f"python -m trainer causes --kit KIT --out {out} --pictures {pictures} --seed {seed}"
    trained, held = int((~made.held_back).sum()), int(made.held_back.sum())
    about = {"examples_trained": trained, "examples_held_back": held, "right_held_back": round(right, 4)}
    with replacing(out) as part:
        model.save(part, command=call, **about)
    click.echo("\n".join(fit.table(model, made)))
    click.echo(f"{right:.3f} of {held} held-back examples right, {trained} trained on; written to {out}")
