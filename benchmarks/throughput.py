"""How fast filtering is beside decoding and beside what people use instead: python -m benchmarks.throughput"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from benchmarks.outcome import RESULTS, record
from benchmarks.throughput_cases.cases import CASES, FAST, Bench
from benchmarks.throughput_cases.figure import draw_breakeven

KIT = Path("../shared/kit")
FOLDER = Path("runs/clips")
COUNTS = (1, 2, 4, 8, 16)


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE...]")
@click.option(
    "--clip", "clips", multiple=True, type=click.Path(exists=True, path_type=Path), help="Instead of our own."
)
@click.option("--seconds", default=3.0, show_default=True, help="Most time a turn.")
@click.option("--rounds", default=5, show_default=True, help="Turns that count.")
@click.option("--quick", is_flag=True, help="Small sizes: shows that the cases run.")
@click.option("--device", default="cpu", show_default=True, help="Where models run.")
@click.option("--precision", default="fp32", show_default=True, help="Of the models.")
@click.option("--decoder", default="", help="For live streams, beside software: cuda, say.")
@click.option("--streams", "counts", multiple=True, type=int, default=COUNTS, help=f"At once [{COUNTS}]; repeatable.")
@click.option("--kit", type=click.Path(path_type=Path), default=KIT, show_default=True, help="Clips and a detector.")
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Keeps the clips.")
@click.option("--label", default="", help="Ends the files' names, when a case is measured for several clips apart.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(
    names: tuple[str, ...], clips: tuple[Path, ...], seconds: float, rounds: int, quick: bool, device: str,
    precision: str, decoder: str, counts: tuple[int, ...], kit: Path, folder: Path, label: str, out: Path,
) -> None:  # fmt: skip
    """Measure the cases (all of them by default) and write a JSON and a Markdown table each under OUT."""
    unknown = set(names) - set(CASES)
    if unknown:
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    if quick:
        seconds, rounds = min(seconds, 0.5), 1
    bench = Bench(folder, kit, seconds, rounds, device, clips, 2.0 if quick else 12.0, precision, decoder, counts)
    for name in names or CASES:
        outcome = record("throughput", name + label, out, partial(CASES[name], bench), model=FAST, quick=quick)
        if name == "breakeven":
            draw_breakeven(outcome, out / "throughput-breakeven.png")


if __name__ == "__main__":
    main()
