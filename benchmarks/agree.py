"""Whether a device decides as the CPU does: python -m benchmarks.agree --device cuda CLIP...; exits with 1 when not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from benchmarks.outcome import RESULTS, Outcome, record
from streamfilter import Decision, StreamFilter, shipped_models

LEAST_SAME = 0.999
MOST_APART = 0.01
FRAMES = 2000
"""Of each clip."""


@click.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--device", default="cuda", show_default=True, help="Compared with the CPU, one frame at a time.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def main(clips: tuple[Path, ...], device: str, out: Path) -> None:
    """Score clips with every shipped model on both, and write what differs as a table."""
    outcome = record("agree", device, out, lambda: compare(clips, device), model="all that ship", quick=False)
    sys.exit(int(not outcome.figures["agrees"]))


def compare(clips: tuple[Path, ...], device: str) -> Outcome:
    """Decisions and utilities of the device, in batches, beside those of the CPU, frame by frame."""
    rows: list[dict[str, Any]] = []
    for model in sorted(shipped_models()):
        reference = StreamFilter(model=model, device="cpu", batch_size=1, max_gap_seconds=0)
        judged = StreamFilter(model=model, device=device, batch_size=8, max_gap_seconds=0)
        for clip in clips:
            pairs = list(zip(_decisions(reference, clip), _decisions(judged, clip), strict=True))
            apart = [_apart(one, other) for one, other in pairs]
            same = sum(one.keep == other.keep for one, other in pairs) / max(1, len(pairs))
            rows.append({"model": model, "clip": clip.stem, "frames": len(pairs), "same": same, "apart": max(apart)})
    frames = sum(row["frames"] for row in rows)
    same = sum(row["same"] * row["frames"] for row in rows) / max(1, frames)
    apart = max(row["apart"] for row in rows)
    agrees = same >= LEAST_SAME and apart <= MOST_APART
    return Outcome(
        f"the same decision on {LEAST_SAME:.1%} of the frames, utilities at most {MOST_APART} apart",
        {"device": device, "frames": frames, "same": same, "apart": apart, "agrees": agrees},
        rows,
    )


def _decisions(stream_filter: StreamFilter, clip: Path) -> list[Decision]:
    decisions = []
    for _, decision in stream_filter.filter(clip):
        decisions.append(decision)
        if len(decisions) == FRAMES:
            break
    return decisions


def _apart(one: Decision, other: Decision) -> float:
    if one.utility is None or other.utility is None:
        return 0.0 if one.utility is other.utility else 1.0
    return max(abs(value - other.utility[task]) for task, value in one.utility.items())


if __name__ == "__main__":
    main()
