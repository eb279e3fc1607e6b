"""The score table, joined to the rows it scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from streamfilter.errors import ConfigError, InputError
from streamfilter.spec import TASKS
from trainer.judge.oracle import StrengthOracle
from trainer.judge.rows import Evidence, Floats
from trainer.score_table import score_columns

TRUE_QUALITY = "true_quality"
STRENGTH_ORACLE = "distortion_oracle"
PRISTINE_QUALITY = 101.0
VERDICT_UTILITY, VERDICT_CONFIDENCE = "verdict_utility", "verdict_confidence"
IDENTITY = ("content_hash", "distortion", "strength")


def with_scores(evidence: Evidence, tables: Sequence[pa.Table], models: Sequence[str]) -> Evidence:
    """The rows with the scores of these models and of every rival in the tables.

    Args:
        evidence: the rows.
        tables: score tables; more rows than these are welcome, and of a column in two tables the last one counts.
        models: names before the `:` of the models' columns; one that only has heads for another task is in `across`.

    Raises:
        ConfigError: a model has no column.
        InputError: a row has no score, or a model's score is NaN.
    """
    columns: dict[str, Floats] = {}
    for table in tables:
        scored = table.take(pa.array(_places(evidence, table)))
        columns.update({name: scored[name].to_numpy() for name in score_columns(table)})
    own, heads, across = {}, {}, {}
    for model in models:
        mine = {name: values for name, values in columns.items() if name.split(":")[0] == model and ":" in name}
        _check(model, mine, columns)
        if f"{model}:{evidence.task}" in mine:
            own[model] = mine[f"{model}:{evidence.task}"]
        for network in evidence.networks:
            if f"{model}:{evidence.task}:{network}" in mine:
                heads[model, network] = mine[f"{model}:{evidence.task}:{network}"]
        others = [f"{model}:{task}" for task in TASKS if task != evidence.task]
        across.update({name: mine[name] for name in others if name in mine})
    rivals = {name: values.astype(np.float64) for name, values in columns.items() if ":" not in name}
    return replace(evidence, models=tuple(own), scores={**own, **rivals}, heads=heads, across=across)


def scored(evidence: Evidence, tables: Sequence[pa.Table]) -> Evidence:
    """The rows that all of these score tables know.

    Raises:
        InputError: there is none.
    """
    known = [set(zip(*(table[name].to_pylist() for name in IDENTITY), strict=True)) for table in tables]
    found = np.array([all(key in keys for keys in known) for key in evidence.identities()], dtype=bool)
    if not found.any():
        raise InputError(f"no {evidence.task} row has a score: run `python -m trainer score` on these label folders")
    return evidence.take(found)


def _places(evidence: Evidence, table: pa.Table) -> list[int]:
    keys = zip(*(table[name].to_pylist() for name in IDENTITY), strict=True)
    known = {key: place for place, key in enumerate(keys)}
    places = [known.get(key, -1) for key in evidence.identities()]
    missing = places.count(-1)
    if missing:
        raise InputError(
            f"{missing} of {len(places)} {evidence.task} rows have no score: "
            "run `python -m trainer score` on these label folders"
        )
    return places


def _check(model: str, mine: dict[str, Floats], columns: dict[str, Floats]) -> None:
    if not mine:
        known = sorted({name.split(":")[0] for name in columns if ":" in name})
        raise ConfigError(f"the score table has no model {model!r}, known: {', '.join(known) or 'none'}")
    for name, values in mine.items():
        if np.isnan(values).any():
            raise InputError(f"{np.isnan(values).sum()} rows have no {name}: run `python -m trainer score` again")


def with_verdicts(evidence: Evidence, verdicts: Evidence) -> Evidence:
    """The rows with what other networks decided on the very same pictures as scores: no model that learns from those
    networks' decisions knows more.

    `verdict_utility` is the mean of their continuous utilities, 0 where none counts, and knows the ground truth;
    `verdict_confidence` is the mean of their highest confidences on the distorted picture, and does not.

    Args:
        evidence: the rows.
        verdicts: rows of the same task, these among them.

    Raises:
        InputError: a row has no verdict.
    """
    known = {key: place for place, key in enumerate(verdicts.identities())}
    places = np.array([known.get(key, -1) for key in evidence.identities()])
    if (places < 0).any():
        raise InputError(
            f"{(places < 0).sum()} of {len(places)} {evidence.task} rows are not in the tables of --verdict-labels: "
            "label them with the same --distortions, --sample and --split"
        )
    own = verdicts.take(places)
    told = {VERDICT_UTILITY: np.nan_to_num(own.continuous), VERDICT_CONFIDENCE: _confidence(own)}
    return replace(evidence, scores={**evidence.scores, **told})


def _confidence(evidence: Evidence) -> Floats:
    if evidence.task == "classification":
        return np.mean([table["top_probability"].to_numpy() for table in evidence.distorted], axis=0, dtype=np.float64)
    surest = [[max(scores, default=0.0) for scores in table["scores"].to_pylist()] for table in evidence.distorted]
    return np.mean(surest, axis=0, dtype=np.float64)


def with_oracles(evidence: Evidence, oracle: StrengthOracle | None) -> Evidence:
    """The rows with the oracles' scores, put between the models and the rivals.

    The true JPEG quality stands where every row is JPEG or pristine, what knows distortion and strength where `oracle`
    was given.
    """
    oracles = {}
    if np.isin(evidence.distortion, ("jpeg", "pristine")).all():
        oracles[TRUE_QUALITY] = np.where(np.isnan(evidence.strength), PRISTINE_QUALITY, evidence.strength)
    if oracle is not None:
        oracles[STRENGTH_ORACLE] = oracle.predict(evidence.distortion, evidence.strength)
    own = {name: evidence.scores[name] for name in evidence.models}
    return replace(evidence, scores={**own, **oracles, **evidence.scores})
