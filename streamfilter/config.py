"""Every setting's default and range, once: the CLI, the TOML file and the Python API read them here."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from streamfilter.errors import ConfigError

DEFAULT_MODEL = "utility-nano"
DEVICES = ("auto", "cpu", "cuda", "tensorrt")
PRECISIONS = ("fp32", "fp16")
CAMERA_FIELDS = ("camera_seconds", "camera_frozen_seconds", "camera_clear_seconds")
TASK_RULES = ("any", "all", "classification", "detection")


@dataclass(frozen=True)
class Settings:
    """How a stream is filtered.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    model: str | Path = DEFAULT_MODEL
    """Name of a shipped model, or the path of an ONNX file."""
    threshold: float | None = None
    """Utility at or above which a frame is useful, for every task, 0-1; None = each task's own, from the model."""
    profile: str | Path | None = None
    """Path of a calibrated profile, whose thresholds and task count; None = the model's own thresholds."""
    task: str = "any"
    """Which tasks a frame must be useful to: any of them, all of them, or one by name; a profile brings its own."""
    hysteresis: float = 0.0
    """After a kept frame, the next are kept down to threshold - hysteresis, 0-1."""
    max_gap_seconds: float = 10.0
    """Longest time without a kept frame before one is kept whatever its score; 0 = no floor."""
    device: str = "auto"
    """Where the model runs; `auto` takes CUDA when ONNX Runtime has it and says what it chose, and never TensorRT."""
    precision: str = "fp32"
    """Arithmetic of the model's convolutions; `fp16` is for GPUs, and on the CPU only for comparing."""
    batch_size: int = 8
    """Most frames scored at once, 1-512."""
    threads: int = 0
    """Threads of the scorer; 0 = one a core."""
    causes: bool = True
    """Whether frames that are not useful get a cause."""
    camera_seconds: float = 10.0
    """How long a camera must be dark, covered or out of focus before that is told; 0 = it never is."""
    camera_frozen_seconds: float = 60.0
    """How long a camera must show the very same picture before that is told; 0 = it never is."""
    camera_clear_seconds: float = 10.0
    """How long trouble with a camera must be over before that is told."""
    reuse: float = 0.0
    """Mean change, grey levels, up to which a frame takes over the last scored one's utility, 0-255; 0 = none does."""
    error_budget: float = 0.005
    """Share of taken-over decisions that may differ from the frame's own, 0-1: some are checked, and less change is
    allowed where more differ; 1 = none is checked."""
    shadow: bool = False
    """Whether frames that would be dropped for what they look like are kept instead, and only recorded as such."""
    canary: float = 0.0
    """Share of the frames that would be dropped that is kept instead, drawn at random, 0-1."""
    canary_seed: int = 0
    """Of that draw: the same seed, source and frame index are drawn, or not, in every run."""

    def __post_init__(self) -> None:
        problems = [problem for problem in _problems(self) if problem]
        if problems:
            raise ConfigError("; ".join(problems))

    @classmethod
    def load(cls, path: str | Path | None, **overrides: Any) -> Settings:
        """Settings with precedence: `overrides` that are not None, then the TOML file, then the defaults.

        Args:
            path: a TOML file with these names at its top level; None = no file.
            overrides: settings by name; None = not given.

        Raises:
            ConfigError: the file cannot be read, has unknown names, or values are out of range.
        """
        given = {key: value for key, value in overrides.items() if value is not None}
        return cls(**{**(_settings_of(Path(path)) if path is not None else {}), **given})

    def files(self) -> list[str]:
        """The files that they name, there already: nothing may be written over them."""
        return [str(path) for path in (self.model, self.profile) if path is not None and os.path.isfile(path)]

    def replace(self, **changes: Any) -> Settings:
        """A copy with some settings changed.

        Raises:
            ConfigError: a changed value is out of range.
        """
        return Settings(**{**asdict(self), **changes})


def _problems(settings: Settings) -> list[str]:
    return [
        not_in("threshold", settings.threshold, 0.0, 1.0) if settings.threshold is not None else "",
        not_in("hysteresis", settings.hysteresis, 0.0, 1.0),
        not_in("max_gap_seconds", settings.max_gap_seconds, 0.0, 86_400.0),
        not_in("reuse", settings.reuse, 0.0, 255.0),
        not_in("error_budget", settings.error_budget, 0.0, 1.0),
        not_in("canary", settings.canary, 0.0, 1.0),
        not_in("canary_seed", settings.canary_seed, 0, 2**63 - 1, whole=True),
        "" if isinstance(settings.shadow, bool) else f"shadow is {settings.shadow!r}, expected true or false",
        *(not_in(name, getattr(settings, name), 0.0, 86_400.0) for name in CAMERA_FIELDS),
        "" if isinstance(settings.causes, bool) else f"causes is {settings.causes!r}, expected true or false",
        not_in("batch_size", settings.batch_size, 1, 512, whole=True),
        not_in("threads", settings.threads, 0, 512, whole=True),
        not_one_of("task", settings.task, TASK_RULES),
        not_one_of("device", settings.device, DEVICES),
        not_one_of("precision", settings.precision, PRECISIONS),
        "" if _is_path(settings.model) else f"model is {settings.model!r}, expected a name",
        _wrong_profile(settings),
    ]


def _wrong_profile(settings: Settings) -> str:
    if settings.profile is None:
        return ""
    if not _is_path(settings.profile):
        return f"profile is {settings.profile!r}, expected a path"
    if settings.threshold is not None:
        return f"threshold {settings.threshold!r} and profile {settings.profile}: a profile brings its own, give one"
    return ""


def _is_path(value: object) -> bool:
    return isinstance(value, str | Path) and bool(value)


def not_in(name: str, value: object, low: float, high: float, *, whole: bool = False) -> str:
    """What is wrong with a number that must lie between two others, both included; empty when nothing is."""
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        bounds = f"{low} to {high}" if whole else f"{low:g} to {high:g}"
        return f"{name} is {value!r}, expected {'a whole number' if whole else 'a number'} from {bounds}"
    return ""


def not_one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """What is wrong with a word that must be one of some; empty when nothing is."""
    return "" if value in allowed else f"{name} is {value!r}, expected one of {', '.join(allowed)}"


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def _settings_of(path: Path) -> dict[str, Any]:
    values = read_toml(path)
    known = [field.name for field in fields(Settings)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(f"{path} has unknown settings {', '.join(unknown)}; known: {', '.join(known)}")
    return values
