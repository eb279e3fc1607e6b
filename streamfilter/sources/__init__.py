"""Where frames come from: `open_source` for one input, `plan_inputs` for a command line."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from streamfilter.address import mask
from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from streamfilter.sources.base import MAX_PIXELS, PictureSource, Source, SourceInfo
from streamfilter.sources.connection import SCHEMES, is_live_address
from streamfilter.sources.images import ImagesSource, looks_like_picture, natural_key
from streamfilter.sources.live import LiveSource
from streamfilter.sources.mjpeg import MjpegSource, open_stdin
from streamfilter.sources.overwriting import overwriting, refuse_overwriting
from streamfilter.sources.video import VideoSource

__all__ = [
    "MAX_PIXELS",
    "ImagesSource",
    "InputPlan",
    "LiveSource",
    "MjpegSource",
    "PictureSource",
    "Source",
    "SourceInfo",
    "VideoSource",
    "is_live_address",
    "open_source",
    "open_sources",
    "overwriting",
    "plan_inputs",
    "refuse_overwriting",
]

STDIN = "-"
MJPEG_SUFFIXES = (".mjpg", ".mjpeg")


@dataclass(frozen=True)
class InputPlan:
    """One source to be, not yet opened, so that a bad input stops nobody but itself."""

    name: str
    """The input as messages show it; passwords are masked."""
    opener: Callable[[], Source]
    files: tuple[str, ...] = ()
    """The files or the folder it reads, or the address."""

    def open(self) -> Source:
        """The source, ready to iterate.

        Raises:
            InputNotFoundError: the input does not exist.
            InputError: it cannot be opened; the message says why and what to do.
        """
        return self.opener()


def plan_inputs(inputs: Sequence[str | Path]) -> list[InputPlan]:
    """Command-line inputs as sources to be; picture files that follow one another become one source.

    An input is `-` (JPEG pictures on standard input), a folder of pictures, a picture, a video, or a glob pattern,
    which stands for all that it matches, as in a shell. Nothing is refused here: `InputPlan.open` does that, input by
    input.

    Args:
        inputs: as given by the user.

    Raises:
        ConfigError: it is one input, not a list of them.
    """
    if isinstance(inputs, str):
        raise ConfigError(f"inputs is {mask(inputs)!r}, expected a list of inputs")
    files = [path for text in inputs for path in _expand(str(text))]
    plans: list[InputPlan] = []
    for are_pictures, group in groupby(files, key=_is_picture_file):
        texts = list(group)
        plans += [_plan_pictures(texts)] if are_pictures else [_plan_other(text) for text in texts]
    return plans


def open_source(uri: str | Path) -> Source:
    """The one source an input stands for.

    Args:
        uri: `-`, a folder, a picture, a glob pattern of pictures, or a video.

    Raises:
        InputNotFoundError: it does not exist.
        InputError: it cannot be opened, or the pattern matches several videos.
    """
    plans = plan_inputs([uri])
    if len(plans) != 1:
        raise InputError(f"{mask(str(uri))} matches {len(plans)} inputs; open them one by one")
    return plans[0].open()


def open_sources(inputs: Sequence[str | Path]) -> list[Source]:
    """Every source the inputs stand for, or none.

    Raises:
        InputError: one of them cannot be opened; those opened before it are closed again.
    """
    sources: list[Source] = []
    try:
        for plan in plan_inputs(inputs):
            sources.append(plan.open())
    except BaseException:
        for source in sources:
            source.close()
        raise
    return sources


def _expand(text: str) -> list[str]:
    """A glob pattern as what it matches, in natural order; anything else, or what matches nothing, as itself."""
    if text == STDIN or _scheme(text) or not glob.has_magic(text) or os.path.exists(text):
        return [text]
    paths = sorted((Path(match) for match in glob.iglob(text, recursive=True)), key=natural_key)
    # A folder's pictures come with the folder: where `**` finds both, they would come twice.
    found = [str(path) for path in paths if "**" not in text or not os.path.isdir(path)]
    return found or [text]


def _is_picture_file(text: str) -> bool:
    """Whether an input is a picture, also by the name alone of one that is not there: that parts no list of them."""
    path = Path(text)
    if _scheme(text) or path.suffix.lower() in MJPEG_SUFFIXES:
        return False
    is_missing = not os.path.exists(text) and not glob.has_magic(text)
    try:
        return (is_missing or os.path.isfile(text)) and looks_like_picture(path)
    except (OSError, ValueError):
        return False


def _plan_pictures(texts: list[str]) -> InputPlan:
    if len(texts) == 1 and not _has_bytes(texts[0]):
        return InputPlan(mask(texts[0]), _opener(texts[0]), (texts[0],))
    source = partial(ImagesSource, [Path(text) for text in texts])
    return InputPlan(source().name, source, tuple(texts))


def _plan_other(text: str) -> InputPlan:
    return InputPlan(mask(text), _opener(text), (text,))


def _has_bytes(text: str) -> bool:
    try:
        return os.path.getsize(text) > 0
    except (OSError, ValueError):
        return False


def _opener(text: str) -> Callable[[], Source]:
    if not text.strip():
        return _refuse_empty
    if text == STDIN:
        return open_stdin
    if is_live_address(text):
        return partial(LiveSource, text)
    if _scheme(text):
        return partial(_refuse_scheme, text)
    if os.path.isdir(text):
        return partial(ImagesSource.from_folder, text)
    if Path(text).suffix.lower() in MJPEG_SUFFIXES:
        return partial(MjpegSource.from_file, text)
    if glob.has_magic(text) and not os.path.exists(text):
        return partial(_refuse_pattern, text)
    return partial(VideoSource, text)


def _scheme(text: str) -> str | None:
    match = re.match(r"([a-z][a-z0-9+.-]*)://", text, re.IGNORECASE)
    return match[1] if match else None


def _refuse_empty() -> Source:
    raise InputError("an input is empty; name a file, a folder or an address (is a variable of the shell unset?)")


def _refuse_pattern(text: str) -> Source:
    raise InputNotFoundError(f"no file matches {mask(text)}; check the pattern")


def _refuse_scheme(text: str) -> Source:
    raise InputError(f"{mask(text)}: addresses start with {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
