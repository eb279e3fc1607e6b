"""What the report knows of clips that have no records yet, and of the thresholds behind records."""

from __future__ import annotations

from pathlib import Path
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
    policy, spec = stream_filter.policy, stream_filter.scorer.spec
    profile = stream_filter.settings.profile
    origin = "the model's own" if policy.thresholds == spec.thresholds else "given"
    origin = f"of the profile {Path(profile).name}" if profile is not None else origin
    return Rule(dict(policy.thresholds), policy.task, spec.name, origin)


def rule_for(columns: Columns, settings: Settings, is_run_told: bool) -> Rule:
    """The thresholds behind some records, which do not hold them.

    What the user says counts; a model tells its own. When nothing is said, those of the default model are taken if they
    explain every decision in the records and there are decisions close to them on both sides, and none otherwise.

    Args:
        columns: the records.
        settings: the user's settings, defaults filled in.
        is_run_told: whether they name the model, or whatever else brings its thresholds.

    Raises:
        ConfigError: the settings do not fit the model.
        ModelError: the model named cannot be loaded.
    """
    tasks = list(columns.utility)
    if is_run_told:
        return _rule_from(settings)
    if settings.threshold is not None:
        return Rule(dict.fromkeys(tasks, settings.threshold), settings.task, None, "given")
    try:
        guess = _rule_from(settings)
    except StreamFilterError:
        return Rule(task=settings.task)
    if set(guess.thresholds) == set(tasks) and guess.is_pinned(columns) and not guess.unexplained(columns):
        origin = f"of {DEFAULT_MODEL}, the default; they explain every decision recorded"
        return Rule(guess.thresholds, guess.task, None, origin)
    return Rule(task=settings.task)


def _rule_from(settings: Settings) -> Rule:
    from streamfilter.filter import StreamFilter

    return rule_of(StreamFilter(settings.replace(device="cpu", threads=1)))
