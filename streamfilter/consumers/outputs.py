"""A consumer's outputs in a JSON lines file, for who cannot have it called from here.

One line a frame, or a degraded version of one:

    {"input": "camera.mp4", "index": 120, "detections": [{"label": "car", "score": 0.91, "box": [12, 30, 80, 75]}]}
    {"input": "camera.mp4", "index": 120, "distortion": "jpeg=6", "detections": []}
    {"input": "door.mp4", "index": 4, "distortion": "defocus=2.8", "label": "open", "score": 0.8}
    {"input": "door.mp4", "index": 9, "useful": false, "error": true}

`input` and `index` are those of the records; `distortion` is a kind and a strength that `streamfilter.distort` knows,
and missing on an original frame. Where no reference is known, `useful` (and `error`, whether it was confidently wrong)
says it outright.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamfilter.consumers.answers import Categories, read_answer
from streamfilter.consumers.verdict import Answer, Bars, Verdict, compare
from streamfilter.errors import ConsumerError, InputError, InputNotFoundError

PRISTINE = "pristine"
MOST_BAD_LINES = 0.1
"""Share of lines that may be unusable before the file is refused."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a file says, by frame and distortion."""

    name: str
    said: Mapping[tuple[str, int], Mapping[str, Answer | Verdict]] = field(repr=False)
    bad_lines: int = 0

    def of(self, name: str, index: int) -> Mapping[str, Answer | Verdict]:
        """What is said of a frame, by distortion; inputs may be named by their file's name alone."""
        return self.said.get((name, index)) or self.said.get((Path(name).name, index)) or {}

    def judge(self, said: Mapping[str, Answer | Verdict], bars: Bars) -> dict[str, Verdict]:
        """The verdict on each version of one frame.

        Raises:
            ConsumerError: the answer on the original frame is missing, or of another kind.
        """
        verdicts = {}
        for distortion, one in said.items():
            if isinstance(one, Verdict):
                verdicts[distortion] = one
                continue
            reference = said.get(PRISTINE)
            if reference is None or isinstance(reference, Verdict):
                raise ConsumerError(f"no answer on the original frame to compare that on {distortion} with")
            verdicts[distortion] = compare(reference, one, bars)
        return verdicts


def read_outputs(path: Path) -> Outputs:
    """The outputs in a file; lines that cannot be used are counted.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it cannot be read, or too many lines cannot be used.
    """
    said: dict[tuple[str, int], dict[str, Answer | Verdict]] = {}
    categories, total, problems = Categories(), 0, []
    try:
        with path.open("rb") as file:
            for total, line in enumerate(file, start=1):
                try:
                    frame, distortion, one = _read_line(line, categories)
                except (ConsumerError, ValueError, TypeError, RecursionError) as error:
                    problems.append(f"line {total}: {error}")
                    continue
                said.setdefault(frame, {})[distortion] = one
    except FileNotFoundError as error:
        raise InputNotFoundError(f"no file of outputs {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    _report(path, problems, total)
    return Outputs(path.name, said, len(problems))


def _report(path: Path, problems: list[str], total: int) -> None:
    if not total or len(problems) > max(1, MOST_BAD_LINES * total):
        first = f", {problems[0]}" if problems else ""
        raise InputError(f"{path}: {len(problems)} of {total} lines cannot be used{first}; see `docs/trust.md`")
    if problems:
        logger.warning("%s: %d of %d lines left out, %s", path, len(problems), total, problems[0])


def _read_line(line: bytes, categories: Categories) -> tuple[tuple[str, int], str, Answer | Verdict]:
    values: dict[str, Any] = json.loads(line)
    if not isinstance(values, dict):
        raise ConsumerError("it is no JSON object")
    name, index = values.get("input"), values.get("index")
    distortion = values.get("distortion", PRISTINE)
    if not isinstance(name, str) or not isinstance(index, int) or isinstance(index, bool):
        raise ConsumerError(f"input {name!r}, index {index!r}: expected a text and a whole number")
    if not isinstance(distortion, str):
        raise ConsumerError(f"distortion {distortion!r}, expected text such as jpeg=6")
    if "useful" in values:
        useful, error = values["useful"], values.get("error", False)
        if not isinstance(useful, bool) or not isinstance(error, bool):
            raise ConsumerError(f"useful {useful!r}, error {error!r}: expected true or false")
        return (name, index), distortion, Verdict(useful, int(error))
    if "detections" in values and not isinstance(values["detections"], list):
        raise ConsumerError(f"detections are {values['detections']!r}, expected a list")
    return (name, index), distortion, read_answer(values.get("detections", values), categories)
