"""Pictures with one known cause each: photographs, distorted once, measured as the runtime measures them."""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamfilter.causes import NOTHING, measure, measure_frame, take
from streamfilter.distort import KINDS, PRISTINE, Distortion, apply
from streamfilter.errors import InputError, PictureError
from streamfilter.frame import RGB, Cause, Frame
from trainer.pictures import list_items, read_picture
from trainer.runs import replacing

log = logging.getLogger(__name__)

CAUSE_OF: dict[str, Cause] = {
    "jpeg": Cause.COMPRESSION,
    "h264": Cause.COMPRESSION,
    "h265": Cause.COMPRESSION,
    "loss": Cause.DAMAGED,
    "defocus": Cause.BLUR,
    "motion": Cause.BLUR,
    # Few pixels scaled up look soft to whoever sees them, and no codec's blocks are in them.
    "lowres": Cause.BLUR,
    "noise": Cause.NOISE,
    "darkness": Cause.DARK,
    "overexposure": Cause.OVER_EXPOSED,
}
"""What people call each single distortion."""
LEVELS = (1.5, 5.0)
"""Of the strengths drawn: milder ones leave nothing to see."""
LARGER = (1.3, 2.2)
HELD_BACK = 5
"""One picture in so many is held back."""
GREY, MOSAIC, ENLARGED, RECODED, AS_VIDEO = 0.12, 0.2, 0.2, 0.3, 0.5
"""Shares of the pictures that lose their colour, come four together, come enlarged (both as larger cameras give them),
are coded lightly after the distortion, and are measured from the planes of a video frame."""
TOLD_EVERY = 100
SOURCES = (("classification", "labels.csv"), ("detection", "instances.json"))


Row = tuple[npt.NDArray[np.float32], str, str]
"""Statistics, distortion and photograph of one example."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Measured pictures."""

    values: npt.NDArray[np.float32]
    """(N, F) one row of statistics a picture."""
    kinds: npt.NDArray[np.str_]
    """(N,) the distortion, or `pristine`."""
    held_back: npt.NDArray[np.bool_]
    """(N,) whether its photograph is kept for choosing."""

    @property
    def causes(self) -> npt.NDArray[np.str_]:
        """(N,) the cause's name, or `none`."""
        return np.array([CAUSE_OF[kind].value if kind in CAUSE_OF else NOTHING for kind in self.kinds])


def statistics_names() -> tuple[str, ...]:
    """Names of the columns of `Examples.values`."""
    sample = take(Frame("example", 0, array=np.zeros((64, 64, 3), np.uint8)))
    return () if sample is None else tuple(measure(sample))


def save(examples: Examples, path: Path) -> None:
    """Keep examples in a file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, values=examples.values, kinds=examples.kinds, held_back=examples.held_back)


def load(path: Path) -> Examples:
    """Examples that were kept.

    Raises:
        InputError: the file holds none, or of other statistics.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            examples = Examples(content["values"], content["kinds"], content["held_back"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no examples ({error}); remove it to measure them anew") from error
    if examples.values.shape[1:] != (len(statistics_names()),):
        raise InputError(f"{path} holds other statistics than today's; remove it to measure them anew")
    return examples


def make(kit: Path, seed: int, workers: int, at_most: int | None) -> Examples:
    """Examples from the development pictures of a kit.

    Args:
        kit: as the README of the trainer lays it out; its test pictures are left alone.
        seed: of everything drawn.
        workers: processes.
        at_most: photographs, drawn at random; None = all.

    Raises:
        InputError: there are no such pictures, too few for two sides, or their truth cannot be read.
    """
    found = list(_development(kit))
    paths = [found[place] for place in np.random.default_rng(seed).permutation(len(found))[:at_most]]
    rows: list[Row] = []
    with ProcessPoolExecutor(workers) as pool:
        for number, part in enumerate(pool.map(partial(_of_picture, paths, seed), range(len(paths))), start=1):
            rows += part
            if number % TOLD_EVERY == 0 or number == len(paths):
                log.info("%d of %d photographs, %d examples", number, len(paths), len(rows))
    if not rows:
        raise InputError(f"{kit} has no development pictures")
    values, kinds, names = zip(*rows, strict=True)
    held_back = np.array([_is_held_back(name) for name in names])
    if held_back.all() or not held_back.any():
        raise InputError(f"{kit}: {len(set(names))} pictures are too few to learn from some and judge by others")
    return Examples(np.array(values), np.array(kinds), held_back)


def _development(kit: Path) -> Iterator[Path]:
    for task, truth in SOURCES:
        for item in list_items(kit / task, kit / task / truth, task):
            if item.split == "dev":
                yield kit / task / item.picture


def _is_held_back(name: str) -> bool:
    return zlib.crc32(name.encode()) % HELD_BACK == 0


def _of_picture(paths: Sequence[Path], seed: int, index: int) -> list[Row]:
    """Each kind once on one photograph, and twice nothing."""
    random = np.random.default_rng([seed, index])
    rows = []
    for kind in (*CAUSE_OF, PRISTINE, PRISTINE):
        try:
            rgb = _varied(paths, index, random)
            strength = None if kind == PRISTINE else KINDS[kind].at(random.uniform(*LEVELS))
            frame = _shown(apply(rgb, Distortion(kind, strength)), random)
        except PictureError as error:
            log.warning("%s, %s: %s", paths[index], kind, error)
            continue
        values = measure_frame(frame)
        if values is not None:
            rows.append((values, kind, paths[index].name))
    return rows


def _varied(paths: Sequence[Path], index: int, random: np.random.Generator) -> RGB:
    """The photograph as cameras of other sizes and without colour would give it."""
    import cv2

    rgb, _ = read_picture(paths[index])
    drawn = random.uniform()
    if drawn < MOSAIC:
        rgb = _four(paths, index, rgb)
    elif drawn < MOSAIC + ENLARGED:
        times = random.uniform(*LARGER)
        rgb = np.asarray(cv2.resize(rgb, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC), np.uint8)
    if random.uniform() < GREY:
        rgb = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    return rgb


def _four(paths: Sequence[Path], index: int, rgb: RGB) -> RGB:
    """Four photographs in a square; the others are of the same side of the hold-out."""
    import cv2

    height, width = rgb.shape[:2]
    side = _is_held_back(paths[index].name)
    alike = (path for path in (*paths[index + 1 :], *paths[:index]) if _is_held_back(path.name) == side)
    parts = [rgb, *(read_picture(path)[0] for path in islice(alike, 3))]
    fitted = [np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8) for part in parts]
    fitted += [rgb] * (4 - len(fitted))
    return np.vstack([np.hstack(fitted[:2]), np.hstack(fitted[2:])])


def _shown(rgb: RGB, random: np.random.Generator) -> Frame:
    """The picture on its way to the filter: coded lightly or not, as a video frame or not."""
    import av

    if random.uniform() < RECODED:
        kind, low, high = [("jpeg", 75, 95), ("h264", 18, 28)][int(random.integers(2))]
        rgb = apply(rgb, Distortion(kind, int(random.integers(low, high))))
    if random.uniform() >= AS_VIDEO:
        return Frame("example", 0, array=rgb)
    even = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
    return Frame("example", 0, native=av.VideoFrame.from_ndarray(even, "rgb24").reformat(format="yuv420p"))
