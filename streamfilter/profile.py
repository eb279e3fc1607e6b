"""Profile: the thresholds one calibration found for one model, one camera and one consumer, in a small TOML file.

version = 1
model = "utility-nano"
model_sha256 = "9f86d0..."
task = "detection"
made = "2026-03-01T09:30:00+00:00"
command = "streamfilter calibrate camera.mp4 --consumer detector.onnx --keep-useful 0.95 --out profile.toml"

[thresholds]
detection = 0.31

[bound]
kind = "keep_useful"
target = 0.95
confidence = 0.95
blocks = 120
block_seconds = 10.0
useful_frames = 4210
useful_kept = 0.991
discard = 0.18

[data]
inputs = ["camera.mp4"]
consumer = "detector.onnx"

[scores.detection]
quantiles = [0.02, ...]  # 21 numbers
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from streamfilter.config import TASK_RULES, not_in, not_one_of, read_toml
from streamfilter.errors import ConfigError
from streamfilter.spec import TASKS

PROFILE_VERSION = 1
BOUNDS = ("keep_useful", "confident_errors", "keep_rate")
QUANTILES = 21
"""Numbers that describe a task's scores: the quantiles at 0, 5, ..., 100 %."""


@dataclass(frozen=True)
class Bound:
    """What the thresholds promise, and what they were measured to do on the calibration data."""

    kind: str
    """`keep_useful`: at least `target` of the useful frames are kept; `confident_errors`: at least `target` of the
    confident errors are removed; `keep_rate`: `target` of the frames were kept, nothing is promised."""
    target: float
    """Share that `kind` speaks of, 0-1."""
    confidence: float
    """Probability that the promise holds, 0-1; 0 = nothing is promised."""
    blocks: int
    """Exchangeable blocks that it rests on."""
    block_seconds: float
    """Length of a block, seconds; 0 = each input is one."""
    useful_frames: int
    """Frames of the calibration data, degraded ones included, that the consumer could use."""
    useful_kept: float
    """Share of them that the thresholds keep, 0-1; 1 when there were none."""
    discard: float
    """Share of all judged frames of the calibration data that the thresholds drop, 0-1."""


