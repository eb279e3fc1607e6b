"""Every frame's decision as JSON lines."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from streamfilter.frame import Decision, Frame
from streamfilter.sinks._base import BaseSink
from streamfilter.sinks._whole import WholeFile, writing

DECIMALS = 6


def record(frame: Frame, decision: Decision) -> str:
    """One frame as one line of JSON, without the line's end.

    Keys, in this order: `input`, `index`, `pts_seconds`, `keep`, `reason`, `utility`, and `problem` when unreadable.
    """
    fields: dict[str, object] = {
        "input": frame.input,
        "index": frame.index,
        "pts_seconds": None if frame.pts_seconds is None else round(frame.pts_seconds, DECIMALS),
        "keep": decision.keep,
        "reason": decision.reason.value,
        "utility": _rounded(decision),
    }
    if frame.problem is not None:
        fields["problem"] = frame.problem
    line = json.dumps(fields, ensure_ascii=False, allow_nan=False)
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


def _rounded(decision: Decision) -> dict[str, float] | None:
    if decision.utility is None:
        return None
    return {task: round(float(value), DECIMALS) for task, value in decision.utility.items()}
