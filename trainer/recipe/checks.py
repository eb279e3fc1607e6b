"""Is a TOML table what it should be? Every mistake becomes a line; none stops the search for the next."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from streamfilter.spec import TASKS
from trainer.balance import METHODS
from trainer.models import FRONTS, MODELS

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
CHOICES: dict[str, Sequence[str]] = {
    "task": TASKS,
    "tasks": TASKS,
    "front": FRONTS,
    "balance": METHODS,
    "device": ("cpu", "cuda"),
}
TRAIN_CHOICES = {**CHOICES, "model": MODELS}


def check_table(
    where: str,
    given: object,
    hints: Mapping[str, Any],
    required: Collection[str] = (),
    choices: Mapping[str, Sequence[str]] = CHOICES,
) -> tuple[dict[str, Any], list[str]]:
    """The good values of a TOML table, and a line for each mistake.

    Args:
        where: the table's name, for the lines.
        given: what the file has there.
        hints: the known keys and their types.
        required: keys that must be there.
        choices: words that a key's text, or each text of its list, must be one of.
    """
    if not isinstance(given, dict):
        return {}, [f"[{where}] is not a table"]
    problems = [f"{where}.{key} is missing" for key in required if key not in given]
    good = {}
    for key, value in given.items():
        problem = _problem(key, value, hints, choices)
        if problem:
            problems.append(f"{where}.{key} {problem}")
        else:
            good[key] = tuple(value) if isinstance(value, list) else value
    return good, problems


def _problem(key: str, value: object, hints: Mapping[str, Any], choices: Mapping[str, Sequence[str]]) -> str:
    if key not in hints:
        return f"is unknown; known: {', '.join(hints)}"
    hint = _without_none(hints[key])
    if not _fits(value, hint):
        return f"is {value!r}, expected {_in_words(hint)}"
    words = value if isinstance(value, list) else [value]
    wrong = [word for word in words if key in choices and word not in choices[key]]
    return f"is {wrong[0]!r}, expected one of {', '.join(choices[key])}" if wrong else ""


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(one for one in get_args(hint) if one is not type(None))
    return hint


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _in_words(hint: Any) -> str:
    return f"a list, each {_in_words(get_args(hint)[0])}" if get_origin(hint) is tuple else NAMES[hint]