@dataclass(frozen=True)
class Profile:
    """Thresholds for one model, what they promise, and what they were made from.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    model: str
    """Name of the model."""
    model_sha256: str
    """Hex digest of the model file; the thresholds are worth nothing for another one."""
    task: str
    """Which tasks a frame must be useful to, as in `Settings.task`."""
    thresholds: Mapping[str, float]
    """Utility at or above which a frame is useful, 0-1, for each task that counts."""
    bound: Bound
    inputs: tuple[str, ...]
    """What was calibrated on, passwords masked."""
    consumer: str
    """What judged the frames; empty for a keep rate without one."""
    scores: Mapping[str, Sequence[float]]
    """For each task of the model the quantiles of its utility at 0, 5, ..., 100 % on undistorted frames."""
    made: str
    """When, ISO 8601 with a zone."""
    command: str
    """What made it, passwords masked."""
    version: int = PROFILE_VERSION
    """Version of this very list of fields."""

    def __post_init__(self) -> None:
        problems = [problem for problem in _problems(self) if problem]
        if problems:
            raise ConfigError("; ".join(problems))

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """The profile of a TOML file.

        Raises:
            ConfigError: it cannot be read, is of another version, lacks values (all are named), or has wrong ones.
        """
        values = read_toml(Path(path))
        if values.get("version") != PROFILE_VERSION:
            found = f"version {values['version']!r}" if "version" in values else "no version"
            raise ConfigError(f"{path} has {found}, this program reads profiles of version {PROFILE_VERSION}")
        lacking = list(_lacking(values))
        if lacking:
            raise ConfigError(f"{path} is not a whole profile, it lacks {', '.join(lacking)}; calibrate again")
        try:
            return cls(
                **{key: values[key] for key in _TOP},
                thresholds=values["thresholds"],
                bound=Bound(**{key: values["bound"][key] for key in _BOUND}),
                inputs=_listed(values["data"]["inputs"]),
                consumer=values["data"]["consumer"],
                scores={task: table["quantiles"] for task, table in values["scores"].items()},
            )
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"{path}: {error}") from error

    def check(self, model_sha256: str) -> None:
        """See that the profile is one for this model.

        Args:
            model_sha256: hex digest of the model file.

        Raises:
            ConfigError: it was made for another one.
        """
        if model_sha256 != self.model_sha256:
            raise ConfigError(
                f"the profile was made for {self.model} (sha256 {self.model_sha256[:12]}), this model is another one "
                f"(sha256 {model_sha256[:12]}): use that model, or calibrate again with this one"
            )

    def to_toml(self) -> str:
        """The profile as text; `read` gives the same one back."""
        tables: dict[str, Mapping[str, Any]] = {
            "thresholds": self.thresholds,
            "bound": asdict(self.bound),
            "data": {"inputs": self.inputs, "consumer": self.consumer},
            **{f"scores.{task}": {"quantiles": numbers} for task, numbers in self.scores.items()},
        }
        lines = [*_lines({"version": self.version, **{key: getattr(self, key) for key in _TOP}})]
        for name, table in tables.items():
            lines += ["", f"[{name}]", *_lines(table)]
        return "\n".join([*lines, ""])


_TOP = ("model", "model_sha256", "task", "made", "command")
_BOUND = tuple(item.name for item in fields(Bound))
_TABLES = {"thresholds": (), "bound": _BOUND, "data": ("inputs", "consumer"), "scores": ()}


def _listed(inputs: object) -> tuple[Any, ...]:
    if not isinstance(inputs, list):
        raise ConfigError(f"data.inputs is {inputs!r}, expected a list")
    return tuple(inputs)


def _lacking(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in _TOP if key not in values)
    for name, keys in _TABLES.items():
        table = values.get(name)
        if not isinstance(table, dict) or not table:
            yield f"[{name}]"
            continue
        yield from (f"{name}.{key}" for key in keys if key not in table)
    scores = values.get("scores")
    for task, table in scores.items() if isinstance(scores, dict) else ():
        if not isinstance(table, dict) or "quantiles" not in table:
            yield f"scores.{task}.quantiles"


def _problems(profile: Profile) -> Iterator[str]:
    yield from (
        f"{name} is {value!r}, expected text"
        for name in ("model", "command", "consumer")
        if not isinstance(value := getattr(profile, name), str)
    )
    if not isinstance(profile.model_sha256, str) or not re.fullmatch("[0-9a-f]{64}", profile.model_sha256):
        yield f"model_sha256 is {profile.model_sha256!r}, expected 64 hex digits"
    if not all(isinstance(name, str) for name in profile.inputs):
        yield f"inputs are {list(profile.inputs)!r}, expected texts"
    yield _bad_time(profile.made)
    yield not_one_of("task", profile.task, TASK_RULES)
    for task, threshold in profile.thresholds.items():
        yield not_one_of("a threshold's task", task, TASKS)
        yield not_in(f"thresholds.{task}", threshold, 0, 1)
    if profile.task in TASKS and profile.task not in profile.thresholds:
        yield f"there is no threshold for the task {profile.task}"
    yield from _bound_problems(profile.bound)
    for task, numbers in profile.scores.items():
        yield _bad_quantiles(task, numbers)


def _bound_problems(bound: Bound) -> Iterator[str]:
    yield not_one_of("bound.kind", bound.kind, BOUNDS)
    for name in ("target", "confidence", "useful_kept", "discard"):
        yield not_in(f"bound.{name}", getattr(bound, name), 0, 1)
    for name in ("blocks", "useful_frames"):
        yield not_in(f"bound.{name}", getattr(bound, name), 0, 1_000_000_000, whole=True)
    yield not_in("bound.block_seconds", bound.block_seconds, 0, 86_400)


def _bad_time(made: object) -> str:
    try:
        has_zone = isinstance(made, str) and datetime.fromisoformat(made).tzinfo is not None
    except ValueError:
        has_zone = False
    return "" if has_zone else f"made is {made!r}, expected a time such as 2026-03-01T09:30:00+00:00"


def _bad_quantiles(task: str, numbers: object) -> str:
    if isinstance(numbers, list | tuple) and len(numbers) == QUANTILES:
        in_range = not any(not_in("", number, 0, 1) for number in numbers)
        if in_range and list(numbers) == sorted(numbers):
            return ""
    return f"scores.{task}.quantiles: expected {QUANTILES} numbers from 0 to 1 in ascending order"


def _lines(table: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key} = {_value(value)}" for key, value in table.items())


def _value(value: Any) -> str:
    """A text, a number, or a list of them. JSON's form is TOML's, but for DEL, which TOML wants escaped."""
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode()
