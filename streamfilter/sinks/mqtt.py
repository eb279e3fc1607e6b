"""Messages about kept frames published to an MQTT broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from streamfilter.errors import ConfigError, MissingExtraError
from streamfilter.sinks._network import QueueSink

PORTS = {"mqtt": 1883, "mqtts": 8883}
CONNECT_SECONDS = 5.0
ACKNOWLEDGE_SECONDS = 5.0
AT_LEAST_ONCE = 1


class MqttSink(QueueSink):
    """Publishes a record for each kept frame as JSON; it counts as sent once the broker has acknowledged it (QoS 1).

    Args:
        target: `mqtt://user:password@host:port/topic`, or `mqtts://` for TLS.

    Raises:
        ConfigError: host or topic is missing.
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(self, target: str) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise MissingExtraError('paho-mqtt is not installed; run: pip install "streamfilter[mqtt]"') from error
        parts = urlsplit(target)
        self._topic = parts.path.strip("/")
        if not parts.hostname or not self._topic or any(letter in self._topic for letter in "#+"):
            raise ConfigError("an MQTT output is mqtt://host[:port]/topic, the topic without # and +")
        self._host, self._port = parts.hostname, parts.port or PORTS[parts.scheme]
        client = Client(CallbackAPIVersion.VERSION2)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        if parts.scheme == "mqtts":
            client.tls_set()
        client.connect_timeout = CONNECT_SECONDS
        self._client = client
        self._runs = False
        super().__init__(target, batch=1)

    def _send(self, messages: Sequence[dict[str, Any]]) -> None:
        if not self._runs:
            self._client.connect(self._host, self._port, keepalive=30)
            self._client.loop_start()
            self._runs = True
        for message in messages:
            sent = self._client.publish(self._topic, json.dumps(message), qos=AT_LEAST_ONCE)
            try:
                sent.wait_for_publish(ACKNOWLEDGE_SECONDS)
            except (RuntimeError, ValueError) as error:
                self._hang_up()
                raise OSError(f"the broker did not take it: {error}") from error
            if not sent.is_published():
                self._hang_up()
                raise OSError(f"the broker did not acknowledge it within {ACKNOWLEDGE_SECONDS:g} s")

    def _hang_up(self) -> None:
        if self._runs:
            self._client.disconnect()
            self._client.loop_stop()
            self._runs = False
