"""Whether what the filter promises holds: python -m benchmarks.trust"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.outcome import RESULTS, record
from benchmarks.trust_cases.canary import measure_canary
from benchmarks.trust_cases.causes import causes
from benchmarks.trust_cases.coverage import coverage
from benchmarks.trust_cases.errors import errors
from benchmarks.trust_cases.health import health
from benchmarks.trust_cases.judged import EVERY_SECONDS

FOLDER = Path("runs/trust")
MODELS = ("utility-nano", "utility-lite0")


@click.group()
def main() -> None:
    """Measure a case and write a JSON and a Markdown table under OUT."""


def split_options(command: Any) -> Any:
    """What the cases about calibration have in common."""
    for option in (
        click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True),
        click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Verdicts."),
        click.option("--quick", is_flag=True, help="Small sizes: shows that the case runs."),
        click.option("--every", default=EVERY_SECONDS, show_default=True, help="Seconds between two judged frames."),
        click.option("--splits", default=200, show_default=True, help="Random splits."),
        click.option("--model", "models", multiple=True, default=MODELS, show_default=True, help="Shipped model."),
    ):
        command = option(command)
    return command


@main.command("coverage")
@split_options
def measure_coverage(**flags: Any) -> None:
    """Random splits of the kit's clips: how often the test part keeps what was promised.

    The kit with its clips and detectors lies in ../shared/kit, or where STREAMFILTER_KIT says.
    """
    _measure("coverage", coverage, **flags)


@main.command("errors")
@split_options
def measure_errors(**flags: Any) -> None:
    """Confident errors of the kit's unseen detector, before and after.

    The kit with its clips and detectors lies in ../shared/kit, or where STREAMFILTER_KIT says.
    """
    _measure("errors", errors, **flags)


@main.command()
@click.option("--seeds", default=250, show_default=True, help="Runs a row, each with its own draw.")
@click.option("--loops", default=2, show_default=True, help="How often the clip is laid end to end.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def canary(seeds: int, loops: int, out: Path) -> None:
    """Canaries on a clip whose wrongful drops are known."""
    logging.basicConfig(level=logging.INFO)
    record("trust", "canary", out, partial(measure_canary, seeds, loops), model="utility-nano", quick=seeds < 100)


def _measure(
    name: str, case: Any, models: tuple[str, ...], splits: int, every: float, quick: bool, folder: Path, out: Path
) -> None:
    splits, every = (20, 2.0) if quick else (splits, every)
    record("trust", name, out, partial(case, models, folder, every, splits), model=", ".join(models), quick=quick)


main.add_command(causes)
main.add_command(health)


if __name__ == "__main__":
    main()
