"""No output replaces an input. Looks at files, reads and writes none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from streamfilter.address import mask
from streamfilter.errors import ConfigError
from streamfilter.sources.images import looks_like_picture


def refuse_overwriting(inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """See that no output is an input, nor a folder that holds pictures to be read: they hand their names on.

    Args:
        inputs: files and folders that are read; `-` is left out.
        outputs: files and folders that are written, there already or not; `-` is left out.

    Raises:
        ConfigError: one is; the first that is found.
    """
    if told := next(overwriting(inputs, outputs), None):
        raise ConfigError(told)


def overwriting(inputs: Iterable[str], outputs: Iterable[str]) -> Iterator[str]:
    """A line for each output that is an input, addresses included, or holds one, see `refuse_overwriting`."""
    inputs, outputs = list(inputs), list(outputs)
    for text in sorted({text for text in inputs if "://" in text} & set(outputs)):
        yield f"{mask(text)} is an input and an output; write somewhere else"
    targets = [(text, Path(os.path.realpath(text))) for text in filter(_is_path, outputs)]
    for text in filter(_is_path, inputs):
        source = Path(os.path.realpath(text))
        is_folder = os.path.isdir(source)
        for name, target in targets:
            if _is_same(source, target) or (is_folder and source in target.parents and _is_picture(target)):
                yield f"{name} is an input and an output; write somewhere else"
            elif target in source.parents and (is_folder or _is_picture(source)):
                yield f"{name} is an output and holds the input {text}; write somewhere else"


def _is_path(text: str) -> bool:
    return text not in ("", "-") and "://" not in text


def _is_same(source: Path, target: Path) -> bool:
    """Whether both are one file, by hard links and other spellings of the name as well."""
    try:
        return source == target or os.path.samefile(source, target)
    except (OSError, ValueError):
        return False


def _is_picture(path: Path) -> bool:
    try:
        return os.path.isfile(path) and looks_like_picture(path)
    except OSError:
        return False
