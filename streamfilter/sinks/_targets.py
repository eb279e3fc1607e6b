"""What can be said of targets before any is opened: what each is, what is wrong with it, which are one and the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamfilter.address import mask
from streamfilter.errors import OutputError
from streamfilter.sinks._encoders import FORMATS
from streamfilter.sinks._rtsp_session import Address
from streamfilter.sinks.mqtt import Broker
from streamfilter.sinks.webhook import Hook

Kind = Literal["standard output", "rtsp", "web", "mqtt", "pictures", "records", "video"]

SCHEMES: dict[str, Kind] = {
    "rtsp": "rtsp", "rtsps": "rtsp", "http": "web", "https": "web", "mqtt": "mqtt", "mqtts": "mqtt"
}  # fmt: skip
SHARED: tuple[Kind, ...] = ("standard output", "web", "mqtt", "pictures")
"""What several streams may have in common: each message and each picture names its stream."""


@dataclass(frozen=True)
class Outputs:
    """Where a stream, or a run, writes."""

    outs: Sequence[str]
    """Targets as for `open_sink`."""
    records: str | None
    """File of the records; `-` is standard output, None = nowhere."""

    @property
    def targets(self) -> list[str]:
        """All that is written to."""
        return [*self.outs, *([] if self.records is None else [self.records])]


def kind_of(target: str) -> Kind:
    """What a target is, going by its name and the folders that are there.

    Raises:
        OutputError: nothing can be written there; the message lists what can.
    """
    if target == "-":
        return "standard output"
    scheme, separator, _ = target.partition("://")
    if separator and scheme.lower() in SCHEMES:
        return SCHEMES[scheme.lower()]
    if target and not separator and "\0" not in target:
        path = Path(target)
        if os.path.isdir(path) or target.endswith("/") or not path.suffix:
            return "pictures"
        if path.suffix.lower() == ".jsonl":
            return "records"
        if path.suffix.lower() in FORMATS:
            return "video"
    raise OutputError(
        f"cannot tell what to write to {mask(target)!r}: name a {', '.join(FORMATS)} (video) or .jsonl (records) "
        "file, a folder ending in / (pictures), - (raw MJPEG on standard output), or an rtsp://, http://, https:// or "
        "mqtt:// address"
    )


def check_target(target: str) -> None:
    """See that something can be meant by a target; nothing is opened.

    Raises:
        ConfigError: an address is wrong.
        OutputError: nothing can be written there; the message lists what can.
    """
    match kind_of(target):
        case "rtsp":
            Address.of(target)
        case "web":
            Hook.of(target)
        case "mqtt":
            Broker.of(target)


def clashes(streams: Sequence[Outputs]) -> Iterator[str]:
    """What would be lost because outputs are one and the same; a line for each."""
    seen: set[str] = set()
    told: set[str] = set()
    for stream in streams:
        own: set[str] = set()
        for target in stream.targets:
            place = _place(target)
            is_twice = place in own or (place in seen and not _is_shared(target, stream))
            if is_twice and place not in told:
                told.add(place)
                yield f"the same output is named twice: {mask(target)}"
            own.add(place)
        seen |= own


def _is_shared(target: str, stream: Outputs) -> bool:
    if target == stream.records:
        return target == "-"
    try:
        return kind_of(target) in SHARED
    except OutputError:
        return True


def _place(text: str) -> str:
    """The same for all names of the same file."""
    return text if text == "-" or "://" in text or "\0" in text else os.path.realpath(text)
