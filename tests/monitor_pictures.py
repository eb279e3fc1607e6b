"""The pictures of the monitor's page in docs/: the sample clip, served live, in a real browser.

python -m tests.monitor_pictures docs/
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.browser import chromium, need_chromium
from tests.live_servers import RtspServer, free_port, need_gstreamer, wait_until

CLIP = Path(__file__).parent.parent / "samples" / "tour_of_troubles.mp4"
WATCH_SECONDS = 130
"""The clip and its return after a reconnect."""


def take(folder: Path) -> None:
    """Write `monitor-light.png` and `monitor-dark.png`."""
    need_gstreamer()
    need_chromium()
    port = free_port()
    with RtspServer("--file", str(CLIP)) as camera, tempfile.TemporaryDirectory() as place:
        streams = Path(place) / "streams.toml"
        streams.write_text(f'threads = 1\n[[stream]]\nname = "gate"\nuri = "{camera.url}"\n')
        command = [sys.executable, "-m", "streamfilter", "monitor", "--config", str(streams), "--port", str(port)]
        process = subprocess.Popen(command)
        try:
            with chromium(1280, 680) as browser:
                wait_until(lambda: _is_there(browser, f"http://127.0.0.1:{port}/"), 60, "the page")
                time.sleep(WATCH_SECONDS)
                browser.wait_for("document.querySelector('.state')?.textContent === 'playing'")
                browser.click("summary")
                for scheme in ("light", "dark"):
                    browser.prefer(scheme)
                    seen = browser.js("return performance.now()")
                    browser.wait_for(f"performance.now() > {seen} + 1500")
                    browser.save(folder / f"monitor-{scheme}.png")
        finally:
            process.terminate()
            process.wait(20)


def _is_there(browser: object, address: str) -> bool:
    from selenium.common.exceptions import WebDriverException

    try:
        browser.open(address)
    except WebDriverException:
        return False
    return True


if __name__ == "__main__":
    take(Path(sys.argv[1]))
