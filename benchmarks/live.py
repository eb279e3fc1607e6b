"""What live streams must show, measured against real servers on this machine: python -m benchmarks.live [CASE...]"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.live_cases import loss, many, outage, relay, slow, soak, stop
from benchmarks.live_cases.common import Outcome
from benchmarks.models import processor
from streamfilter import StreamFilter, __version__

RESULTS = Path(__file__).parent / "results"
KIT = Path("../shared/kit")


def cases(quick: bool, kit: Path) -> dict[str, Callable[[StreamFilter], Outcome]]:
    """The cases by name; `quick` ones show that they run, not what they must show."""
    if quick:
        return {
            "outage": partial(outage.measure, outages=(1,), times=2),
            "loss": partial(loss.measure, kit=kit, frames=600, losses=(3,)),
            "slow": partial(slow.measure, seconds=8),
            "many": partial(many.measure, kit=kit, counts=(2,), cycles=1),
            "soak": partial(soak.measure, frames=8000),
            "relay": partial(relay.measure, seconds=5),
            "stop": partial(stop.measure, times=1),
        }
    return {
        "outage": outage.measure,
        "loss": partial(loss.measure, kit=kit),
        "slow": slow.measure,
        "many": partial(many.measure, kit=kit),
        "soak": soak.measure,
        "relay": relay.measure,
        "stop": stop.measure,
    }


@click.command()
@click.argument("names", nargs=-1, metavar="[CASE...]")
@click.option("--quick", is_flag=True, help="Small sizes: shows that the cases run.")
@click.option("--model", default="utility-nano", show_default=True)
@click.option("--threads", default=1, show_default=True, help="Of the scorer; decoders use one each.")
@click.option("--kit", type=click.Path(path_type=Path), default=KIT, show_default=True, help="Clips and detectors.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(names: tuple[str, ...], quick: bool, model: str, threads: int, kit: Path, out: Path) -> None:
    """Measure the cases (all of them by default) and write a JSON and a Markdown table each under OUT."""
    known = cases(quick, kit)
    unknown = set(names) - set(known)
    if unknown:
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        # Only the case on loss is about which frames are useful: elsewhere every frame goes through to the end.
        threshold = None if name == "loss" else 0.0
        stream_filter = StreamFilter(model=model, device="cpu", threads=threads, max_gap_seconds=0, threshold=threshold)
        started = time.monotonic()
        outcome = known[name](stream_filter)
        machine = {"processor": processor(), "cores": os.cpu_count(), "version": __version__, "model": model}
        run = {"case": name, "seconds": time.monotonic() - started, "quick": quick, **machine}
        text = markdown(name, outcome, run)
        click.echo(text)
        out.mkdir(parents=True, exist_ok=True)
        (out / f"live-{name}.json").write_text(json.dumps({**run, **asdict(outcome)}, indent=1) + "\n")
        (out / f"live-{name}.md").write_text(text)


def markdown(name: str, outcome: Outcome, run: dict[str, Any]) -> str:
    """A case's figures, and its table."""
    lines = [f"# Live: {name}", "", f"Asked: {outcome.asked}.", ""]
    where = f"{run['processor']}, {run['cores']} cores, {run['model']}"
    lines += [f"Measured on {where}, in {run['seconds']:.0f} s{', in small' if run['quick'] else ''}.", ""]
    lines += [
        "| figure | value |",
        "|---|---|",
        *(f"| {key} | {_cell(value)} |" for key, value in outcome.figures.items()),
    ]
    if outcome.rows:
        heads = list(outcome.rows[0])
        lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
        lines += [f"| {' | '.join(_cell(row.get(head)) for head in heads)} |" for row in outcome.rows]
    return "\n".join([*lines, ""])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, list):
        return " -> ".join(_cell(one) for one in value)
    return str(value)


if __name__ == "__main__":
    main()
