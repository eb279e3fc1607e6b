"""Shadow mode, canaries and feedback on live streams, and what is served of them."""

import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.batch import Rules
from streamfilter.errors import ConfigError
from streamfilter.frame import Decision, Frame, Reason, StreamEvent
from streamfilter.metrics import StreamStatus
from streamfilter.policy import Policy
from streamfilter.scorer import Scorer
from streamfilter.serving import Server
from streamfilter.stream import _ranked_by
from streamfilter.stream_config import LiveSettings, StreamConfig
from streamfilter.streams import Streams
from tests.models import brightness_model
from tests.profiles import write_profile
from tests.test_streams import BRIGHT, DARK, LOST, SOUND, Camera, shot

FAST = 1000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


def half_dark(index: int, frames: int = 400) -> Frame | None:
    return shot(index, BRIGHT if index % 2 else DARK) if index < frames else None


def watched(model: Path, camera: Camera, config: StreamConfig, consumer: object = None, **settings: object) -> tuple:
    """Run one stream to its end; the summary, its last status, and what was told."""
    events: list[StreamEvent] = []
    streams = Streams(StreamFilter(model=str(model), device="cpu", **settings), on_event=events.append)
    wanted = consumer or (lambda streams, frame: None)
    streams.add(config, consumer=lambda frame: wanted(streams, frame), source=camera)
    stream = streams._streams[config.name]
    return streams.run(threading.Event()), stream.status(), events


def waiting(name: str, **policy: object) -> StreamConfig:
    """A stream that drops nothing for load, so that a busy machine changes nothing."""
    return StreamConfig(name, "rtsp://x/y", live=LiveSettings(backpressure="wait"), policy=policy)


def test_shadow_passes_all_that_have_pixels(model: Path) -> None:
    def pictures(index: int) -> Frame | None:
        damaged = shot(index, DARK, LOST if index % 10 else SOUND)
        return damaged if index < 200 else None

    got: list[int] = []
    camera = Camera("a", pictures, fps=FAST)
    summary, _, _ = watched(model, camera, waiting("a", shadow=True), lambda streams, frame: got.append(frame.index))
    assert summary.frames_kept == summary.frames_read == len(got) == 200
    assert set(summary.spared_by_reason) == {Reason.TAINTED, Reason.LOW_UTILITY}
    assert set(summary.kept_by_reason) <= {Reason.SHADOW, Reason.GAP_FLOOR}


def test_a_consumer_says_which_canaries_were_useful(model: Path) -> None:
    def detect(streams: Streams, frame: Frame) -> None:
        streams.feedback("gate", frame, useful=frame.index % 2 == 1 or frame.index % 40 == 0)

    camera = Camera("gate", half_dark, fps=FAST)
    summary, status, _ = watched(model, camera, waiting("gate"), detect, canary=0.5)
    trust = status.trust
    assert trust.counts["passed"] == summary.kept_by_reason[Reason.CANARY] == trust.canary.answered
    assert trust.canary.dropped == 200
    low, high = trust.canary.interval
    assert low <= 10 / 200 <= high
    assert (trust.canary.useful_kept, trust.canary.useful_kept_from) == (200, "feedback")
    assert sum(trust.counts[name] for name in ("unknown", "repeated", "contradicting")) == 0
    with pytest.raises(ConfigError, match="no stream barn"):
        Streams(StreamFilter(model=str(model), device="cpu")).feedback("barn", shot(0), useful=True)


def test_health_is_judged_by_what_frames_are_not_by_their_being_spared(model: Path) -> None:
    """A stream that comes damaged for good is unhealthy in shadow mode as well."""
    live = LiveSettings(backpressure="wait", unhealthy_seconds=0.3)
    config = StreamConfig("a", "rtsp://x/y", live=live, policy={"shadow": True})
    streams, stop, told = Streams(StreamFilter(model=str(model), device="cpu")), threading.Event(), threading.Event()
    streams._on_event = lambda event: told.set() if event.kind == "unhealthy" else None
    camera = Camera("a", lambda index: shot(index, BRIGHT, LOST), fps=100)
    streams.add(config, source=camera)
    streams._hear(StreamEvent("a", "playing", ""))
    thread = threading.Thread(target=lambda: streams.run(stop))
    thread.start()
    assert told.wait(30)
    stop.set()
    thread.join(30)


def minutes_apart(index: int) -> Frame | None:
    """Twenty frames a minute by the stream's own clock; after half an hour the camera goes dark."""
    if index >= 1600:
        return None
    frame = shot(index, BRIGHT if index < 600 and index % 2 else DARK)
    return Frame("cam", index, 3.0 * index, array=frame.array, arrived_seconds=frame.arrived_seconds, signs=SOUND)


def test_a_doubtful_bound_and_drifted_scores_are_told_and_served(model: Path, tmp_path: Path) -> None:
    digest = Scorer(str(model), "cpu").sha256
    quantiles = (*[0.078] * 10, *np.linspace(0.079, 0.9, 11))
    profile = write_profile(tmp_path / "p.toml", model_sha256=digest, scores={"detection": quantiles})
    settings = {"profile": str(profile), "canary": 0.5, "max_gap_seconds": 0.0}

    def detect(streams: Streams, frame: Frame) -> None:
        streams.feedback("gate", frame, useful=True)

    camera = Camera("gate", minutes_apart, fps=FAST)
    _, status, events = watched(model, camera, waiting("gate"), detect, **settings)
    kinds = [event.kind for event in events if event.kind in ("bound_doubtful", "bound_credible", "drifted", "settled")]
    assert set(kinds) == {"bound_doubtful", "drifted"}
    assert len(kinds) == 2
    assert status.state != "drifted"
    assert status.trust.is_credible is False
    text = scraped(status)
    canaries = status.trust.counts["passed"]
    assert canaries > 300
    assert f'streamfilter_canaries_total{{stream="gate"}} {float(canaries)}' in text
    assert f'streamfilter_canaries_answered_total{{stream="gate"}} {float(canaries)}' in text
    assert f'streamfilter_canaries_wrongful_total{{stream="gate"}} {float(canaries)}' in text
    assert 'streamfilter_wrongful_drop_rate{end="estimate",stream="gate"} 1.0' in text
    assert 'streamfilter_score_drift{stream="gate",task="detection"} 0.' in text
    assert 'streamfilter_bound_credible{stream="gate"} 0.0' in text
    assert 'streamfilter_frames_total{kept="true",reason="canary",stream="gate"}' in text


def scraped(status: StreamStatus) -> str:
    with Server(lambda: [status], 0) as server:
        return urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=10).read().decode()


def test_without_answers_or_profile_nothing_is_claimed(model: Path) -> None:
    _, status, _ = watched(model, Camera("gate", half_dark, fps=FAST), waiting("gate"))
    text = scraped(status)
    assert 'streamfilter_canaries_total{stream="gate"} 0.0' in text
    assert "streamfilter_wrongful_drop_rate{" not in text
    assert "streamfilter_bound_credible{" not in text
    assert not status.trust.has_answers


def test_a_busy_consumer_gets_canaries_before_all_else() -> None:
    """Under `priority` the most useful frame goes first; canaries outranked each time would be no fair draw."""
    rank = _ranked_by(Rules(Policy({"detection": 0.5})))
    useful = Decision(True, Reason.USEFUL, {"detection": 0.99})
    canary, shadow = (
        replace(useful, reason=reason, utility={"detection": 0.1}) for reason in (Reason.CANARY, Reason.SHADOW)
    )
    assert rank(canary) > rank(useful) > rank(shadow)
