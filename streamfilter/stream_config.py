"""What a live stream needs to know: how it is read, when it is given up, where it goes; and the TOML that says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, count
from pathlib import Path
from typing import Any

from streamfilter.address import host_of, mask
from streamfilter.config import CAMERA_FIELDS, Settings, not_in, not_one_of, read_toml
from streamfilter.errors import ConfigError

TRANSPORTS = ("auto", "tcp", "udp")
BACKPRESSURES = ("bounded", "latest", "priority", "wait")
POLICY_FIELDS = (
    "threshold", "profile", "task", "hysteresis", "max_gap_seconds", "shadow", "canary", "causes", *CAMERA_FIELDS
)  # fmt: skip
"""Settings of the filter that each stream may have of its own; the model and where it runs are shared."""
OWN_FIELDS = ("name", "uri", "out", "records")
LONGEST_NAME = 100


@dataclass(frozen=True)
class LiveSettings:
    """How a live stream is read and passed on.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    transport: str = "auto"
    """How RTSP brings its packets: `tcp`, `udp`, or `auto`: TCP, and UDP where the server refuses that."""
    decoder: str | None = None
    """FFmpeg's name of the decoder, such as `h264_cuvid`, or `cuda` for hardware decoding; None = FFmpeg's choice."""
    open_timeout_seconds: float = 10.0
    """Longest wait for a connect."""
    stall_seconds: float = 5.0
    """Longest wait for the next packet before the stream counts as stalled and is connected anew."""
    backoff_seconds: float = 0.5
    """Wait before the first reconnect; it doubles with each one in a row, give or take a fifth."""
    max_backoff_seconds: float = 10.0
    """Longest wait between reconnects."""
    max_reconnects: int | None = None
    """Reconnects in a row without one frame before the stream is given up; None = never."""
    grace_seconds: float = 10.0
    """Longest wait for an intact keyframe after a connect; what comes before it is dropped."""
    taint_threshold: float | None = None
    """Utility at or above which frames pass while lost data may have damaged them; None = five sixths of the way
    from the threshold to 1; 1 lets nothing pass."""
    max_damage: float = 0.5
    """Largest share of the picture that the decoder may have made up, 0-1, before a tainted frame is dropped unseen."""
    unhealthy_seconds: float = 30.0
    """Time without one sound frame after which a stream counts as unhealthy."""
    backpressure: str = "bounded"
    """When the consumer is slow: `bounded` drops what is older than the staleness bound, `latest` keeps only the newest
    frame, `priority` keeps the most useful one of those within the bound, `wait` drops nothing."""
    staleness_seconds: float = 0.5
    """Age, from the arrival of its packet to delivery, above which a frame is dropped; `wait` has no bound."""
    queue_frames: int = 32
    """Most frames of a stream that wait anywhere, 1-1024."""

    def __post_init__(self) -> None:
        problems = [problem for problem in self._problems() if problem]
        if problems:
            raise ConfigError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        yield not_one_of("transport", self.transport, TRANSPORTS)
        yield not_one_of("backpressure", self.backpressure, BACKPRESSURES)
        seconds = {"open_timeout_seconds": (0.1, 300), "stall_seconds": (0.1, 300), "backoff_seconds": (0.01, 300),
                   "max_backoff_seconds": (0.01, 3600), "grace_seconds": (0, 3600),
                   "unhealthy_seconds": (0.1, 86_400), "staleness_seconds": (0.01, 3600)}  # fmt: skip
        for name, (low, high) in seconds.items():
            yield not_in(name, getattr(self, name), low, high)
        yield not_in("max_damage", self.max_damage, 0, 1)
        yield not_in("queue_frames", self.queue_frames, 1, 1024, whole=True)
        if self.taint_threshold is not None:
            yield not_in("taint_threshold", self.taint_threshold, 0, 1)
        if self.max_reconnects is not None:
            yield not_in("max_reconnects", self.max_reconnects, 0, 1_000_000, whole=True)
        if self.decoder is not None and (not isinstance(self.decoder, str) or not self.decoder):
            yield f"decoder is {self.decoder!r}, expected a name"


@dataclass(frozen=True)
class StreamConfig:
    """One stream: where it comes from, where it goes, and what is its own.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    name: str
    """How logs, metrics and records call it."""
    uri: str
    """Any input of the command line; it may hold a password, which is never shown."""
    out: tuple[str, ...] = ()
    """Targets as for `open_sink`."""
    records: str | None = None
    """File for the records."""
    live: LiveSettings = field(default_factory=LiveSettings)
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Those of `POLICY_FIELDS` that are its own."""

    def __post_init__(self) -> None:
        problems = [problem for problem in self._problems() if problem]
        if problems:
            raise ConfigError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if not isinstance(self.name, str) or not re.fullmatch(rf"[\w.-]{{1,{LONGEST_NAME}}}", self.name):
            yield (f"name is {_shown(self.name)}, expected letters, digits, `_`, `-` and `.`, {LONGEST_NAME} at most")
        if not isinstance(self.uri, str) or not self.uri:
            yield f"uri is {_shown(self.uri)}, expected an address"
        if self.records is not None and (not isinstance(self.records, str) or not self.records):
            yield f"records is {_shown(self.records)}, expected a file"
        if not isinstance(self.out, tuple | list) or not all(isinstance(target, str) for target in self.out):
            yield f"out is {_shown(self.out)}, expected a list of targets"
        if not isinstance(self.live, LiveSettings):
            yield f"live is {_shown(self.live)}, expected LiveSettings"
        if not isinstance(self.policy, Mapping) or not set(self.policy) <= set(POLICY_FIELDS):
            yield f"policy is {_shown(self.policy)}, expected some of {', '.join(POLICY_FIELDS)} with their values"


