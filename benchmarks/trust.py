"""`python -m benchmarks.trust CASE...`: do calibrated thresholds keep what they promise?"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from benchmarks.outcome import RESULTS, record
from benchmarks.trust_cases.coverage import coverage
from benchmarks.trust_cases.errors import errors

CASES = {"coverage": coverage, "errors": errors}
FOLDER = Path("runs/trust")
MODELS = ("utility-nano", "utility-lite0")


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE...]")
@click.option("--model", "models", multiple=True, default=MODELS, show_default=True, help="Shipped model.")
@click.option("--splits", default=200, show_default=True, help="Random splits.")
@click.option("--every", default=0.25, show_default=True, help="Seconds between two judged frames.")
@click.option("--quick", is_flag=True, help="Small sizes: shows that the cases run.")
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Keeps verdicts.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(
    names: tuple[str, ...], models: tuple[str, ...], splits: int, every: float, quick: bool, folder: Path, out: Path
) -> None:
    """Measure the cases (all of them by default) and write a JSON and a Markdown table each under OUT.

    The kit with its clips and detectors lies in ../shared/kit, or where STREAMFILTER_KIT says.
    """
    unknown = set(names) - set(CASES)
    if unknown:
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if quick:
        splits, every = 20, 2.0
    for name in names or CASES:
        measure = partial(CASES[name], models, folder, every, splits)
        record("trust", name, out, measure, model=", ".join(models), quick=quick)


if __name__ == "__main__":
    main()
