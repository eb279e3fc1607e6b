"""Every frame's decision as JSON lines."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from streamfilter.frame import Decision, Frame
from streamfilter.sinks._base import BaseSink
from streamfilter.sinks._whole import WholeFile, check_regular, writing

DECIMALS = 6
FLUSH_SECONDS = 1.0


def record_fields(frame: Frame, decision: Decision) -> dict[str, object]:
    """One frame's record as JSON values.

    Keys, in this order: `input`, `index`, `pts_seconds`, `keep`, `reason`, `utility`; `time` (when it came, seconds
    since 1970) for live frames, `damage` for those that lost data may have hurt, `reused` (true) for those that
    took over an earlier frame's utility, `reuse_agrees` for those on which that was checked, `would_drop` (a reason)
    for those passed as canary or in shadow mode, `cause` where one was found, and `problem` when unreadable.
    """
    fields: dict[str, object] = {
        "input": frame.input,
        "index": frame.index,
        "pts_seconds": None if frame.pts_seconds is None else round(frame.pts_seconds, DECIMALS),
        "keep": decision.keep,
        "reason": decision.reason.value,
        "utility": _rounded(decision),
    }
    if frame.arrived_seconds is not None:
        fields["time"] = round(time.time() - time.monotonic() + frame.arrived_seconds, 3)
    if decision.damage is not None:
        fields["damage"] = round(decision.damage, DECIMALS)
    if decision.is_reused:
        fields["reused"] = True
    if decision.reuse_agrees is not None:
        fields["reuse_agrees"] = decision.reuse_agrees
    if decision.spared is not None:
        fields["would_drop"] = decision.spared.value
    if decision.cause is not None:
        fields["cause"] = decision.cause.value
    if frame.problem is not None:
        fields["problem"] = frame.problem
    return fields


def record(frame: Frame, decision: Decision) -> str:
    """One frame as one line of JSON, without the line's end."""
    line = json.dumps(record_fields(frame, decision), ensure_ascii=False, allow_nan=False)
    # A file name that is not UTF-8 holds lone surrogates; as \udcxx they are valid JSON and can be read back.
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


class RecordsSink(BaseSink):
    """Writes one JSON line a frame, kept or dropped.

    Args:
        target: the file to write, UTF-8; or a text stream, which stays open and belongs to the caller.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, target: Path | str | TextIO) -> None:
        super().__init__()
        self._file: WholeFile | None = None
        if isinstance(target, (str, Path)):
            self._file = WholeFile(Path(target))
            self._where = self._file.where
            with writing(self._where):
                self._stream: TextIO = self._file.partial.open("w", encoding="utf-8", newline="\n")
        else:
            self._stream, self._where = target, getattr(target, "name", "the text stream")

    def _write(self, frame: Frame, decision: Decision) -> None:
        with writing(self._where):
            self._stream.write(record(frame, decision) + "\n")

    def _finish(self) -> None:
        with writing(self._where):
            self._stream.flush()
            if self._file is not None:
                self._stream.close()
                self._file.finish()

    def _discard(self) -> None:
        if self._file is None:
            return
        # What cannot be flushed any more is thrown away with the file.
        with suppress(OSError):
            self._stream.close()
        self._file.discard()


class RecordsLog(BaseSink):
    """Appends one JSON line a frame to a file that is there from the start: a live run's records outlive a crash.

    Lines are flushed once a second. A file that was moved or removed, as by logrotate, is begun anew.

    Args:
        target: the file, UTF-8; lines of an earlier run stay.

    Raises:
        OutputError: the file cannot be written, or is there and not a regular file.
    """

    def __init__(self, target: Path | str) -> None:
        super().__init__()
        self._path = Path(target)
        self._stream = self._open()
        self._flushed = time.monotonic()

    def _open(self) -> TextIO:
        with writing(str(self._path)):
            check_regular(self._path, str(self._path))
            return self._path.open("a", encoding="utf-8", newline="\n")

    def _write(self, frame: Frame, decision: Decision) -> None:
        with writing(str(self._path)):
            self._stream.write(record(frame, decision) + "\n")
            if time.monotonic() - self._flushed >= FLUSH_SECONDS:
                self._flush()

    def _flush(self) -> None:
        self._stream.flush()
        self._flushed = time.monotonic()
        if not self._path.exists() or not os.path.samestat(self._path.stat(), os.fstat(self._stream.fileno())):
            self._stream.close()
            self._stream = self._open()

    def _finish(self) -> None:
        with writing(str(self._path)):
            self._stream.close()

    def _discard(self) -> None:
        # What was written stays: it is the log of what happened until then.
        with suppress(OSError):
            self._stream.close()


def _rounded(decision: Decision) -> dict[str, float] | None:
    if decision.utility is None:
        return None
    return {task: round(float(value), DECIMALS) for task, value in decision.utility.items()}