def names_for(uris: Sequence[str]) -> list[str]:
    """A name for each input of a command line: its host, or the file's stem, numbered where two are the same."""
    names: dict[str, None] = {}
    for uri in uris:
        plain = re.sub(r"[^\w.-]+", "-", host_of(uri) or Path(mask(uri)).stem).strip("-.") or "stream"
        numbered = (f"{plain[: LONGEST_NAME - 1 - len(str(number))]}-{number}" for number in count(2))
        names[next(name for name in chain([plain[:LONGEST_NAME]], numbered) if name not in names)] = None
    return list(names)


def has_streams(path: str | None) -> bool:
    """Whether a TOML file describes streams rather than settings alone; none does not.

    Raises:
        ConfigError: it cannot be read.
    """
    if path is None:
        return False
    values = read_toml(Path(path))
    return "stream" in values or "live" in values


def read_streams(
    path: Path,
    given: Mapping[str, Any] | None = None,
    check: Callable[[Settings, Sequence[StreamConfig]], Iterable[str]] = lambda settings, streams: (),
) -> tuple[Settings, list[StreamConfig]]:
    """The settings and streams of a TOML file.

    Its top level holds settings of the filter, `[live]` what all streams share, each `[[stream]]` a `uri`, a `name`,
    `out`, `records`, and whatever of `[live]` and of the thresholds is its own.

    Args:
        path: of the file.
        given: settings of the filter that count instead of the file's; None = no such.
        check: tells, in a line each, further mistakes of what is right as far as this goes.

    Raises:
        ConfigError: the file cannot be read; or it holds mistakes, all of which are listed.
    """
    values = read_toml(path)
    streams, shared = values.pop("stream", []), values.pop("live", {})
    mistakes: list[str] = []
    settings = Settings()
    with _collecting(mistakes, "settings"):
        known = _known(values, [item.name for item in fields(Settings)], "settings", mistakes)
        settings = Settings(**{**known, **(given or {})})
    if not isinstance(streams, list) or not isinstance(shared, dict):
        raise ConfigError(f"{path}: streams are [[stream]] tables and what they share is a [live] table")
    shared = _known(shared, _LIVE_FIELDS, "live", mistakes)
    with _collecting(mistakes, "live"):
        LiveSettings(**shared)
    found = [_stream(number, values, settings, shared, mistakes) for number, values in enumerate(streams, start=1)]
    good = [stream for stream in found if stream is not None]
    names = [stream.name for stream in good]
    mistakes += [f"two streams are named {name}" for name in sorted(set(names)) if names.count(name) > 1]
    mistakes += check(settings, good)
    if not streams:
        mistakes.append("it has no [[stream]]")
    if mistakes:
        raise ConfigError(f"{path} has {len(mistakes)} mistake{'s'[: len(mistakes) > 1]}: {'; '.join(mistakes)}")
    return settings, good


_LIVE_FIELDS = [item.name for item in fields(LiveSettings)]


def _stream(
    number: int, values: Any, settings: Settings, shared: Mapping[str, Any], mistakes: list[str]
) -> StreamConfig | None:
    if not isinstance(values, dict):
        mistakes.append(f"stream {number} is no table")
        return None
    where = f"stream {mask(str(values.get('name', number)))}"
    values = _known(values, [*OWN_FIELDS, *POLICY_FIELDS, *_LIVE_FIELDS], where, mistakes)
    out = values.get("out", [])
    out = [out] if isinstance(out, str) else out
    policy = {name: values[name] for name in POLICY_FIELDS if name in values}
    live = {**_valid(shared), **{name: values[name] for name in _LIVE_FIELDS if name in values}}
    uri = values.get("uri", "")
    name = values.get("name") or names_for([uri if isinstance(uri, str) else ""])[0]
    with _collecting(mistakes, where):
        settings.replace(**policy)
    own = LiveSettings()
    with _collecting(mistakes, where):
        own = LiveSettings(**live)
    with _collecting(mistakes, where):
        targets = tuple(out) if isinstance(out, list) else out
        return StreamConfig(name, uri, targets, values.get("records"), own, policy)
    return None


def _shown(value: object) -> str:
    """A wrong value as it was written; it may hold an address, and that a password."""
    return mask(repr(value))


def _valid(shared: Mapping[str, Any]) -> Mapping[str, Any]:
    """What streams share, unless it is wrong: then it has been told once already."""
    try:
        LiveSettings(**shared)
    except ConfigError:
        return {}
    return shared


def _known(values: Mapping[str, Any], names: Sequence[str], where: str, mistakes: list[str]) -> dict[str, Any]:
    unknown = sorted(set(values) - set(names))
    if unknown:
        mistakes.append(f"{where}: unknown {', '.join(unknown)} (known: {', '.join(names)})")
    return {name: value for name, value in values.items() if name in names}


class _collecting:
    """Turns a ConfigError of the block into a line of the list."""

    def __init__(self, mistakes: list[str], where: str) -> None:
        self._mistakes, self._where = mistakes, where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, ConfigError):
            self._mistakes += [f"{self._where}: {part}" for part in str(error).split("; ")]
            return True
        return False
