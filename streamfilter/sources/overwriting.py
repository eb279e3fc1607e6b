"""No output replaces an input. Looks at files, reads and writes none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from streamfilter.errors import ConfigError
from streamfilter.sources.images import looks_like_picture


def refuse_overwriting(inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """See that no output is an input, nor a folder that holds pictures to be read: they hand their names on.

    Args:
        inputs: files and folders that are read; `-` and addresses are left out.
        outputs: files and folders that are written, there already or not; `-` and addresses are left out.

    Raises:
        ConfigError: one is.
    """
    targets = [(text, Path(os.path.realpath(text))) for text in filter(_is_path, outputs)]
    for text in filter(_is_path, inputs):
        source = Path(os.path.realpath(text))
        is_folder = os.path.isdir(source)
        for name, target in targets:
            if _is_same(source, target) or (is_folder and source in target.parents and _is_picture(target)):
                raise ConfigError(f"{name} is an input and an output; write somewhere else")
            if target in source.parents and (is_folder or _is_picture(source)):
                raise ConfigError(f"{name} is an output and holds the input {text}; write somewhere else")


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
