"""Records of a run and a consumer's feedback, from files, as what they say of the drops."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from streamfilter.canary_monitor import BLOCK_SECONDS, CanaryMonitor
from streamfilter.config import not_in
from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.profile import Profile
from streamfilter.trust import Trust

FrameKey = tuple[str, int]


@dataclass
class Lines:
    """How a file of JSON lines was read."""

    read: int = 0
    bad: list[int] = field(default_factory=list)
    """Numbers, from 1, of those that say nothing: cut off, no JSON, or without what is needed."""

    def problem(self, path: Path) -> str:
        """What is wrong with it, one line; empty when nothing is."""
        if not self.bad:
            return ""
        first, more = self.bad[0], len(self.bad) - 1
        others = f" and {more} more" if more else ""
        return f"{path}: line {first}{others} cannot be read and was left out"


@dataclass(frozen=True)
class Audit:
    """What records and feedback say of the drops of a run."""

    trust: Trust
    records: Lines
    feedback: Lines
    ambiguous: int
    """Answers to frames that are in the records more than once, as in a log of several runs; they are left out."""
    events: tuple[StreamEvent, ...]
    """When the bound became doubtful or the scores drifted, and when not any more."""


def audit_records(
    records: str | Path,
    feedback: str | Path | None = None,
    profile: Profile | None = None,
    task: str | None = None,
    block_seconds: float = BLOCK_SECONDS,
) -> Audit:
    """What a run's records, and the answers on the frames it passed, say of the frames it dropped.

    Args:
        records: JSON lines, as `RecordsSink` writes them.
        feedback: JSON lines of `input`, `index` and `useful`; None = no answers.
        profile: what to compare with; None = nothing.
        task: which tasks count, as in `Settings.task`; None = as the profile says, or `any`.
        block_seconds: stretch of time whose frames are taken as alike, 0.1 to 86,400.

    Raises:
        ConfigError: the length of a block is none.
        InputError: a file cannot be read, or the records hold no frame.
    """
    records, feedback = Path(records), None if feedback is None else Path(feedback)
    if problem := not_in("block_seconds", block_seconds, 0.1, 86_400):
        raise ConfigError(problem)
    lines, answer_lines = Lines(), Lines()
    answers = {} if feedback is None else _answers(feedback, answer_lines)
    often = _often(records, answers) if answers else Counter()
    events: list[StreamEvent] = []
    monitor = CanaryMonitor(str(records), profile, task, events.append, block_seconds, look_back_blocks=None)
    for frame, decision in _frames(records, lines):
        monitor.saw(frame, decision)
        key = (frame.input, frame.index)
        if decision.keep and often[key] == 1:
            for useful in answers.pop(key):
                monitor.report(frame, useful)
    if lines.read == len(lines.bad):
        raise InputError(f"{records} holds no record; give the file that `streamfilter run --records` wrote")
    for (name, index), given in answers.items():
        for useful in given if often[name, index] == 0 else []:
            monitor.report(Frame(name, index, is_emptied=True), useful)
    monitor.look()
    ambiguous = sum(len(given) for key, given in answers.items() if often[key] > 1)
    return Audit(monitor.trust(), lines, answer_lines, ambiguous, tuple(events))


def _often(records: Path, answers: Mapping[FrameKey, object]) -> Counter[FrameKey]:
    """How often each answered frame was passed."""
    passed = ((frame.input, frame.index) for frame, decision in _frames(records, Lines()) if decision.keep)
    return Counter(key for key in passed if key in answers)


def _answers(path: Path, lines: Lines) -> dict[FrameKey, list[bool]]:
    """All answers on each frame, in their order."""
    answers: dict[FrameKey, list[bool]] = {}
    for number, fields in _objects(path, lines):
        name, index, useful = fields.get("input"), fields.get("index"), fields.get("useful")
        if isinstance(name, str) and _is_index(index) and isinstance(useful, bool):
            answers.setdefault((name, index), []).append(useful)
        else:
            lines.bad.append(number)
    return answers


def _frames(path: Path, lines: Lines) -> Iterator[tuple[Frame, Decision]]:
    """The frames of records, without pixels."""
    for number, fields in _objects(path, lines):
        try:
            yield _frame(fields)
        except (KeyError, TypeError, ValueError):
            lines.bad.append(number)


def _frame(fields: Mapping[str, Any]) -> tuple[Frame, Decision]:
    """One record's frame and decision.

    Raises:
        KeyError, TypeError, ValueError: it is not a record.
    """
    name, index, seconds = fields["input"], fields["index"], fields["pts_seconds"]
    if not isinstance(name, str) or not _is_index(index) or not isinstance(fields["keep"], bool):
        raise TypeError(name)
    utility = fields["utility"]
    if utility is not None and not (isinstance(utility, dict) and all(0 <= value <= 1 for value in utility.values())):
        raise ValueError(utility)
    decision = Decision(
        keep=fields["keep"],
        reason=Reason(fields["reason"]),
        utility=utility,
        damage=fields.get("damage"),
        spared=Reason(fields["would_drop"]) if "would_drop" in fields else None,
    )
    return Frame(name, index, seconds, is_emptied=True), decision


def _is_index(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _objects(path: Path, lines: Lines) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a file, with the numbers of their lines.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                lines.read += 1
                fields = _parsed(line)
                if isinstance(fields, dict):
                    yield number, fields
                else:
                    lines.bad.append(number)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
