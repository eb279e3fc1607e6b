"""Messages about kept frames posted to a web address."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from streamfilter.errors import ConfigError, MissingExtraError
from streamfilter.frame import Decision, Frame
from streamfilter.sinks._base import DEFAULTS, SinkOptions
from streamfilter.sinks._jpeg import jpeg_bytes
from streamfilter.sinks._network import QueueSink

BATCH = 16
TIMEOUT_SECONDS = 5.0
ACCEPTED = range(200, 300)


@dataclass(frozen=True, repr=False)
class Hook:
    """Where to post, and what."""

    address: str
    """As requests go to it, password included."""
    with_pictures: bool

    @classmethod
    def of(cls, target: str) -> Hook:
        """The parts of an `http://` or `https://` target.

        Raises:
            ConfigError: there is no host, or another fragment.
        """
        address, _, fragment = target.partition("#")
        try:
            parts = urlsplit(address)
            is_odd = not parts.hostname or parts.port == 0 or "@" in parts.path
        except ValueError:
            is_odd = True
        if is_odd or fragment not in ("", "jpeg"):
            raise ConfigError(
                "a web output is http://[user:password@]host[:port]/path or https://, with #jpeg behind it or nothing; "
                "write @, /, : and # of a password as %40, %2F, %3A and %23"
            )
        return cls(address, fragment == "jpeg")


class WebhookSink(QueueSink):
    """Posts `{"frames": [...]}`: a record for each kept frame, up to 16 at once, with `#jpeg` its picture as well.

    Args:
        target: `http://` or `https://`; a fragment `#jpeg` adds each frame as base64 JPEG under `jpeg`.
        options: quality of the JPEGs.

    Raises:
        ConfigError: there is no host, or another fragment.
        MissingExtraError: requests is not installed.
    """

    def __init__(self, target: str, options: SinkOptions = DEFAULTS) -> None:
        try:
            import requests
        except ImportError as error:
            raise MissingExtraError('requests is not installed; run: pip install "streamfilter[webhook]"') from error
        self._hook, self._options = Hook.of(target), options
        self._session = requests.Session()
        super().__init__(self._hook.address, BATCH)

    def _message(self, frame: Frame, decision: Decision) -> dict[str, Any]:
        message = super()._message(frame, decision)
        if self._hook.with_pictures:
            message["jpeg"] = base64.b64encode(jpeg_bytes(frame, self._options.jpeg_quality)).decode()
        return message

    def _send(self, messages: list[dict[str, Any]]) -> None:
        # Followed, most redirects would turn the POST into a GET and lose what it carries.
        answer = self._session.post(
            self._hook.address, json={"frames": messages}, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
        if answer.status_code not in ACCEPTED:
            raise OSError(f"it answered {answer.status_code} {answer.reason}")
        messages.clear()

    def _hang_up(self) -> None:
        self._session.close()
