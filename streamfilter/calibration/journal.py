"""What was judged so far, in a file beside the profile to be: an interrupted calibration goes on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self

from streamfilter.calibration.choose import Judged
from streamfilter.errors import ConfigError
from streamfilter.sinks._whole import write_whole, writing

SUFFIX = ".partial.jsonl"
LARGEST = 1e15


class Journal:
    """Judged frames, a line each, after a line that says how they came about.

    Args:
        path: the file.
        run: what has to be the same for a run to go on from another one; JSON values.
        tasks: the model's; what was judged for others is judged again.

    Raises:
        ConfigError: there is a file of a run that was another one.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, run: Mapping[str, Any], tasks: Sequence[str]) -> None:
        self.path = path
        with writing(str(path)):
            self.before = _read(path, run, tasks)
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
        # Every row was flushed when it was added; what a full disk refused then is refused here once more.
        with suppress(OSError):
            self._file.close()


def key_of(one: Judged) -> tuple[str, int, float | None]:
    """What tells a frame from all others."""
    return one.input, one.index, one.pts_seconds


def _read(
    path: Path, run: Mapping[str, Any], tasks: Sequence[str]
) -> dict[tuple[str, int, float | None], list[Judged]]:
    found: dict[tuple[str, int, float | None], list[Judged]] = {}
    if not os.path.isfile(path):
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        head = _parsed(file.readline())
        if not isinstance(head, dict) or head.get("calibration") != json.loads(json.dumps(run)):
            raise ConfigError(
                f"{path} holds what another calibration judged before it was interrupted: go on with that one's "
                "inputs and settings, or remove the file"
            )
        for line in file:
            if versions := _versions(_parsed(line), tasks):
                found[key_of(versions[0])] = versions
    return found


def _versions(rows: Any, tasks: Sequence[str]) -> list[Judged]:
    """The versions of one frame; empty when a line holds something else."""
    try:
        versions = [Judged(**row) for row in rows]
    except TypeError:
        return []
    is_sound = all(_is_sound(one, tasks) and key_of(one) == key_of(versions[0]) for one in versions)
    return versions if is_sound else []


def _is_sound(one: Judged, tasks: Sequence[str]) -> bool:
    return (
        isinstance(one.input, str)
        and type(one.index) is int
        and (one.pts_seconds is None or _is_number(one.pts_seconds))
        and isinstance(one.distortion, str)
        and isinstance(one.utility, dict)
        and set(one.utility) == set(tasks)
        and all(_is_number(value) and 0 <= value <= 1 for value in one.utility.values())
        and (one.useful is None or isinstance(one.useful, bool))
        and type(one.errors) is int
        and isinstance(one.task, str | None)
        and isinstance(one.source, str)
    )


def _is_number(value: object) -> bool:
    """Whether it is one of a sensible size; so `nan` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _rows(versions: Sequence[Judged]) -> str:
    return _line([asdict(version) for version in versions])


def _line(value: object) -> str:
    return json.dumps(value) + "\n"
