"""Whether what the filter says of itself holds: python -m benchmarks.trust"""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.outcome import RESULTS
from benchmarks.trust_cases.causes import causes
from benchmarks.trust_cases.health import health

KIT = Path("../shared/kit")


@click.group()
@click.option("--kit", type=click.Path(path_type=Path), default=KIT, show_default=True, help="Labelled photographs.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.pass_context
def main(context: click.Context, kit: Path, out: Path) -> None:
    """Measure one case and write its JSON and Markdown under OUT."""
    context.obj = (kit, out)


main.add_command(causes)
main.add_command(health)


if __name__ == "__main__":
    main()
