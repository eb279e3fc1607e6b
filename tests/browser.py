"""A real Chromium without a window, for tests of pages: what it says, what it asks the network for, what it draws."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.live_servers import missing, wait_until

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = "chromium chromium-driver"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-default-apps", "--disable-extensions",
    "--force-device-scale-factor=1", "--hide-scrollbars",
    # Names of the outside are not even looked up.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip
PICTURE_PATIENCE = 60.0
"""Seconds."""
LOCAL_SCHEMES = ("file", "data", "blob", "about")


@functools.cache
def _programs() -> tuple[str, str] | None:
    browser = next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def need_chromium() -> None:
    """Skip the test where Chromium and its driver are not installed; fail it on the build server."""
    if _programs() is None:
        missing(f"no Chromium with its driver: apt-get install {PACKAGES}")


class Browser:
    """One Chromium with one page.

    Args:
        driver: Selenium's WebDriver.
    """

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        self._requests: list[str] = []
        self._console: list[str] = []

    def open(self, address: str | Path) -> None:
        """Load a page; a path is opened as file://."""
        self.driver.get(address.absolute().as_uri() if isinstance(address, Path) else address)

    def js(self, code: str, *arguments: object) -> Any:
        """What a piece of JavaScript returns; `arguments[0]` ... are the arguments."""
        return self.driver.execute_script(code, *arguments)

    def wait_for(self, code: str, seconds: float = 20.0) -> None:
        """Wait until a JavaScript expression is true.

        Raises:
            TimeoutError: it is not within these seconds.
        """
        wait_until(lambda: self.js(f"return Boolean({code})"), seconds, code)

    def find(self, selector: str) -> Any:
        """The first element a CSS selector matches."""
        from selenium.webdriver.common.by import By

        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """Scroll to an element and click it as a mouse does."""
        element = self.find(selector)
        self.js("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
        element.click()

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is; names such as `ENTER` are those of Selenium's Keys."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            ActionChains(self.driver).send_keys(getattr(Keys, key, key)).perform()

    def prefer(self, scheme: str) -> None:
        """What `prefers-color-scheme` tells pages, `light` or `dark`; nothing moves by itself in either."""
        # A page that glides to where it scrolls would be pictured on its way.
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        features = [{"name": "prefers-color-scheme", "value": scheme}, still]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def resize(self, width: int, height: int) -> None:
        """Size of the page, CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def picture(self, selector: str | None = None) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of what is seen in the window, or of one element."""
        from selenium.common.exceptions import TimeoutException

        take = self.driver.get_screenshot_as_png if selector is None else lambda: self.find(selector).screenshot_as_png
        taken: list[bytes] = []

        def one_more_try() -> bool:
            # The driver gives a picture ten seconds, which a busy machine may need for something else.
            with contextlib.suppress(TimeoutException):
                taken.append(take())
            return bool(taken)

        wait_until(one_more_try, PICTURE_PATIENCE, "a picture of the page")
        return np.asarray(Image.open(io.BytesIO(taken[0])).convert("RGB"))

    def save(self, path: Path, *, whole_page: bool = False) -> None:
        """Write what is seen as a PNG, or the page down to its end."""
        options = {"format": "png", "captureBeyondViewport": whole_page}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB").save(path, optimize=True)

    def console_errors(self) -> list[str]:
        """What the page complained about so far: errors and warnings of its scripts, refused loads."""
        entries = self.driver.get_log("browser")
        self._console += [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
        return list(self._console)

    def requests(self) -> list[str]:
        """Every address the page has asked for so far, 60 characters of each; not those of Chromium's own pages."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"][:60])
        return [address for address in self._requests if not address.startswith("chrome://")]

    def network_requests(self) -> list[str]:
        """Those of `requests` that left the page's own file."""
        return [address for address in self.requests() if address.partition(":")[0] not in LOCAL_SCHEMES]


@contextlib.contextmanager
def chromium(width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """A fresh Chromium with its own empty profile, gone afterwards.

    Args:
        width: of the page, CSS pixels.
        height: of the page, CSS pixels.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    programs = _programs()
    assert programs is not None, "call need_chromium() first"
    with tempfile.TemporaryDirectory(prefix="chromium", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = programs[0]
        for flag in (*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(programs[1]))
        try:
            page = Browser(driver)
            page.resize(width, height)
            page.prefer("light")
            yield page
        finally:
            driver.quit()
