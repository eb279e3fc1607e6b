"""Sinks to the network against real servers that come, go, refuse and hang: RTSP, web addresses, MQTT."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import av
import cv2
import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from PIL import Image

from streamfilter.delivery import Delivery
from streamfilter.errors import ConfigError, OutputError
from streamfilter.frame import Decision, Frame, Reason
from streamfilter.sinks import MqttSink, RtspSink, Sink, SinkOptions, WebhookSink, _network, _rtsp_session, open_sink
from streamfilter.sinks import mqtt as mqtt_module
from streamfilter.sinks import rtsp as rtsp_module
from streamfilter.sinks import webhook as webhook_module
from streamfilter.sinks._network import QUEUE_MESSAGES
from streamfilter.sinks.records import record_fields
from streamfilter.stream_config import LiveSettings
from tests.live_servers import Mosquitto, RtspServer, free_port, need_gstreamer, need_mosquitto, wait_until
from tests.media import corners, jpeg_bytes

KEPT = Decision(True, Reason.USEFUL, {"classification": 0.75, "detection": 0.25})
DROPPED = Decision(False, Reason.LOW_UTILITY, {"classification": 0.1, "detection": 0.2})
LOST = Decision(False, Reason.UNREADABLE)
KEYS = ["input", "index", "pts_seconds", "keep", "reason", "utility", "width", "height"]
PASSWORD = "hush-k3y@7/x"
BLOCKED_SECONDS = 6.0
"""Far longer than any call may take: closing waits up to 1.75 s, writing hardly at all."""


def picture(index: int, pts: float | None = None, height: int = 48, width: int = 64) -> Frame:
    """A smooth picture that moves with its index, as a decoder gives it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = [np.sin(x / 9 + index / 5), np.cos(y / 7 - index / 5), np.sin((x + y) / 11)]
    rgb = np.stack([128 + 90 * wave for wave in waves], axis=2).astype(np.uint8)
    native = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    native.pts, native.time_base = index, Fraction(1, 25)
    return Frame("cam", index, index / 10 if pts is None else pts, native=native)


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other fast."""
    monkeypatch.setattr(_network, "RETRY_SECONDS", (0.05, 0.1, 0.2))
    monkeypatch.setattr(rtsp_module, "RETRY_SECONDS", 0.2)


class WebServer:
    """A web server that takes POSTs.

    Attributes:
        answers: statuses of the next answers; 200 when none is left. 0 hangs until the end.
        batches: the frames of each POST that was answered with 200.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.answers: list[int] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.headers: list[dict[str, str]] = []
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()
        self._ended = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def frames(self) -> list[dict[str, Any]]:
        return [frame for batch in self.batches for frame in batch]

    def start(self) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                owner.answer(self)

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        frames = json.loads(request.rfile.read(int(request.headers["Content-Length"])))["frames"]
        self.headers.append(dict(request.headers))
        self.asked += 1
        self.gate.wait(30)
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            self._ended.wait(30)
            return
        if status == 200:
            self.batches.append(frames)
        request.send_response(status)
        request.send_header("Location", "/elsewhere")
        request.end_headers()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._ended.set()
            server.shutdown()
            server.server_close()
            self._ended = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


def indices(messages: list[dict[str, Any]]) -> list[int]:
    return [message["index"] for message in messages]


def test_kept_frames_are_posted_in_order_and_at_most_16_at_once(web: WebServer) -> None:
    web.gate.clear()
    with WebhookSink(web.url) as sink:
        sink.write(picture(0), KEPT)
        wait_until(lambda: web.asked == 1)
        for index in range(1, 40):
            sink.write(picture(index), KEPT if index % 2 else DROPPED)
        sink.write(Frame("cam", 40, problem="cut short"), LOST)
        web.gate.set()
    kept = [0, *range(1, 40, 2)]
    assert indices(web.frames) == kept
    assert [len(batch) for batch in web.batches] == [1, 16, 4]
    assert sink.messages_sent == len(kept)
    assert sink.messages_lost == 0
    assert list(web.frames[0]) == KEYS
    assert web.frames[3] == {**record_fields(picture(5), KEPT), "width": 64, "height": 48}


