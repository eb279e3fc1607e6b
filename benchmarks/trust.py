"""Whether what is promised of the drops holds: python -m benchmarks.trust"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import click

from benchmarks.outcome import RESULTS, record
from benchmarks.trust_cases.canary import measure_canary


@click.group()
def main() -> None:
    """Measure a case and write a JSON and a Markdown table under OUT."""


@main.command()
@click.option("--seeds", default=250, show_default=True, help="Runs a row, each with its own draw.")
@click.option("--loops", default=2, show_default=True, help="How often the clip is laid end to end.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def canary(seeds: int, loops: int, out: Path) -> None:
    """Canaries on a clip whose wrongful drops are known."""
    logging.basicConfig(level=logging.INFO)
    record("trust", "canary", out, partial(measure_canary, seeds, loops), model="utility-nano", quick=seeds < 100)


if __name__ == "__main__":
    main()
