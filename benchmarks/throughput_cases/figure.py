"""The break-even curve as a picture."""

from __future__ import annotations

from pathlib import Path

from benchmarks.outcome import Outcome


def draw_breakeven(outcome: Outcome, path: Path) -> None:
    """Draw the speed with the filter in front, times the detector's alone, over the share of useless frames."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    shares = [row["useless_percent"] for row in outcome.rows]
    axes.plot(shares, [row["ratio"] for row in outcome.rows], marker="o", label="measured")
    free = [100 / (100 - share) for share in shares]
    axes.plot(shares, free, linestyle=":", label="a filter that costs nothing")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xlabel("useless frames, %")
    axes.set_ylabel(f"speed, times {outcome.figures['detector']} alone")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
