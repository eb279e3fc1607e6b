"""Messages about kept frames published to an MQTT broker."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from streamfilter.errors import ConfigError, MissingExtraError
from streamfilter.sinks._network import QueueSink

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

PORTS = {"mqtt": 1883, "mqtts": 8883}
CONNECT_SECONDS = 5.0
ACKNOWLEDGE_SECONDS = 5.0
KEEPALIVE_SECONDS = 30
POLL_SECONDS = 0.1
AT_LEAST_ONCE = 1
BATCH = 16
"""Most messages on their way to the broker at once; paho allows 20."""


@dataclass(frozen=True, repr=False)
class Broker:
    """Where to publish, and as whom."""

    host: str
    port: int
    topic: str
    account: tuple[str, str] | None
    """User and password; None when the address holds none."""
    is_secure: bool

    @classmethod
    def of(cls, target: str) -> Broker:
        """The parts of an `mqtt://` or `mqtts://` address.

        Raises:
            ConfigError: host or topic is missing or wrong.
        """
        try:
            parts = urlsplit(target)
            host, port = parts.hostname, parts.port or PORTS[parts.scheme]
        except ValueError:
            host, parts = None, urlsplit("")
        topic = unquote(parts.path.strip("/"))
        is_odd = any(sign in target for sign in "?#") or "@" in parts.path or any(sign in topic for sign in "#+\0")
        if not host or not topic or is_odd:
            raise ConfigError(
                "an MQTT output is mqtt://[user:password@]host[:port]/topic, the topic without #, +, ? and @; "
                "write @, / and : of a password as %40, %2F and %3A"
            )
        account = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(host, port, topic, account, parts.scheme == "mqtts")


class MqttSink(QueueSink):
    """Publishes a record for each kept frame as JSON; it counts as sent once the broker has acknowledged it (QoS 1).

    Args:
        target: `mqtt://user:password@host:port/topic`, or `mqtts://` for TLS; user, password and topic percent-encoded.

    Raises:
        ConfigError: host or topic is missing or wrong.
        MissingExtraError: paho-mqtt is not installed.
    """

    def __init__(self, target: str) -> None:
        try:
            import paho.mqtt.client  # noqa: F401
        except ImportError as error:
            raise MissingExtraError('paho-mqtt is not installed; run: pip install "streamfilter[mqtt]"') from error
        self._broker = Broker.of(target)
        self._client: Client | None = None
        super().__init__(target, BATCH)

    def _send(self, messages: list[dict[str, Any]]) -> None:
        if self._client is None or not self._client.is_connected():
            self._hang_up()
            self._client = self._connected()
        try:
            topic = self._broker.topic
            sent = [self._client.publish(topic, json.dumps(message), AT_LEAST_ONCE) for message in messages]
            for one in sent:
                self._wait_for(one, self._client)
                del messages[0]
        except (RuntimeError, ValueError) as error:
            # A client that failed would send what it holds once more: the next try has a new one.
            self._hang_up()
            raise OSError(f"the broker did not take it: {error}") from error
        except OSError:
            self._hang_up()
            raise

    def _connected(self) -> Client:
        """A client that the broker has accepted.

        Raises:
            OSError: there is no broker, or it refuses us.
        """
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if self._broker.account is not None:
            client.username_pw_set(*self._broker.account)
        if self._broker.is_secure:
            client.tls_set()
        client.connect_timeout = CONNECT_SECONDS
        answers: list[ReasonCode] = []
        answered = threading.Event()

        def hear(client: Client, data: object, flags: object, reason: ReasonCode, properties: object) -> None:
            answers.append(reason)
            answered.set()

        client.on_connect = hear
        client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_SECONDS)
        client.loop_start()
        deadline = time.monotonic() + CONNECT_SECONDS
        while not answered.wait(POLL_SECONDS) and not self._ended and time.monotonic() < deadline:
            pass
        if answers and not answers[0].is_failure:
            return client
        _hang_up(client)
        if answers:
            raise ConnectionRefusedError(f"the broker refuses us: {answers[0]}")
        raise TimeoutError("the broker does not answer")

    def _wait_for(self, sent: MQTTMessageInfo, client: Client) -> None:
        """Until the broker has acknowledged a message.

        Raises:
            OSError: it did not in time.
            RuntimeError: the connection was gone before.
        """
        deadline = time.monotonic() + ACKNOWLEDGE_SECONDS
        while not sent.is_published():
            sent.wait_for_publish(POLL_SECONDS)
            if sent.is_published():
                return
            if not client.is_connected():
                raise ConnectionResetError("the broker hung up")
            if self._ended or time.monotonic() > deadline:
                raise TimeoutError(f"the broker did not acknowledge it within {ACKNOWLEDGE_SECONDS:g} s")

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            _hang_up(client)


def _hang_up(client: Client) -> None:
    client.disconnect()
    client.loop_stop()
