"""What was judged so far, in a file beside the profile to be: an interrupted calibration goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

from streamfilter.calibration.choose import Judged
from streamfilter.errors import ConfigError
from streamfilter.sinks._whole import write_whole, writing

SUFFIX = ".partial.jsonl"


class Journal:
    """Judged frames, a line each, after a line that says how they came about.

    Args:
        path: the file.
        run: what has to be the same for a run to go on from another one; JSON values.

    Raises:
        ConfigError: there is a file of a run that was another one.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self.path = path
        self.before = _read(path, run)
        """What an interrupted run had judged: the versions of each frame, by `key_of`."""
        # Written anew, since the last line of an interrupted run may be cut off; and renamed when all of it is there.
        write_whole(path, "".join([_line({"calibration": dict(run)}), *map(_rows, self.before.values())]))
        with writing(str(path)):
            self._file: IO[str] = path.open("a", encoding="utf-8")

    def add(self, versions: Sequence[Judged]) -> None:
        """Note the versions of one frame.

        Raises:
            OutputError: the file cannot be written.
        """
        with writing(str(self.path)):
            self._file.write(_rows(versions))
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def key_of(one: Judged) -> tuple[str, int, float | None]:
    """What tells a frame from all others."""
    return one.input, one.index, one.pts_seconds


def _read(path: Path, run: Mapping[str, Any]) -> dict[tuple[str, int, float | None], list[Judged]]:
    found: dict[tuple[str, int, float | None], list[Judged]] = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        head = _parsed(file.readline())
        if not isinstance(head, dict) or head.get("calibration") != json.loads(json.dumps(run)):
            raise ConfigError(
                f"{path} holds what another calibration judged before it was interrupted: go on with that one's "
                "inputs and settings, or remove the file"
            )
        for line in file:
            rows = _parsed(line)
            if isinstance(rows, list) and rows:
                versions = [Judged(**row) for row in rows]
                found[key_of(versions[0])] = versions
    return found


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _rows(versions: Sequence[Judged]) -> str:
    return _line([asdict(version) for version in versions])


def _line(value: object) -> str:
    return json.dumps(value) + "\n"
