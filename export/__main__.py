"""`python -m export`: a finished run folder -> an ONNX file and its card."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import click

from export.graph import KEEP_USEFUL, export_run
from streamfilter.errors import StreamFilterError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="ONNX file; its card goes beside it as .md."
)
@click.option("--pictures", type=click.Path(path_type=Path), help="Folder to compare on; default: the run's own.")
@click.option(
    "--keep-useful",
    default=KEEP_USEFUL,
    show_default=True,
    type=click.Choice(("0.8", "0.85", "0.9", "0.95", "0.99")),
    help="Share of the held-back useful pictures that the default thresholds keep.",
)
@click.option("--name", help="Name of the model; default: the file's.")
def main(run: Path, out: Path, pictures: Path | None, name: str | None, keep_useful: str) -> None:
    """Write RUN as an ONNX model, if it agrees with torch on real pictures."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    command = shlex.join(["python", "-m", "export", *sys.argv[1:]])
    try:
        spec, difference = export_run(run, out, pictures, name, command, keep_useful)
    except StreamFilterError as error:
        raise click.ClickException(str(error)) from error
    size_mb = out.stat().st_size / 1e6
    click.echo(f"{out}: {size_mb:.1f} MB, {', '.join(spec.tasks)}, differs from torch by at most {difference:.1e}")


if __name__ == "__main__":
    main(prog_name="python -m export")
