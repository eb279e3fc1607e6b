"""Fig. 2 (and tables III and IV): networks before, after filtering or replacing, and with the ideal filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.judge import discarding
from trainer.judge.charts import bar_panels
from trainer.judge.decisions import wrong
from trainer.judge.discarding import errors_kept, share_of_gain
from trainer.judge.replacing import Bools, judge_network, mean_share, versions_of
from trainer.judge.report import Report, Section, decimals, percent
from trainer.judge.rows import Evidence, Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOTE = (
    "Khan et al. 2022, fig. 2. Rows that a model scores under its calibrated 0.5 are discarded; every other scorer "
    "discards the same number, lowest scores first. Classification: accuracy of the rows kept; ideal discards that "
    "many, wrong ones first. Detection: COCO's mAP (pycocotools, AP@[.50:.95], all areas, at most 100 detections of "
    "score >= 0.05; boxes as fractions of the picture, to which IoU is indifferent) over all rows, the discarded "
    "ones replaced by the detections on their pristine versions; beside it the mAP when discarded rows count as "
    "missed (no detections, objects kept). Ideal replaces the rows that lose most: what a row adds to the mAP is "
    "taken as the sum over categories of its share of the category's objects times its own AP in it. The best "
    "choice itself cannot be computed: where another scorer's choice reaches more, that is the ideal. A model named "
    "`<model>:<task>` is that model's head for another task (tables III and IV). Shares are means over the "
    "networks. The last tables discard round shares of the rows, every scorer's lowest."
)


SHARES = (*discarding.SHARES, 0.5)


def filter_figures(
    errors: Bools, scores: Mapping[str, Floats], discarded: Mapping[str, Bools], shares: Sequence[float] = ()
) -> dict[str, Any]:
    """One network's accuracy before and after filtering.

    Args:
        errors: (N,) whether the network is wrong.
        scores: scorer -> (N,) scores.
        discarded: model -> (N,) rows it predicts non-useful.
        shares: discarded shares, 0 to under 1.

    Returns:
        before, and for each model: after, ideal, and for random and every scorer at the same share after and
        share_of_gain; None where a score is NaN or nothing is kept. The same for each of `shares`, in their order, but
        for what a model itself discards.
    """
    whole = errors.astype(np.float64)
    before = 1 - float(whole.mean())

    def at(share: float) -> dict[str, Any]:
        if share == 1:
            nothing = {"after": None, "share_of_gain": None}
            return {"ideal": None, "scorers": {name: dict(nothing) for name in ("random", *scores)}}
        where = np.array([share])
        ideal = 1 - float(errors_kept(-whole, whole, where)[0])
        scorers: dict[str, Any] = {"random": {"after": before, "share_of_gain": share_of_gain(before, before, ideal)}}
        for name, values in scores.items():
            after = None if np.isnan(values).any() else 1 - float(errors_kept(values, whole, where)[0])
            gain = None if after is None else share_of_gain(before, after, ideal)
            scorers[name] = {"after": after, "share_of_gain": gain}
        return {"ideal": ideal, "scorers": scorers}

    models = {}
    for model, rows in discarded.items():
        found = at(float(rows.mean()))
        models[model] = {**found["scorers"][model], **found}
    return {"before": before, "models": models, "shares": [at(share) for share in shares]}


def figures(evidence: Evidence) -> dict[str, Any]:
    """The task's networks before, after and ideal, as JSON values."""
    scores = {**evidence.scores, **evidence.across}
    discarded = {name: scores[name] < 0.5 for name in (*evidence.models, *evidence.across)}
    errors = wrong(evidence) if evidence.task == "classification" else None
    networks = {}
    for place, network in enumerate(evidence.networks):
        if errors is not None:
            networks[network] = filter_figures(errors[:, place], scores, discarded, SHARES)
        else:
            versions = versions_of(evidence.distorted[place], evidence.pristine[place])
            networks[network] = judge_network(versions, scores, discarded, SHARES)

    def gains(discards: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        return {scorer: mean_share(discards, scorer) for scorer in ("random", *scores)}

    found = list(networks.values())
    models = {
        model: {
            "discarded_share": float(rows.mean()),
            "share_of_gain": gains([one["models"][model] for one in found]),
        }
        for model, rows in discarded.items()
    }
    at_shares = [
        {"discarded_share": share, "share_of_gain": gains([one["shares"][place] for one in found])}
        for place, share in enumerate(SHARES)
    ]
    return {"rows": len(evidence), "networks": networks, "models": models, "shares": at_shares}


def judge(evidences: Sequence[Evidence]) -> Report:
    """Fig. 2 of these tasks."""
    found = {evidence.task: figures(evidence) for evidence in evidences}
    sections = []
    for task, part in found.items():
        sections += [_network_table(task, part), *_share_tables(task, part)]

    def draw(figure: Figure) -> None:
        panels = {}
        for task, part in found.items():
            after = "after" if task == "classification" else "replaced"
            model = next(iter(part["models"]))
            bars = {}
            for network, one in part["networks"].items():
                mine = one["models"][model]
                bars[network] = {"before": one["before"], "after": mine[after], "ideal": mine["ideal"]}
            title = "accuracy, by filtering" if task == "classification" else "mAP, by replacing"
            share = part["models"][model]["discarded_share"]
            panels[f"{task}: {title}\n{model} discards {share:.0%}"] = bars
        bar_panels(figure, panels)

    return Report("Networks before and after the filter", NOTE, sections, found, draw, (6.5 * len(found), 4.5))


def _network_table(task: str, part: Mapping[str, Any]) -> Section:
    detection = task == "detection"
    head = ["network", "model", "discarded %", "before", "after", "ideal", "share of the ideal gain %"]
    head += ["discarded count as missed", "all pristine"] if detection else []
    body = []
    for network, one in part["networks"].items():
        for model, mine in one["models"].items():
            after = mine["replaced" if detection else "after"]
            line = [network, model, percent(part["models"][model]["discarded_share"])]
            line += [decimals(value) for value in (one["before"], after, mine["ideal"])]
            line.append(percent(mine["share_of_gain"]))
            body.append(line + ([decimals(mine["missed"]), decimals(one["pristine"])] if detection else []))
    what = "mAP, discarded rows replaced" if detection else "accuracy of the rows kept"
    return Section(f"{task}: {what}, {part['rows']} rows", head, body)


def _share_tables(task: str, part: Mapping[str, Any]) -> list[Section]:
    """Every scorer's share of the ideal gain: at what each model discards, and at round shares."""
    own = {f"at {model}'s discard ({one['discarded_share']:.1%})": one for model, one in part["models"].items()}
    even = {f"at {one['discarded_share']:.0%}": one for one in part["shares"]}
    sections = []
    for what, columns in (("what each model discards", own), ("a given share discarded", even)):
        names = next(iter(columns.values()))["share_of_gain"]
        body = [[name, *(percent(one["share_of_gain"][name]) for one in columns.values())] for name in names]
        sections.append(Section(f"{task}: share of the ideal gain (%), {what}", ["scorer", *columns], body))
    return sections
