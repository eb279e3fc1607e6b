"""Is a model's score the probability it claims to be?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.judge.charts import reliability_panels
from trainer.judge.report import Report, Section, decimals, percent
from trainer.judge.rows import Evidence, Floats, Utilities
from trainer.metrics import ECE_BINS, chance_calibration_error, reliability
from trainer.metrics import figures as label_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMBINED, STACKED = "combined label with margins", "each network's decision, without margins"
NOTE = (
    f"Useful is predicted from 0.5 on. ECE: mean gap between probability and share of useful rows over {ECE_BINS} "
    "equally wide bins, weighted by their rows. The first label is 1 or 0 where all networks agree with margins; "
    "the second stacks what each network decided, rows on which it is wrong on the pristine picture left out. By "
    "chance: the mean and the 95th percentile of the ECE that labels drawn with these very probabilities have, that "
    "is, of a model without any error in its probabilities on as many rows."
)


def figures(evidence: Evidence) -> dict[str, Any]:
    """Figures and reliability points of every model for both labels, as JSON values."""
    return {model: _of_model(evidence.scores[model], evidence) for model in evidence.models}


def _of_model(scores: Floats, evidence: Evidence) -> dict[str, Any]:
    return {name: _against(scores, labels) for name, labels in _labels(evidence).items()}


def _labels(evidence: Evidence) -> dict[str, Utilities]:
    return {COMBINED: evidence.label[:, None], STACKED: evidence.plain}


def _against(scores: Floats, labels: Utilities) -> dict[str, Any]:
    rows, columns = np.nonzero(labels >= 0)
    if not len(rows):
        return {"n0": 0, "n1": 0, "reliability": []}
    known, truth = scores[rows], labels[rows, columns]
    mean, high = chance_calibration_error(known)
    chance = {"ece_by_chance": mean, "ece_by_chance_95": high}
    return {**label_figures(known, truth), **chance, "reliability": reliability(known, truth)}


def judge(evidences: Sequence[Evidence]) -> Report:
    """Calibration of the models on these tasks."""
    found = {evidence.task: figures(evidence) for evidence in evidences}
    body = []
    for task, models in found.items():
        for model, labels in models.items():
            for label, one in labels.items():
                values = [percent(one.get("accuracy")), percent(one.get("balanced_accuracy"))]
                values += [decimals(one.get(name)) for name in ("auroc", "auprc", "ece")]
                values.append(", ".join(decimals(one.get(name)) for name in ("ece_by_chance", "ece_by_chance_95")))
                body.append([task, model, label, f"{one['n1']} / {one['n0']}", *values])
    head = ["task", "model", "label", "useful / not", "accuracy %", "balanced accuracy %", "AUROC", "AUPRC", "ECE"]
    head.append("by chance: mean, 95 %")

    def draw(figure: Figure) -> None:
        panels = {
            f"{task}: {model}": {
                label: (one["reliability"], f"ECE {decimals(one.get('ece'))}") for label, one in labels.items()
            }
            for task, models in found.items()
            for model, labels in models.items()
        }
        reliability_panels(figure, panels)

    count = sum(map(len, found.values()))
    return Report("Calibration", NOTE, [Section("Figures", head, body)], found, draw, (5 * max(count, 1), 5))
