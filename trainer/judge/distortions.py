"""How well usefulness is ranked within and across kinds of distortion, beside an oracle that knows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streamfilter.distort import JPEG_QUALITIES
from trainer.judge.charts import dot_panels
from trainer.judge.report import Report, Section, decimals
from trainer.judge.rows import Evidence, Floats, Utilities
from trainer.judge.scores import STRENGTH_ORACLE, TRUE_QUALITY
from trainer.metrics import auroc, correlations

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL, NEW_QUALITIES = "all distortions", "jpeg, qualities not trained on"
NOTE = (
    "AUROC of each scorer against what each network decided, the networks' rows stacked. Without margins: useful "
    "when the network is right on the distorted picture, rows on which it is wrong on the pristine one left out. "
    "With margins: also T_H = 0.9 and T_L = 0.1 (classification; eq. (6) of detection has none). The oracle knows "
    "kind and strength: its score is the mean usefulness without margins of the development tables at that kind and "
    "strength, linear between strengths. SRCC and PLCC are against the continuous utility averaged over the "
    "networks."
)


def stacked_auroc(scores: Floats, utilities: Utilities) -> float | None:
    """AUROC over the rows of several networks.

    Args:
        scores: (N,) higher is more useful.
        utilities: (N, M) 1, 0 or -1 for left out.
    """
    rows, networks = np.nonzero(utilities >= 0)
    return auroc(scores[rows], utilities[rows, networks])


def groups(evidence: Evidence) -> dict[str, npt.NDArray[np.bool_]]:
    """(N,) which rows belong to all distortions, to each kind, and to the JPEG qualities that are not the paper's."""
    found = {ALL: np.ones(len(evidence), dtype=bool)}
    found.update({str(kind): evidence.distortion == kind for kind in np.unique(evidence.distortion)})
    unseen = (evidence.distortion == "jpeg") & ~np.isin(evidence.strength, JPEG_QUALITIES)
    if unseen.any():
        found[NEW_QUALITIES] = unseen
    return found


def figures(evidence: Evidence) -> dict[str, Any]:
    """AUROC of every scorer for every group and kind of label, and the correlations, as JSON values."""
    labels = {"without_margins": evidence.plain}
    if evidence.task == "classification":
        labels["with_margins"] = evidence.margin
    found: dict[str, Any] = {}
    scores = {name: values for name, values in evidence.scores.items() if name != TRUE_QUALITY}
    for kind, utilities in labels.items():
        found[kind] = {}
        for name, rows in groups(evidence).items():
            here = utilities[rows]
            aurocs = {scorer: stacked_auroc(values[rows], here) for scorer, values in scores.items()}
            found[kind][name] = {
                "useful": int((here == 1).sum()),
                "non_useful": int((here == 0).sum()),
                "auroc": aurocs,
            }
    found["correlations"] = {scorer: correlations(values, evidence.continuous) for scorer, values in scores.items()}
    return found


def judge(evidences: Sequence[Evidence]) -> Report:
    """The ranking figures of these tasks; the rows must carry the oracle's score."""
    found = {evidence.task: figures(evidence) for evidence in evidences}
    sections = []
    for evidence in evidences:
        for kind in ("without_margins", "with_margins"):
            if kind in found[evidence.task]:
                sections.append(_table(evidence, kind.replace("_", " "), found[evidence.task][kind]))
        sections.append(_correlations(evidence.task, found[evidence.task]["correlations"]))

    def draw(figure: Figure) -> None:
        panels = {}
        for evidence in evidences:
            part = found[evidence.task]["without_margins"]
            shown = [*evidence.models, STRENGTH_ORACLE]
            series = {name: [group["auroc"].get(name) for group in part.values()] for name in shown}
            panels[evidence.task] = (list(part), series)
        dot_panels(figure, panels, "AUROC without margins, networks stacked")

    longest = max(len(part["without_margins"]) for part in found.values())
    size = (11, 1.5 + 0.36 * longest * len(found))
    return Report("Kinds of distortion", NOTE, sections, found, draw, size)


def _table(evidence: Evidence, kind: str, part: Mapping[str, Any]) -> Section:
    scorers = list(part[ALL]["auroc"])
    gains = [f"{model} - oracle" for model in evidence.models]
    body = []
    for name, group in part.items():
        aurocs = group["auroc"]
        line = [name, f"{group['useful']} / {group['non_useful']}", *(decimals(aurocs[one]) for one in scorers)]
        body.append(line + [_difference(aurocs[model], aurocs[STRENGTH_ORACLE]) for model in evidence.models])
    return Section(f"{evidence.task}: AUROC {kind}", ["rows", "useful / not", *scorers, *gains], body)


def _difference(model: float | None, oracle: float | None) -> str:
    return "-" if model is None or oracle is None else f"{model - oracle:+.3f}"


def _correlations(task: str, part: Mapping[str, Any]) -> Section:
    body = [[scorer, decimals(one["srcc"]), decimals(one["plcc"])] for scorer, one in part.items()]
    return Section(f"{task}: correlation with the continuous utility", ["scorer", "SRCC", "PLCC"], body)
