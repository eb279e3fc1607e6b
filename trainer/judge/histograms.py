"""Fig. 1: does any score tell useful from non-useful pictures?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfilter.errors import InputError
from trainer.judge.charts import NON_USEFUL_COLOUR, USEFUL_COLOUR
from trainer.judge.report import Report, Section, decimals
from trainer.judge.rows import Evidence, Floats, Utilities
from trainer.metrics import OVERLAP_BINS, auroc, overlap_coefficient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"ssim": "SSIM", "energy": "energy score", "fisher_information": "Fisher information"}
DRAWN_BINS = 40
TAIL = 0.01
WIDE = 1000
"""Positive scores that span this factor are drawn on a logarithmic axis."""
NOTE = (
    "Each score on useful and on non-useful rows of the combined label with margins (Khan et al. 2022, fig. 1). The "
    "overlap coefficient is the share of the two histograms that lies on each other, 0 apart and 1 the same, over "
    f"{OVERLAP_BINS} bins that hold equal numbers of rows. The picture's bins are equally wide, the outermost 1 % of "
    "the rows at each end drawn in the last bin. SSIM looks at the pristine picture; the others do not."
)


def figures(evidence: Evidence) -> dict[str, Any]:
    """AUROC and overlap coefficient of every scorer on the combined label, as JSON values.

    Raises:
        InputError: no row has a label.
    """
    known = evidence.label >= 0
    if not known.any():
        raise InputError(f"no {evidence.task} row has a label: judge tables of more pictures, or other --rows")
    label = evidence.label[known]
    scorers = {
        name: {"auroc": auroc(scores[known], label), "overlap": overlap_coefficient(scores[known], label)}
        for name, scores in evidence.scores.items()
    }
    return {"useful": int((label == 1).sum()), "non_useful": int((label == 0).sum()), "scorers": scorers}


def judge(evidences: Sequence[Evidence]) -> Report:
    """Fig. 1 of these tasks; the panels show what the score table holds of SSIM, energy, Fisher information, models."""
    found = {evidence.task: figures(evidence) for evidence in evidences}
    sections = []
    for task, part in found.items():
        body = [[name, decimals(one["auroc"]), decimals(one["overlap"])] for name, one in part["scorers"].items()]
        title = f"{task}: {part['useful']} useful, {part['non_useful']} non-useful"
        sections.append(Section(title, ["scorer", "AUROC", "overlap coefficient"], body))
    return Report(
        "Scores of useful and non-useful pictures", NOTE, sections, found,
        lambda figure: _draw(figure, evidences), (13, 0.6 + 3 * len(found)),
    )  # fmt: skip


def _draw(figure: Figure, evidences: Sequence[Evidence]) -> None:
    grid = figure.subplots(len(evidences), len(PANELS) + 1, squeeze=False)
    for line, evidence in zip(grid, evidences, strict=True):
        known = evidence.label >= 0
        model = next(iter(evidence.models), None)
        panels = {**PANELS, model: f"our score ({model})"} if model else PANELS
        for axes in line[len(panels) :]:
            axes.set_axis_off()
        for axes, (name, title) in zip(line, panels.items(), strict=False):
            axes.set_title(title, fontsize=10)
            scores = evidence.scores.get(name)
            if scores is None or np.isnan(scores[known]).any():
                axes.text(0.5, 0.5, "not scored", ha="center", va="center", transform=axes.transAxes)
            else:
                _panel(axes, scores[known], evidence.label[known])
            axes.set_yticks([])
        line[0].set_ylabel(f"{evidence.task}\nshare of the class's rows")


def _panel(axes: Axes, scores: Floats, label: Utilities) -> None:
    low, high = np.quantile(scores, (TAIL, 1 - TAIL))
    wide = low > 0 and high > low * WIDE
    edges = (np.geomspace if wide else np.linspace)(low, high if high > low else low + 1, DRAWN_BINS + 1)
    axes.set_xscale("log" if wide else "linear")
    for value, name, colour in ((1, "useful", USEFUL_COLOUR), (0, "non-useful", NON_USEFUL_COLOUR)):
        shown = np.clip(scores[label == value], edges[0], edges[-1])
        if len(shown):
            weights = np.full(len(shown), 1 / len(shown))
            axes.hist(shown, edges.tolist(), weights=weights, alpha=0.55, color=colour, label=name)
    ranked, overlap = auroc(scores, label), overlap_coefficient(scores, label)
    axes.set_xlabel(f"AUROC {decimals(ranked)}, overlap {decimals(overlap, 2)}", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right", "left"]].set_visible(False)
