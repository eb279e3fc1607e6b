"""The pictures of the report in `docs/`, made again: `python -m tests.screenshots`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import chromium

ROOT = Path(__file__).parent.parent
CLIP = "samples/tour_of_troubles.mp4"
SIZE = (1280, 1120)


def main() -> None:
    """Report on the sample clip with the default model, and take the top of the page, light and dark."""
    with tempfile.TemporaryDirectory() as folder, chromium(*SIZE) as browser:
        page = Path(folder) / "report.html"
        subprocess.run([sys.executable, "-m", "streamfilter", "report", CLIP, "--out", page], cwd=ROOT, check=True)
        for scheme in ("light", "dark"):
            browser.prefer(scheme)
            browser.open(page)
            browser.wait_for("document.querySelector('section[data-ready] canvas')")
            browser.wait_for("[...document.images].every((image) => image.complete)")
            target = ROOT / "docs" / f"report-{scheme}.png"
            browser.save(target)
            Image.open(target).quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)


if __name__ == "__main__":
    main()
