"""The pictures: colours a colour-blind reader tells apart, and names at the marks instead of legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
USEFUL_COLOUR, NON_USEFUL_COLOUR = "#0072B2", "#D55E00"
QUIET, INK = "#999999", "#333333"
MARKS = ("o", "s", "^", "D", "v", "P")
LEAST_GAP = 0.035
LARGEST_DOT = 120.0

Series = Mapping[str, Sequence[float | None]]
Values = npt.NDArray[np.float64]


def _plain(axes: Axes, *, left: bool = True) -> None:
    axes.spines[["top", "right"] + ([] if left else ["left"])].set_visible(False)


def dot_panels(figure: Figure, panels: Mapping[str, tuple[Sequence[str], Series]], quantity: str) -> None:
    """One panel under another: a line for each row, on it a mark for each series.

    Args:
        figure: to draw on.
        panels: title -> the rows' names, and series -> a value for each row, None for none.
        quantity: what the values are.
    """
    heights = [len(names) + 1 for names, _ in panels.values()]
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for (axes,), (title, (names, series)) in zip(grid, panels.items(), strict=True):
        for place, (name, values) in enumerate(series.items()):
            known = [(value, line) for line, value in enumerate(values) if value is not None]
            style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKS[place % len(MARKS)]}
            axes.plot(*zip(*known, strict=True) if known else ([], []), linestyle="none", label=name, **style)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(alpha=0.3)
        axes.tick_params(labelbottom=True, length=0)
        _plain(axes, left=False)
    axes.set_xlabel(quantity)
    grid[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=9)


def curve_panels(
    figure: Figure,
    shares: Values,
    panels: Mapping[str, Mapping[str, Values]],
    stressed: Sequence[str],
    quantities: tuple[str, str],
) -> None:
    """Side by side: curves against the discarded share, each named at its right end.

    Args:
        figure: to draw on.
        shares: (S,) discarded shares, percent.
        panels: title -> curve's name -> (S,) values.
        stressed: names to draw in colour; `random` and `ideal` are black, others grey.
        quantities: what the axes are.
    """
    grid = figure.subplots(1, len(panels), squeeze=False)
    ours = list(dict.fromkeys(stressed))
    for axes, (title, lines) in zip(grid[0], panels.items(), strict=True):
        ends = spread([line[-1] for line in lines.values()], LEAST_GAP * _span(lines))
        for (name, line), end in zip(lines.items(), ends, strict=True):
            strong = name in ours
            colour = COLOURS[ours.index(name) % len(COLOURS)] if strong else QUIET
            colour = INK if name in ("random", "ideal") else colour
            dash = "--" if name in ("random", "ideal") else "-"
            axes.plot(shares, line, dash, color=colour, linewidth=2.2 if strong else 1.1, zorder=3 if strong else 2)
            leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0}
            axes.annotate(
                name, (shares[-1], line[-1]), xytext=(shares[-1] * 1.03, end), color=colour, va="center", fontsize=8,
                weight="bold" if strong else "normal", annotation_clip=False,
                arrowprops={**leader, "relpos": (0, 0.5)},
            )  # fmt: skip
        axes.set_xlim(0, shares[-1] * 1.35)
        axes.set_xticks(np.arange(0, shares[-1] + 1, 5))
        axes.set(title=title, xlabel=quantities[0], ylabel=quantities[1])
        axes.grid(alpha=0.3)
        _plain(axes)


def _span(lines: Mapping[str, Values]) -> float:
    values = np.concatenate(list(lines.values()))
    return float(np.ptp(values)) or 1.0


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The places in their order, moved as little as keeps them `gap` apart (least squares)."""
    order = np.argsort(places, kind="stable")
    steps = gap * np.arange(len(order))
    moved = np.empty(len(order))
    moved[order] = isotonic_regression(np.asarray(places, dtype=np.float64)[order] - steps).x + steps
    return [float(one) for one in moved]


def bar_panels(figure: Figure, panels: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> None:
    """Side by side: for each group bars with their values over them.

    Args:
        figure: to draw on.
        panels: title -> group -> bar -> value, None for none.
    """
    grid = figure.subplots(1, len(panels), squeeze=False)
    for axes, (title, groups) in zip(grid[0], panels.items(), strict=True):
        names = list(next(iter(groups.values())))
        width = 0.8 / len(names)
        for place, name in enumerate(names):
            heights = [0.0 if one[name] is None else one[name] for one in groups.values()]
            centres = np.arange(len(groups)) + (place - (len(names) - 1) / 2) * width
            colour = (QUIET, *COLOURS)[place % (len(COLOURS) + 1)]
            bars = axes.bar(centres, heights, width * 0.94, color=colour)
            axes.bar_label(bars, [f"{name}\n{height:.3f}" for height in heights], fontsize=8, padding=1)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.set_yticks([])
        axes.margins(y=0.15)
        axes.set_title(title, fontsize=10)
        _plain(axes, left=False)


def reliability_panels(
    figure: Figure, panels: Mapping[str, Mapping[str, tuple[Sequence[Mapping[str, Any]], str]]]
) -> None:
    """Side by side: share of useful rows against probability; a dot's area is its share of the rows.

    Args:
        figure: to draw on.
        panels: title -> label -> reliability points and a word on them.
    """
    grid = figure.subplots(1, max(len(panels), 1), squeeze=False)
    for axes, (title, labels) in zip(grid[0], panels.items(), strict=False):
        axes.plot([0, 1], [0, 1], "--", color=INK, linewidth=1)
        for place, (label, (points, word)) in enumerate(labels.items()):
            counts = np.array([point["count"] for point in points], dtype=np.float64)
            means = [point["mean_probability"] for point in points]
            shares = [point["share_useful"] for point in points]
            axes.plot(means, shares, color=COLOURS[place], linewidth=1.2)
            axes.scatter(means, shares, 12 + LARGEST_DOT * counts / max(counts.sum(), 1), color=COLOURS[place])
            above = {"transform": axes.transAxes, "color": COLOURS[place], "fontsize": 8}
            axes.text(0, 1.02 + 0.05 * place, f"{label}: {word}", **above)
        axes.set_title(title, loc="left", pad=8 + 14 * len(labels), fontsize=10)
        axes.set(xlabel="probability of useful", ylabel="share useful", aspect="equal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
        _plain(axes)
