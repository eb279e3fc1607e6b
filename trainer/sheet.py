"""`python -m trainer sheet`: a contact sheet of every distortion, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import click
import numpy as np

from streamfilter.distort import KINDS, Distortion, apply
from streamfilter.errors import ConfigError, OutputError
from streamfilter.frame import RGB
from trainer.parts import write_beside
from trainer.pictures import read_picture

SIDE, MARGIN, CAPTION = 144, 6, 16
LEVELS = (1, 2, 3, 4, 5)
INK, PAPER = (20, 20, 20), (250, 250, 250)


def contact_sheet(rgb: RGB, kinds: Sequence[str]) -> RGB:
    """A row a kind: its unit, then the picture at its five levels with the strength of each below.

    Args:
        rgb: (H, W, 3) uint8, RGB, HWC, 0-255.
        kinds: keys of `KINDS`.

    Returns:
        (H', W', 3) uint8, RGB, HWC, 0-255.
    """
    from PIL import Image, ImageDraw

    high = round(SIDE * rgb.shape[0] / rgb.shape[1])
    wide, tall = SIDE + MARGIN, high + CAPTION + MARGIN
    sheet = Image.new("RGB", (MARGIN + wide * len(LEVELS), MARGIN + (tall + CAPTION) * len(kinds)), PAPER)
    ink = ImageDraw.Draw(sheet)
    for row, name in enumerate(kinds):
        kind, top = KINDS[name], MARGIN + row * (tall + CAPTION)
        ink.text((MARGIN, top), f"{name}: {kind.unit}, {kind.lowest:g} to {kind.highest:g}", fill=INK)
        for column, level in enumerate(LEVELS):
            strength = kind.at(level)
            left = MARGIN + column * wide
            shown = Image.fromarray(apply(rgb, Distortion(name, strength))).resize((SIDE, high), Image.Resampling.BOX)
            sheet.paste(shown, (left, top + CAPTION))
            ink.text((left, top + CAPTION + high), f"{strength:g}", fill=INK)
    return np.asarray(sheet)


@click.command("sheet")
@click.argument("picture", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="PNG to write.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="Only these; repeatable.")
def command(picture: Path, out: Path, kinds: tuple[str, ...]) -> None:
    """Show PICTURE under every distortion at five levels."""
    from PIL import Image

    if out.exists() and picture.exists() and out.samefile(picture):
        raise ConfigError(f"{out} is the picture itself; choose another --out")
    sheet, data = contact_sheet(read_picture(picture)[0], kinds or tuple(KINDS)), BytesIO()
    Image.fromarray(sheet).save(data, "PNG", optimize=True)
    try:
        write_beside(out, data.getvalue())
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}; choose another --out") from error
