"""What live streams must show, measured against real servers on this machine: python -m benchmarks.live [CASE...]"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from benchmarks.live_cases import loss, many, outage, relay, slow, soak, stop
from benchmarks.outcome import RESULTS, Outcome, record
from streamfilter import StreamFilter

KIT = Path("../shared/kit")


def cases(quick: bool, kit: Path) -> dict[str, Callable[[StreamFilter], Outcome]]:
    """The cases by name; `quick` ones show that they run, not what they must show.

    What an RTMP server has at hand when a player comes is handed out at once: `wait` keeps a busy machine from dropping
    the very keyframe that is looked for as stale.
    """
    if quick:
        return {
            "outage": partial(outage.measure, outages=(1,), times=2),
            "outage-rtmp": partial(outage.measure, kind="rtmp", outages=(1,), times=2, backpressure="wait"),
            "outage-hls": partial(outage.measure, kind="hls", outages=(1,), times=2, backpressure="wait"),
            "loss": partial(loss.measure, kit=kit, frames=600, losses=(3,)),
            "slow": partial(slow.measure, seconds=8),
            "many": partial(many.measure, kit=kit, counts=(2,), cycles=1),
            "soak": partial(soak.measure, frames=8000),
            "relay": partial(relay.measure, seconds=5),
            "stop": partial(stop.measure, times=1),
        }
    return {
        "outage": outage.measure,
        "outage-rtmp": partial(outage.measure, kind="rtmp", outages=(1, 5), times=5, backpressure="wait"),
        "outage-hls": partial(outage.measure, kind="hls", outages=(1, 5), times=5, backpressure="wait"),
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
        measure = partial(known[name], stream_filter)
        record("live", name, out, measure, model=model, quick=quick)


if __name__ == "__main__":
    main()
