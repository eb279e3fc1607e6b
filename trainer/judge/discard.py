"""Error-versus-discard curves, and confident errors per 1,000 frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from streamfilter.errors import InputError
from trainer.judge.charts import curve_panels
from trainer.judge.decisions import Bools, confident_errors, with_truth, wrong
from trainer.judge.discarding import MOST, SHARES, STEPS, errors_kept, partial_auc
from trainer.judge.report import Report, Section, decimals, percent
from trainer.judge.rows import Evidence, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANDOM, IDEAL = "random", "ideal"
NOTE = (
    "Error of the networks on the frames kept when the lowest-scored share is discarded, each network judged alone "
    "and the networks averaged. Error: the top class is not the true one; no detection of score >= 0.5 matches an "
    "object (category, IoU >= 0.5). Ideal discards each network's own errors first; equal scores are discarded in "
    f"random order (expectation). Partial AUC: area gained up to {MOST:.0%} discard, random = 0, ideal = 1. Frames "
    "without a true class or object are left out."
)
CONFIDENT_NOTE = (
    "Confident errors per 1,000 frames kept, averaged over the networks (classification: wrong with a probability "
    ">= 0.5; detection: at least one detection of score >= 0.5 that matches no object of its category at IoU 0.5). "
    "A model discards what it scores under 0.5; the others the same share, lowest scores first."
)


def discard_figures(scores: Mapping[str, Floats], errors: Bools, right_before: Bools) -> dict[str, Any]:
    """Errors at `SHARES` and partial AUC of every scorer, and of random and ideal discarding.

    Args:
        scores: scorer -> (N,) scores.
        errors: (N, M) whether each network is wrong.
        right_before: (N, M) whether it was right on the pristine picture.

    Returns:
        scorer -> errors (at no discard and at `SHARES`), curve (at `STEPS` shares up to `MOST`), partial_auc and
        partial_auc_pristine_right (only frames whose pristine decision was right); None where undefined.
    """
    whole = errors.astype(np.float64)
    columns = range(errors.shape[1])
    found: dict[str, Any] = {}
    for name, values in {RANDOM: np.zeros(len(whole)), IDEAL: None, **scores}.items():
        if values is not None and np.isnan(values).any():
            found[name] = {"errors": None, "curve": None, "partial_auc": None, "partial_auc_pristine_right": None}
            continue
        mine = [-whole[:, column] if values is None else values for column in columns]
        at = [errors_kept(mine[column], whole[:, column], np.array([0, *SHARES])) for column in columns]
        curves = [errors_kept(mine[column], whole[:, column], np.linspace(0, MOST, STEPS)) for column in columns]
        found[name] = {
            "errors": np.mean(at, axis=0).tolist(),
            "curve": np.mean(curves, axis=0).tolist(),
            "partial_auc": _mean([partial_auc(mine[column], whole[:, column]) for column in columns]),
            "partial_auc_pristine_right": _mean(
                [_partial_of(mine[column], whole[:, column], right_before[:, column]) for column in columns]
            ),
        }
    return found


def _partial_of(scores: Floats, errors: Floats, rows: Bools) -> float | None:
    return partial_auc(scores[rows], errors[rows]) if rows.any() else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return float(np.mean(known)) if known else None


def confident_figures(scores: Mapping[str, Floats], errors: Bools, share: float) -> dict[str, float | None]:
    """Confident errors per 1,000 frames kept when this share is discarded.

    Args:
        scores: scorer -> (N,) scores.
        errors: (N, M) whether each network errs with confidence.
        share: discarded share, 0 to under 1.

    Returns:
        before, random (the same), ideal and every scorer; None where a score is NaN.
    """
    whole, at = errors.astype(np.float64), np.array([share])
    before = float(1000 * whole.mean())
    ideal = np.mean([errors_kept(-column, column, at)[0] for column in whole.T])
    found: dict[str, float | None] = {"before": before, RANDOM: before, IDEAL: float(1000 * ideal)}
    mean = whole.mean(axis=1)
    for name, values in scores.items():
        found[name] = None if np.isnan(values).any() else float(1000 * errors_kept(values, mean, at)[0])
    return found


def figures(evidence: Evidence) -> dict[str, Any]:
    """The task's curves, and its confident errors at each model's threshold, as JSON values.

    Raises:
        InputError: no row has a truth.
    """
    judged = with_truth(evidence)
    if not len(judged):
        raise InputError(f"no {evidence.task} row has a truth to err from: judge tables of other pictures")
    found: dict[str, Any] = {"frames": len(judged), "shares": [0, *SHARES]}
    found["scorers"] = discard_figures(judged.scores, wrong(judged), judged.plain >= 0)
    confident, found["confident_errors"] = confident_errors(judged), {}
    for model in judged.models:
        share = float((judged.scores[model] < 0.5).mean())
        part = confident_figures(judged.scores, confident, share) if share < 1 else None
        found["confident_errors"][model] = {"discarded_share": share, "per_1000_frames": part}
    return found


def judge(evidences: Sequence[Evidence]) -> Report:
    """Error-versus-discard of these tasks."""
    found = {evidence.task: figures(evidence) for evidence in evidences}
    sections = []
    for task, part in found.items():
        sections += [_curve_table(task, part), _confident_table(task, part)]

    def draw(figure: Figure) -> None:
        shares = np.linspace(0, 100 * MOST, STEPS)
        panels = {}
        for evidence in evidences:
            part = found[evidence.task]["scorers"]
            lines = {name: np.array(one["curve"]) * 100 for name, one in part.items() if one["curve"] is not None}
            panels[evidence.task] = lines
        models = [name for evidence in evidences for name in evidence.models]
        curve_panels(figure, shares, panels, models, ("frames discarded (%)", "error of the networks (%)"))

    return Report("Error versus discard", NOTE, sections, found, draw, (7.5 * len(found), 6))


def _curve_table(task: str, part: Mapping[str, Any]) -> Section:
    head = ["scorer", *(f"error % at {share:.0%}" for share in part["shares"]), "partial AUC"]
    head.append("partial AUC, pristine right")
    body = []
    for name, one in part["scorers"].items():
        cells = [percent(value) for value in one["errors"] or [None] * len(part["shares"])]
        body.append([name, *cells, decimals(one["partial_auc"]), decimals(one["partial_auc_pristine_right"])])
    return Section(f"{task}: error versus discard, {part['frames']} frames", head, body)


def _confident_table(task: str, part: Mapping[str, Any]) -> Section:
    columns = {name: one for name, one in part["confident_errors"].items() if one["per_1000_frames"]}
    head = ["scorer", *(f"at {name}'s discard ({one['discarded_share']:.1%})" for name, one in columns.items())]
    names = next(iter(columns.values()))["per_1000_frames"] if columns else ()
    body = [[name, *(decimals(one["per_1000_frames"][name], 1) for one in columns.values())] for name in names]
    return Section(f"{task}: confident errors", head, body, CONFIDENT_NOTE)
