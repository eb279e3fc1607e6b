"""Messages about kept frames posted to a web address."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from streamfilter.errors import MissingExtraError
from streamfilter.frame import Decision, Frame
from streamfilter.sinks._base import DEFAULTS, SinkOptions
from streamfilter.sinks._jpeg import jpeg_bytes
from streamfilter.sinks._network import QueueSink

BATCH = 16
TIMEOUT_SECONDS = 5.0
ACCEPTED = range(200, 300)


class WebhookSink(QueueSink):
    """Posts `{"frames": [...]}`: a record for each kept frame, up to 16 at once, with `#jpeg` its picture as well.

    Args:
        target: `http://` or `https://`; a fragment `#jpeg` adds each frame as base64 JPEG under `jpeg`.
        options: quality of the JPEGs.

    Raises:
        MissingExtraError: requests is not installed.
    """

    def __init__(self, target: str, options: SinkOptions = DEFAULTS) -> None:
        try:
            import requests
        except ImportError as error:
            raise MissingExtraError('requests is not installed; run: pip install "streamfilter[webhook]"') from error
        self._address, _, fragment = target.partition("#")
        self._with_pictures = fragment == "jpeg"
        self._options = options
        self._session = requests.Session()
        super().__init__(self._address, BATCH)

    def _message(self, frame: Frame, decision: Decision) -> dict[str, Any]:
        message = super()._message(frame, decision)
        if self._with_pictures:
            message["jpeg"] = base64.b64encode(jpeg_bytes(frame, self._options.jpeg_quality)).decode()
        return message

    def _send(self, messages: Sequence[dict[str, Any]]) -> None:
        answer = self._session.post(self._address, json={"frames": list(messages)}, timeout=TIMEOUT_SECONDS)
        if answer.status_code not in ACCEPTED:
            raise OSError(f"it answered {answer.status_code} {answer.reason}")

    def _hang_up(self) -> None:
        self._session.close()
