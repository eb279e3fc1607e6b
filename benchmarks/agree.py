"""Whether a device and a precision decide as the CPU does in float32: python -m benchmarks.agree --device cuda CLIP...

Exits with 1 when they do not.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from benchmarks.outcome import RESULTS, Outcome, record
from streamfilter import Decision, StreamFilter, shipped_models

LEAST_SAME = 0.999
MOST_APART = 0.01
FRAMES = 2000


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--device", default="cuda", show_default=True, help="Compared with the CPU, one frame at a time.")
@click.option("--precision", default="fp32", show_default=True, help="Of that device.")
@click.option("--frames", default=FRAMES, show_default=True, help="Most of each clip.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(clips: tuple[Path, ...], device: str, precision: str, frames: int, out: Path) -> None:
    """Score clips with every shipped model on both, and write what differs as a table."""
    name = device if precision == "fp32" else f"{device}-{precision}"
    measure = partial(compare, clips, device, precision, frames)
    outcome = record("agree", name, out, measure, model="all that ship", quick=False)
    sys.exit(int(not outcome.figures["agrees"]))


def compare(clips: tuple[Path, ...], device: str, precision: str = "fp32", most: int = FRAMES) -> Outcome:
    """Decisions and utilities of the device, in batches, beside those of the CPU in float32, frame by frame."""
    rows: list[dict[str, Any]] = []
    for model in sorted(shipped_models()):
        reference = StreamFilter(model=model, device="cpu", batch_size=1, max_gap_seconds=0)
        judged = StreamFilter(model=model, device=device, precision=precision, batch_size=8, max_gap_seconds=0)
        for clip in clips:
            pairs = list(zip(_decisions(reference, clip, most), _decisions(judged, clip, most), strict=True))
            apart = [_apart(one, other) for one, other in pairs]
            same = sum(one.keep == other.keep for one, other in pairs) / max(1, len(pairs))
            rows.append({"model": model, "clip": clip.stem, "frames": len(pairs), "same": same, "apart": max(apart)})
    frames = sum(row["frames"] for row in rows)
    same = sum(row["same"] * row["frames"] for row in rows) / max(1, frames)
    apart = max(row["apart"] for row in rows)
    agrees = same >= LEAST_SAME and apart <= MOST_APART
    return Outcome(
        f"the same decision on {LEAST_SAME:.1%} of the frames, utilities at most {MOST_APART} apart",
        {"device": device, "precision": precision, "frames": frames, "same": same, "apart": apart, "agrees": agrees},
        rows,
    )


def _decisions(stream_filter: StreamFilter, clip: Path, most: int) -> list[Decision]:
    return [decision for _, decision in islice(stream_filter.filter(clip), most)]


def _apart(one: Decision, other: Decision) -> float:
    if one.utility is None or other.utility is None:
        return 0.0 if one.utility is other.utility else 1.0
    return max(abs(value - other.utility[task]) for task, value in one.utility.items())


if __name__ == "__main__":
    main()
