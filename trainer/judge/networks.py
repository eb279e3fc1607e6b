"""Tables I and II: the label of all networks together, and of every single one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.judge.charts import dot_panels
from trainer.judge.report import Report, Section, decimals, percent
from trainer.judge.rows import Evidence, Floats, Utilities
from trainer.judge.scores import TRUE_QUALITY
from trainer.metrics import auroc, balanced_accuracy, best_threshold, even_point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOGETHER, BEST, EVERY = "all networks together", "best single network", "every single network"
PAPER = {
    "classification": {TOGETHER: 0.933, BEST: 0.912, EVERY: 0.842},
    "detection": {TOGETHER: 0.928, BEST: 0.848, EVERY: 0.813},
}
NOTE = (
    "Balanced accuracy and AUROC of each scorer against the label with the paper's margins (Khan et al. 2022, "
    "tables I and II). A model predicts useful from its calibrated 0.5 on; its best threshold on these very rows "
    "stands beside it, and is all that the oracle and the rivals have. 'Best' and 'every single network' are the "
    "highest and the lowest over the single networks. The paper's networks were others (Inception-v3, VGG-19, "
    "DenseNet-121; Faster R-CNN ResNet-50, SSD-300 VGG-16, SSD-320 MobileNet-v3), its classes balanced."
)
EVEN_NOTE = (
    " A model's 0.5 is that of its calibration, for which useful and useless rows are as frequent as they come. Where "
    "they count alike, as in balanced accuracy, another point divides them ('even'): for each label it is found on "
    "{count} rows of pictures that took no part in training and do not judge here, by a logistic fit with the prior "
    "odds taken out."
)

Points = Mapping[tuple[str, str], float]
"""(model, label) -> the score from which it calls a row useful where the classes count alike."""


def points(evidence: Evidence) -> dict[tuple[str, str], float]:
    """Where each model divides each label, classes counting alike, found on these rows; without those undefined."""
    found = {}
    for name, label in _labels(evidence).items():
        known = label >= 0
        for model in evidence.models:
            point = even_point(_scores(evidence, model, name)[known], label[known])
            if point is not None:
                found[model, name] = point
    return found


def judge_label(scores: Floats, labels: Utilities, is_model: bool, point: float | None = None) -> dict[str, Any]:
    """One scorer on one label.

    Args:
        scores: (N,) higher is more useful.
        labels: (N,) 1, 0 or -1 for left out.
        is_model: whether 0.5 is its threshold.
        point: another threshold, found on other rows.

    Returns:
        auroc, best (balanced_accuracy and threshold), for a model balanced_accuracy, and with a point even
        (balanced_accuracy and threshold); None where undefined.
    """
    known = labels >= 0
    best = best_threshold(scores[known], labels[known])
    found: dict[str, Any] = {"auroc": auroc(scores[known], labels[known])}
    found["best"] = {name: best[name] for name in ("balanced_accuracy", "threshold")}
    if is_model:
        found["balanced_accuracy"] = balanced_accuracy(scores[known], labels[known])
    if point is not None:
        accuracy = balanced_accuracy(scores[known], labels[known], point)
        found["even"] = {"balanced_accuracy": accuracy, "threshold": point}
    return found


def figures(evidence: Evidence, found: Points) -> dict[str, Any]:
    """Every label row's counts, paper's figure and scorers, as JSON values."""
    rows: dict[str, Any] = {}
    for name, label in _labels(evidence).items():
        scorers = {
            scorer: judge_label(
                _scores(evidence, scorer, name), label, scorer in evidence.models, found.get((scorer, name))
            )
            for scorer in evidence.scores
        }
        rows[name] = {"useful": int((label == 1).sum()), "non_useful": int((label == 0).sum()), "scorers": scorers}
    singles = [rows[network]["scorers"] for network in evidence.networks]
    for name, pick in ((BEST, max), (EVERY, min)):
        rows[name] = {"scorers": {scorer: _extreme(singles, scorer, pick) for scorer in evidence.scores}}
    for name, value in PAPER[evidence.task].items():
        rows[name]["paper"] = value
    return rows


def _labels(evidence: Evidence) -> dict[str, Utilities]:
    return {TOGETHER: evidence.label, **dict(zip(evidence.networks, evidence.margin.T, strict=True))}


def _scores(evidence: Evidence, scorer: str, label: str) -> Floats:
    """What a scorer says of a label: its head for that network, if it has one."""
    return evidence.heads.get((scorer, label), evidence.scores[scorer])


def _extreme(singles: Sequence[Mapping[str, Any]], scorer: str, pick: Any) -> dict[str, Any]:
    mine = [single[scorer] for single in singles]
    found: dict[str, Any] = {"auroc": _pick(pick, [one["auroc"] for one in mine])}
    for way in ("best", "even"):
        if way in mine[0]:
            accuracy = _pick(pick, [one[way]["balanced_accuracy"] for one in mine if way in one])
            found[way] = {"balanced_accuracy": accuracy, "threshold": None}
    if "balanced_accuracy" in mine[0]:
        found["balanced_accuracy"] = _pick(pick, [one["balanced_accuracy"] for one in mine])
    return found


def _pick(pick: Any, values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return pick(known) if known else None


def judge(evidences: Sequence[Evidence], others: Sequence[Evidence] = ()) -> Report:
    """Tables I and II of these tasks.

    Args:
        evidences: of the rows that judge, one a task.
        others: the same of other rows, to find the points at which classes that count alike are divided.
    """
    known = {other.task: points(other) for other in others}
    found = {evidence.task: figures(evidence, known.get(evidence.task, {})) for evidence in evidences}
    note = NOTE + (EVEN_NOTE.format(count=" and ".join(str(len(other)) for other in others)) if others else "")
    sections = []
    for evidence in evidences:
        sections += _sections(evidence, found[evidence.task])

    def draw(figure: Figure) -> None:
        panels = {}
        for evidence in evidences:
            rows = found[evidence.task]
            series = {"paper": [rows[name].get("paper") for name in rows]}
            shown = [*evidence.models, *(name for name in (TRUE_QUALITY,) if name in evidence.scores)]
            for scorer in shown:
                series[scorer] = [_shown(rows[name]["scorers"][scorer]) for name in rows]
            panels[evidence.task] = (list(rows), series)
        dot_panels(figure, panels, "balanced accuracy (models at 0.5, the oracle at its best threshold)")

    return Report(
        "Labels of all networks and of single ones", note, sections, found, draw, (11, 1.2 + 3.2 * len(found))
    )


def _shown(scorer: Mapping[str, Any]) -> float | None:
    value: float | None = scorer.get("balanced_accuracy", scorer["best"]["balanced_accuracy"])
    return value


def _sections(evidence: Evidence, rows: Mapping[str, Any]) -> list[Section]:
    oracle = TRUE_QUALITY in evidence.scores
    even = any("even" in scorer for row in rows.values() for scorer in row["scorers"].values())
    head = ["label", "useful / not", "paper %"]
    head += ["true JPEG quality % (from)", "its AUROC"] if oracle else []
    for model in evidence.models:
        head += [f"{model} % at 0.5", *(["even % (from)"] if even else []), "best % (from)", "AUROC"]
    body = []
    for name, row in rows.items():
        line = [name, f"{row['useful']} / {row['non_useful']}" if "useful" in row else "", percent(row.get("paper"))]
        line += _best(row["scorers"][TRUE_QUALITY], 0) if oracle else []
        for model in evidence.models:
            scorer = row["scorers"][model]
            line += [percent(scorer["balanced_accuracy"]), *([_at(scorer.get("even"), 3)] if even else [])]
            line += _best(scorer, 3)
        body.append(line)
    rivals = [name for name in evidence.scores if name not in (*evidence.models, TRUE_QUALITY)]
    tables = [Section(f"{evidence.task}: models and the JPEG-quality oracle", head, body)]
    if rivals:
        cells = [[" / ".join(_best(row["scorers"][rival], None)) for row in rows.values()] for rival in rivals]
        lines = [[rival, *line] for rival, line in zip(rivals, cells, strict=True)]
        note = "Balanced accuracy (%) at the best threshold on these rows / AUROC; a dash where it is not defined."
        tables.append(Section(f"{evidence.task}: rivals", ["scorer", *rows], lines, note))
    return tables


def _best(scorer: Mapping[str, Any], places: int | None) -> list[str]:
    return [_at(scorer["best"], places), decimals(scorer["auroc"])]


def _at(way: Mapping[str, Any] | None, places: int | None) -> str:
    if way is None:
        return percent(None)
    value, threshold = percent(way["balanced_accuracy"]), way["threshold"]
    if places is not None and threshold is not None and np.isfinite(threshold):
        value += f" ({threshold:.{places}f})"
    return value