def test_a_picture_comes_along_as_base64_jpeg_when_asked_for(web: WebServer) -> None:
    own = jpeg_bytes(corners())
    with WebhookSink(web.url + "#jpeg", SinkOptions(jpeg_quality=90)) as sink:
        sink.write(picture(3, height=64, width=80), KEPT)
        sink.write(Frame("a.jpg", 4, array=corners(), jpeg=own), KEPT)
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(web.frames[0]["jpeg"]))))
    assert cv2.PSNR(decoded, picture(3, height=64, width=80).rgb) > 30
    assert base64.b64decode(web.frames[1]["jpeg"]) == own
    assert list(web.frames[1]) == [*KEYS, "jpeg"]


def test_refused_posts_and_connections_are_tried_again_in_order(
    web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers = [500, 503, 200, 404, 302]
    with WebhookSink(web.url) as sink:
        for index in range(30):
            sink.write(picture(index), KEPT)
        wait_until(lambda: sink.messages_sent == 30)
        assert "it answered 500 Internal Server Error" in caplog.text
        web.stop()
        caplog.clear()
        for index in range(30, 60):
            sink.write(picture(index), KEPT)
        wait_until(lambda: "Connection refused" in caplog.text)
        web.start()
        wait_until(lambda: len(web.frames) >= 60)
    assert indices(web.frames) == list(range(60))
    assert (sink.messages_sent, sink.messages_lost) == (60, 0)
    assert "sending again" in caplog.text


def test_without_a_web_server_the_newest_messages_wait_and_the_others_are_counted(web: WebServer) -> None:
    count = QUEUE_MESSAGES + 60
    web.stop()
    sink = WebhookSink(web.url)
    assert seconds_of(lambda: [sink.write(picture(index), KEPT) for index in range(count)]) < BLOCKED_SECONDS
    web.start()
    sink.close()
    assert len(web.frames) == sink.messages_sent
    assert indices(web.frames) == list(range(sink.messages_lost, count))
    assert 60 - 16 <= sink.messages_lost <= 60


@pytest.mark.parametrize("ending", ["close", "abort"])
def test_a_web_server_that_never_answers_does_not_hold_up_the_end(ending: str, web: WebServer) -> None:
    web.answers = [0]
    sink = WebhookSink(web.url)
    for index in range(20):
        sink.write(picture(index), KEPT)
    wait_until(lambda: web.asked == 1)
    assert seconds_of(getattr(sink, ending)) < BLOCKED_SECONDS
    assert (sink.messages_sent, sink.messages_lost) == (0, 20)


def delivered_to(web: WebServer, count: int, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    """One frame on its way to a web server that never answers, many times over."""
    monkeypatch.setattr(webhook_module, "TIMEOUT_SECONDS", 60.0)
    web.answers = [0] * count
    delivery = Delivery("cam", [WebhookSink(web.url) for _ in range(count)], LiveSettings(), lambda _: 0.0)
    delivery.put(picture(0), KEPT)
    wait_until(lambda: web.asked == count)
    return delivery


def test_many_web_servers_that_never_answer_hold_up_the_end_no_longer_than_one(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = delivered_to(web, 10, monkeypatch)
    assert seconds_of(lambda: delivery.close(60.0)) < BLOCKED_SECONDS


def test_sending_ends_with_the_time_that_the_stream_is_given(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_network, "CLOSE_SECONDS", 20.0)
    delivery = delivered_to(web, 1, monkeypatch)
    assert seconds_of(lambda: delivery.close(0.2)) < BLOCKED_SECONDS


def test_a_server_that_is_back_is_tried_again_before_the_time_is_up(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_network, "RETRY_SECONDS", (60.0,))
    web.answers = [500]
    with WebhookSink(web.url) as sink:
        sink.write(picture(0), KEPT)
        wait_until(lambda: not web.answers)
        sink.hurry(time.monotonic() + 1.0)
        wait_until(lambda: indices(web.frames) == [0])


def test_a_server_that_is_back_is_tried_at_once_when_the_sink_closes(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_network, "RETRY_SECONDS", (60.0,))
    web.answers = [500]
    sink = WebhookSink(web.url)
    sink.write(picture(0), KEPT)
    wait_until(lambda: not web.answers)
    assert seconds_of(sink.close) < BLOCKED_SECONDS
    assert indices(web.frames) == [0]


def test_user_and_password_of_a_web_address_are_sent_and_never_shown(
    web: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    web.answers = [401, 200]
    target = f"http://joe:{quote(PASSWORD, safe='')}@127.0.0.1:{web.port}/hook?token={PASSWORD}"
    with WebhookSink(target) as sink:
        sink.write(picture(0), KEPT)
        wait_until(lambda: web.frames)
        web.stop()
        sink.write(picture(1), KEPT)
        wait_until(lambda: caplog.text.count("cannot send") == 2)
        assert_nothing_shows(sink, caplog)
    assert web.headers[0]["Authorization"] == "Basic " + base64.b64encode(f"joe:{PASSWORD}".encode()).decode()


def assert_nothing_shows(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    """No password in log lines of ours, names of threads, or the sink's own."""
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("streamfilter"))
    assert ours
    shown = "\n".join([ours, repr(sink), str(sink), *(thread.name for thread in threading.enumerate())])
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "hush"):
        assert secret not in shown


BAD_ADDRESSES = [
    "mqtt://127.0.0.1",
    "mqtt:///topic",
    "mqtt://127.0.0.1/cams/#",
    "mqtt://127.0.0.1/cams/+",
    "mqtt://127.0.0.1/cams?qos=2",
    "mqtt://joe:hush/1@127.0.0.1/cams",
    "mqtt://joe:12/hush@127.0.0.1/cams",
    "mqtt://joe:hush#1@127.0.0.1/cams",
    "mqtt://127.0.0.1:hush/cams",
    "mqtts://127.0.0.1:99999/cams",
    "rtsp:///path",
    "rtsp://127.0.0.1:hush/path",
    "rtsp://joe:hush/1@127.0.0.1/path",
    "rtsp://joe:12/hush@127.0.0.1/path",
    "http:///path",
    "http://127.0.0.1/path#png",
    "http://joe:hush#1@127.0.0.1/path",
    "https://joe:hush/1@127.0.0.1/path",
]


@pytest.mark.parametrize("target", BAD_ADDRESSES)
def test_an_address_that_cannot_be_meant_is_refused_without_showing_it(target: str) -> None:
    threads = threading.active_count()
    with pytest.raises(ConfigError, match=r"an? (MQTT|RTSP|web) output is ") as caught:
        open_sink(target, SinkOptions())
    assert "hush" not in str(caught.value)
    assert threading.active_count() == threads


class Subscriber:
    """Collects what a broker passes on, as JSON; the broker keeps messages for it while it is away."""

    def __init__(self, broker: Mosquitto, topic: str = "cams/door", account: tuple[str, str] | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.levels: set[int] = set()
        self._subscribed = threading.Event()
        self._topic = topic
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False)
        if account is not None:
            self._client.username_pw_set(*account)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._heard
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(30)

    @property
    def indices(self) -> list[int]:
        return indices(self.messages)

    def _connected(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=1)

    def _heard(self, client: mqtt.Client, data: object, message: mqtt.MQTTMessage) -> None:
        self.levels.add(message.qos)
        self.messages.append(json.loads(message.payload))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    need_mosquitto()
    with Mosquitto() as server:
        yield server


def target_of(broker: Mosquitto) -> str:
    return f"mqtt://127.0.0.1:{broker.port}/cams/door"


def test_each_kept_frame_is_published_once_as_json(broker: Mosquitto) -> None:
    with Subscriber(broker) as reader:
        with MqttSink(target_of(broker)) as sink:
            for index in range(90):
                sink.write(picture(index), DROPPED if index % 3 == 1 else KEPT)
            sink.write(Frame("cam", 90, problem="cut short"), LOST)
        wanted = [index for index in range(90) if index % 3 != 1]
        wait_until(lambda: len(reader.messages) >= len(wanted))
        assert reader.indices == wanted
    assert (sink.messages_sent, sink.messages_lost) == (len(wanted), 0)
    assert reader.levels == {1}
    assert list(reader.messages[0]) == KEYS
    assert reader.messages[2] == {**record_fields(picture(3), KEPT), "width": 64, "height": 48}


def test_a_topic_may_hold_encoded_letters(broker: Mosquitto) -> None:
    with Subscriber(broker, "café/door @1") as reader:
        with MqttSink(f"mqtt://127.0.0.1:{broker.port}/caf%C3%A9/door%20%401") as sink:
            sink.write(picture(0), KEPT)
        wait_until(lambda: reader.messages)


def test_messages_wait_for_a_broker_that_comes_later(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    with Subscriber(broker) as reader:
        broker.stop()
        with MqttSink(target_of(broker)) as sink:
            assert seconds_of(lambda: [sink.write(picture(index), KEPT) for index in range(30)]) < BLOCKED_SECONDS
            wait_until(lambda: "cannot send" in caplog.text)
            broker.start()
            wait_until(lambda: sink.messages_sent == 30)
        wait_until(lambda: len(reader.messages) >= 30)
        assert reader.indices == list(range(30))
    assert sink.messages_lost == 0


def test_a_broker_that_is_killed_and_comes_back_gets_every_message(broker: Mosquitto) -> None:
    with Subscriber(broker) as reader, MqttSink(target_of(broker)) as sink:
        for index in range(60):
            if index == 20:
                wait_until(lambda: len(reader.messages) == 20)
                broker.kill()
            if index == 40:
                broker.start()
            sink.write(picture(index), KEPT)
        wait_until(lambda: sink.messages_sent == 60)
        wait_until(lambda: len(set(reader.indices)) == 60)
        assert list(dict.fromkeys(reader.indices)) == list(range(60))
        assert sink.messages_lost == 0


def test_a_broker_that_hangs_gets_every_message_once_it_goes_on(
    broker: Mosquitto, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mqtt_module, "ACKNOWLEDGE_SECONDS", 0.3)
    monkeypatch.setattr(mqtt_module, "CONNECT_SECONDS", 0.3)
    with Subscriber(broker) as reader, MqttSink(target_of(broker)) as sink:
        sink.write(picture(0), KEPT)
        wait_until(lambda: sink.messages_sent == 1)
        broker.freeze()
        assert seconds_of(lambda: [sink.write(picture(index), KEPT) for index in range(1, 30)]) < BLOCKED_SECONDS
        wait_until(lambda: "did not acknowledge" in caplog.text)
        broker.thaw()
        wait_until(lambda: sink.messages_sent == 30)
        wait_until(lambda: set(reader.indices) == set(range(30)))
        assert sink.messages_lost == 0


def test_without_a_broker_the_newest_messages_wait_and_the_others_are_counted(broker: Mosquitto) -> None:
    count = QUEUE_MESSAGES + 60
    with Subscriber(broker) as reader:
        broker.stop()
        with MqttSink(target_of(broker)) as sink:
            for index in range(count):
                sink.write(picture(index), KEPT)
            broker.start()
            wait_until(lambda: sink.messages_sent + sink.messages_lost == count)
        wait_until(lambda: len(reader.messages) >= sink.messages_sent)
        assert reader.indices == list(range(sink.messages_lost, count))
    assert 60 - 16 <= sink.messages_lost <= 60


def test_a_wrong_password_is_told_and_nothing_else_happens(caplog: pytest.LogCaptureFixture) -> None:
    need_mosquitto()
    caplog.set_level(logging.DEBUG)
    with Mosquitto("joe:right") as broker:
        files = open_files()
        target = f"mqtt://joe:{quote(PASSWORD, safe='')}@127.0.0.1:{broker.port}/cams/door"
        sink = MqttSink(target)
        for index in range(3):
            sink.write(picture(index), KEPT)
        wait_until(lambda: "the broker refuses us" in caplog.text)
        assert_nothing_shows(sink, caplog)
        assert seconds_of(sink.close) < BLOCKED_SECONDS
    assert "WARNING" in caplog.text
    assert (sink.messages_sent, sink.messages_lost) == (0, 3)
    wait_until(lambda: open_files() <= files, what="no socket is left behind")


def test_the_right_password_opens_a_broker() -> None:
    need_mosquitto()
    with Mosquitto(f"joe:{PASSWORD}") as broker, Subscriber(broker, account=("joe", PASSWORD)) as reader:
        with MqttSink(f"mqtt://joe:{quote(PASSWORD, safe='')}@127.0.0.1:{broker.port}/cams/door") as sink:
            sink.write(picture(0), KEPT)
        wait_until(lambda: reader.messages)


def test_closing_does_not_wait_for_a_broker_that_is_not_there() -> None:
    sink = MqttSink(f"mqtt://127.0.0.1:{free_port()}/cams/door")
    sink.write(picture(0), KEPT)
    assert seconds_of(sink.close) < BLOCKED_SECONDS
    assert sink.messages_lost == 1


class Player:
    """Plays an address in a thread of its own, again and again until the end of the `with`.

    Attributes:
        sessions: for each connect that brought pictures, their times in seconds, widths, and the last one's RGB.
    """

    def __init__(self, url: str) -> None:
        self.sessions: list[list[tuple[float, int]]] = []
        self.last: np.ndarray | None = None
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)

    @property
    def frames(self) -> list[tuple[float, int]]:
        return [frame for session in self.sessions for frame in session]

    def _play(self) -> None:
        while not self._ended.is_set():
            try:
                with av.open(self._url, options={"rtsp_transport": "tcp"}, timeout=(5.0, 1.0)) as container:
                    self._collect(container)
            except av.FFmpegError:
                self._ended.wait(0.05)

    def _collect(self, container: av.container.InputContainer) -> None:
        session: list[tuple[float, int]] = []
        for frame in container.decode(video=0):
            if self._ended.is_set():
                return
            # FFmpeg knows no time before the server's first report about its clock.
            if frame.pts is not None:
                if not session:
                    self.sessions.append(session)
                self.last = frame.to_ndarray(format="rgb24")
                session.append((float(frame.pts * frame.time_base), frame.width))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)


@pytest.fixture
def relay() -> Iterator[RtspServer]:
    need_gstreamer()
    with RtspServer("--relay") as server:
        yield server


def ends(server: RtspServer) -> tuple[str, str]:
    """Where to publish and where to play."""
    return f"rtsp://127.0.0.1:{server.port}/in", f"rtsp://127.0.0.1:{server.port}/out"


class Feed:
    """Writes frames as a camera would, 25 a second or at given times."""

    def __init__(self, sink: Sink) -> None:
        self.index = 0
        self._sink = sink
        self._start = time.monotonic()

    def at(self, seconds: float, offset: float = 0.0, **shape: int) -> None:
        """Write the next frame once its time has come."""
        time.sleep(max(0.0, self._start + seconds - time.monotonic()))
        self._sink.write(picture(self.index, offset + seconds, **shape), KEPT)
        self.index += 1

    def until(self, condition: Callable[[], object], seconds: float = 30.0, **shape: int) -> None:
        """Write frames until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not in time"
            time.sleep(0.04)
            self._sink.write(picture(self.index, time.monotonic() - self._start, **shape), KEPT)
            self.index += 1


# The second start lies past 2^32 ticks of RTP's clock.
@pytest.mark.parametrize("start", [0.0, 50_000.0])
def test_what_is_published_plays_with_the_spacing_of_its_source(start: float, relay: RtspServer) -> None:
    publish, play = ends(relay)
    stamps = [index / 20 + (0.4 if index > 20 else 0) + index % 3 / 100 for index in range(50)]
    with Player(play) as player:
        with RtspSink(publish) as sink:
            feed = Feed(sink)
            for stamp in stamps:
                feed.at(stamp, start)
        # A decoder gives a frame once the next one has begun: the last but one is the last that shows.
        wait_until(lambda: player.last is not None and cv2.PSNR(player.last, picture(48).rgb) > 28)
    assert (sink.frames_written, sink.frames_lost) == (50, 0)
    times = [pts for pts, _ in player.sessions[-1]]
    assert len(times) > 25
    assert all(before < after for before, after in pairwise(times))
    wanted = np.diff(stamps[:-1][-len(times) :])
    assert np.diff(times) == pytest.approx(wanted, abs=0.002)


def test_a_server_that_comes_late_and_goes_is_connected_to_again(
    relay: RtspServer, caplog: pytest.LogCaptureFixture
) -> None:
    publish, play = ends(relay)
    relay.kill()
    with Player(play) as player, RtspSink(publish) as sink:
        feed = Feed(sink)
        feed.until(lambda: sink.frames_lost >= 10)
        assert sink.frames_written == 0
        relay.start()
        feed.until(lambda: len(player.frames) >= 10)
        lost = sink.frames_lost
        relay.kill()
        feed.until(lambda: sink.frames_lost > lost)
        relay.start()
        played = len(player.sessions)
        feed.until(lambda: len(player.sessions) > played and len(player.sessions[-1]) >= 10)
        assert sink.frames_written + sink.frames_lost == feed.index
    assert caplog.text.count("cannot publish") == 2
    assert caplog.text.count("publishing 64x48 after") == 2
    for session in player.sessions:
        assert all(before[0] < after[0] for before, after in pairwise(session))


def test_frames_of_another_size_start_a_new_session(relay: RtspServer, caplog: pytest.LogCaptureFixture) -> None:
    publish, play = ends(relay)
    with Player(play) as player, RtspSink(publish) as sink:
        feed = Feed(sink)
        feed.until(lambda: len(player.frames) >= 10)
        feed.until(lambda: player.frames[-1][1] == 128, height=96, width=128)
        feed.until(lambda: player.frames[-1][1] == 64, height=49, width=65)
    assert sink.frames_lost == 0
    assert "cannot publish" not in caplog.text


def test_a_server_that_hangs_costs_frames_and_holds_nothing_else_up(
    relay: RtspServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_rtsp_session, "TIMEOUT_SECONDS", 0.5)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    with Watch() as watch, RtspSink(ends(relay)[0], SinkOptions(crf=1)) as sink:
        sink.write(picture(0, height=480, width=640), KEPT)
        assert sink.frames_written == 1
        relay.freeze()
        index = 1
        while sink.frames_lost < 3:
            # As much as fits into what the kernel holds for a connection goes before anyone can tell.
            assert index < 500
            frame = Frame("cam", index, index / 10, array=np.roll(noise, 7 * index, 0))
            assert seconds_of(lambda frame=frame: sink.write(frame, KEPT)) < BLOCKED_SECONDS
            index += 1
        relay.thaw()
        feed = Feed(sink)
        written = sink.frames_written
        feed.until(lambda: sink.frames_written >= written + 5, height=480, width=640)
    assert watch.longest_seconds < 2.0


class Watch:
    """Tells the longest time for which other threads did not get to run."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(0.01):
            now = time.monotonic()
            self.longest_seconds, before = max(self.longest_seconds, now - before), now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)


def test_closing_tells_when_no_server_ever_took_a_frame(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rtsp_module, "RETRY_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG)
    files = open_files()
    sink = RtspSink(f"rtsp://joe:{quote(PASSWORD, safe='')}@127.0.0.1:{free_port()}/in")
    Feed(sink).until(lambda: caplog.text.count("cannot publish") >= 3)
    sink.write(picture(0), DROPPED)
    assert_nothing_shows(sink, caplog)
    with pytest.raises(OutputError, match=r"rtsp://\*\*\*@127.* never took a frame") as caught:
        sink.close()
    assert "hush" not in str(caught.value)
    sink.close()
    wait_until(lambda: open_files() <= files, what="no socket is left behind")


def test_a_sink_without_a_kept_frame_closes_quietly() -> None:
    with RtspSink(f"rtsp://127.0.0.1:{free_port()}/in") as sink:
        sink.write(picture(0), DROPPED)
    assert (sink.frames_written, sink.frames_lost) == (0, 0)


@pytest.mark.parametrize("way", [(), ("--digest",)])
def test_an_account_opens_an_rtsp_server_and_a_wrong_one_does_not(
    way: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    need_gstreamer()
    caplog.set_level(logging.DEBUG)
    with RtspServer("--relay", "--account", f"joe:{PASSWORD}", *way) as server:
        with RtspSink(f"rtsp://joe:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/in") as sink:
            Feed(sink).until(lambda: sink.frames_written >= 5)
        assert sink.frames_lost == 0
        assert_nothing_shows(sink, caplog)
        for account in ("joe:hush@", ""):
            sink = RtspSink(f"rtsp://{account}127.0.0.1:{server.port}/in")
            Feed(sink).until(lambda sink=sink: sink.frames_lost)
            with pytest.raises(OutputError, match="never took a frame"):
                sink.close()
    assert caplog.text.count("it answered 401 Unauthorized to ANNOUNCE") == 2
