"""What the report knows of clips that have no records yet, and of the thresholds behind records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamfilter.config import DEFAULT_MODEL, Settings
from streamfilter.errors import StreamFilterError
from streamfilter.frame import Decision, Frame
from streamfilter.report.columns import Columns, ColumnsBuilder
from streamfilter.report.rule import Rule
from streamfilter.sinks._base import BaseSink
from streamfilter.sinks.records import record_fields

if TYPE_CHECKING:
    from streamfilter.filter import StreamFilter


class ColumnsSink(BaseSink):
    """Collects the records of a run in memory.

    Args:
        into: gets them.
    """

    def __init__(self, into: ColumnsBuilder) -> None:
        super().__init__()
        self._into = into

    def _write(self, frame: Frame, decision: Decision) -> None:
        self._into.add(record_fields(frame, decision))

    def _finish(self) -> None:
        pass

    def _discard(self) -> None:
        pass


def rule_of(stream_filter: StreamFilter) -> Rule:
    """The thresholds a filter decides by."""
    settings, policy = stream_filter.settings, stream_filter.policy
    origin = "the model's own" if settings.threshold is None else "given"
    return Rule(dict(policy.thresholds), policy.task, stream_filter.scorer.spec.name, origin)


def rule_for(columns: Columns, settings: Settings, given: Sequence[str]) -> Rule:
    """The thresholds behind some records, which do not hold them.

    What the user says counts; a model tells its own. When nothing is said, those of the default model are taken if they
    explain every decision in the records and there are decisions close to them on both sides, and none otherwise.

    Args:
        columns: the records.
        settings: the user's settings, defaults filled in.
        given: names of those that the user gave.

    Raises:
        ModelError: the model named cannot be loaded.
    """
    tasks = list(columns.utility)
    if settings.threshold is not None and "model" not in given:
        return Rule(dict.fromkeys(tasks, settings.threshold), settings.task, None, "given")
    if "model" in given:
        spec_rule = _rule_of_model(settings)
        return Rule(spec_rule.thresholds, settings.task, spec_rule.model, spec_rule.origin)
    try:
        guess = _rule_of_model(settings)
    except StreamFilterError:
        return Rule(task=settings.task)
    if set(guess.thresholds) == set(tasks) and guess.is_pinned(columns) and not guess.unexplained(columns):
        origin = f"of {DEFAULT_MODEL}, the default; they explain every decision recorded"
        return Rule(guess.thresholds, guess.task, None, origin)
    return Rule(task=settings.task)


def _rule_of_model(settings: Settings) -> Rule:
    from streamfilter.scorer import Scorer

    spec = Scorer(settings.model, "cpu", 1).spec
    if settings.threshold is not None:
        return Rule(dict.fromkeys(spec.tasks, settings.threshold), settings.task, spec.name, "given")
    return Rule(dict(spec.thresholds), settings.task, spec.name, "the model's own")
