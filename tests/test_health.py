"""Camera health: conditions and a clock in, events out; through the filter, the streams, the metrics and the CLI."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from streamfilter.filter import StreamFilter
from streamfilter.frame import Cause, Frame
from streamfilter.health import Condition, HealthRules, HealthState, Look, advance, changes, is_due, with_keyframe
from streamfilter.metrics import StreamMeter, Summary
from streamfilter.stream_config import StreamConfig
from streamfilter.streams import Streams
from tests.media import RGB, photograph, write_video
from tests.models import brightness_model

RULES = HealthRules(trouble_seconds=5, clear_seconds=3, frozen_seconds=8)
SEED = np.random.default_rng(3)


def look(bright: float = 200, detail: float = 8, structure: float = 10, picture: int | None = None) -> Look:
    """A look; each shows another picture unless `picture` says which."""
    random = np.random.default_rng(SEED.integers(2**31) if picture is None else picture)
    return Look(bright, detail, structure, random.integers(0, 256, (2, 16, 16)).astype(np.uint8))


FINE, DARK = {}, {"bright": 20}
COVERED, BLURRED = {"detail": 1, "structure": 1}, {"detail": 2}


def told(
    plan: Iterable[tuple[float, dict[str, object]]], rules: HealthRules = RULES, keyframes: bool = True
) -> list[tuple[float, str]]:
    """(time, kind) of all events of looks at these times."""
    state, found = HealthState(), []
    for clock, shown in plan:
        if keyframes:
            state = with_keyframe(state)
        after = advance(rules, state, look(**shown), clock)
        found += [(clock, kind) for kind, _ in changes(state, after)]
        state = after
    return found


def spans(*parts: tuple[int, dict[str, object]]) -> list[tuple[float, dict[str, object]]]:
    """A look a second: so many of each."""
    shown = [one for count, one in parts for _ in range(count)]
    return list(enumerate(shown))


@pytest.mark.parametrize(
    ("trouble", "kind"), [(DARK, "camera_dark"), (COVERED, "camera_covered"), (BLURRED, "camera_defocused")]
)
def test_a_condition_opens_after_its_time_and_closes_after_the_other(trouble, kind):
    assert told(spans((20, FINE), (12, trouble), (10, FINE))) == [(25, kind), (35, "camera_ok")]


@pytest.mark.parametrize("trouble", [DARK, COVERED, BLURRED])
def test_what_comes_and_goes_opens_nothing(trouble):
    assert told(spans((20, FINE), *[(4, trouble), (1, FINE)] * 10)) == []


def test_a_short_break_does_not_close():
    assert told(spans((20, FINE), (8, DARK), (2, FINE), (8, DARK))) == [(25, "camera_dark")]


def test_dark_needs_no_past_and_the_others_do():
    assert told(spans((8, DARK))) == [(5, "camera_dark")]
    assert told(spans((30, COVERED))) == told(spans((30, BLURRED))) == []
    assert told(spans((1, FINE), (30, COVERED))) == []


def test_the_past_is_kept_while_something_is_wrong():
    assert told(spans((20, FINE), (2000, BLURRED), (5, FINE))) == [(25, "camera_defocused"), (2023, "camera_ok")]


def test_a_slow_change_becomes_the_past():
    fading = [(second, {"detail": 8 * 0.999**second}) for second in range(3000)]
    assert told(fading) == []


def test_a_dark_picture_is_not_called_covered_as_well():
    assert told(spans((20, FINE), (10, {**DARK, **COVERED}))) == [(25, "camera_dark")]


def test_the_same_picture_is_frozen_once_a_keyframe_came():
    same = {"picture": 1}
    assert told(spans((20, FINE), (20, same), (10, FINE))) == [(28, "camera_frozen"), (43, "camera_ok")]
    assert told(spans((20, FINE), (60, same)), keyframes=False) == []


def test_what_still_holds_is_told_again_when_the_other_is_over():
    plan = spans((20, {}), (10, {"picture": 1, **DARK}), (10, {"picture": 1}), (10, {}))
    kinds = [kind for _, kind in told(plan)]
    assert kinds == ["camera_dark", "camera_frozen", "camera_frozen", "camera_ok"]


@pytest.mark.parametrize("jump", [-100, 3600])
def test_a_clock_that_jumps_begins_every_wait_anew(jump):
    before = spans((20, FINE), (4, DARK))
    after = [(24 + jump + second, DARK) for second in range(8)]
    assert told([*before, *after]) == [(24 + jump + 5, "camera_dark")]


def test_a_clock_that_jumps_leaves_open_what_is_open():
    before = spans((20, FINE), (10, DARK))
    after = [(5 + second, FINE) for second in range(6)]
    assert told([*before, *after]) == [(25, "camera_dark"), (8, "camera_ok")]


def test_a_slow_stream_is_judged_as_well():
    assert told([(30.0 * number, DARK) for number in range(3)]) == [(30, "camera_dark")]


def test_nothing_is_told_where_the_time_is_zero():
    off = HealthRules(0, 3, 0)
    assert told(spans((20, FINE), (100, {**DARK, "picture": 1})), off) == []
    assert not is_due(off, HealthState(), 5.0)
    assert told(spans((20, FINE), (100, {"picture": 1})), HealthRules(5, 3, 0)) == []


def test_looks_are_a_second_apart_and_need_a_clock():
    state = advance(RULES, HealthState(), look(), 10.0)
    assert is_due(RULES, HealthState(), 0.0)
    assert [is_due(RULES, state, clock) for clock in (10.5, 11.0, 9.0, None)] == [False, True, True, False]


def noisy(rgb: RGB, seed: int) -> RGB:
    return np.clip(rgb + np.random.default_rng(seed).normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


BRIGHT = np.maximum(photograph(96, 128), 60)
QUICK = ["camera_seconds = 2", "camera_clear_seconds = 1", "camera_frozen_seconds = 3"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx")


def clip(path: Path, parts: list[tuple[float, RGB | None]]) -> Path:
    """A camera at 5 frames a second with noise of its own in each; a picture given is frozen, or hides the lens."""
    pictures = []
    for seconds, shown in parts:
        for _ in range(round(5 * seconds)):
            pictures.append(noisy(BRIGHT, len(pictures)) if shown is None else shown)
    return write_video(path, pictures, fps=5, options={"g": "5", "crf": "20"})


def filtered(tmp_path: Path, model: Path, source: Path, *more: object) -> tuple[list[dict[str, object]], str]:
    """The records and the words of the real command."""
    settings = tmp_path / "quick.toml"
    settings.write_text("\n".join(QUICK))
    command = [sys.executable, "-m", "streamfilter", "run", source, "--model", model, "--records", "-"]
    command += ["--config", settings, *more]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_the_command_tells_of_a_frozen_camera(tmp_path, model):
    source = clip(tmp_path / "frozen.mp4", [(4, None), (8, noisy(BRIGHT, 5)), (4, None)])
    records, words = filtered(tmp_path, model, source, "--threshold", "1", "--max-gap", "0")
    assert words.count("camera_frozen") == 2  # where it happened, and in the sum
    assert "frozen.mp4: camera_ok (no longer frozen; frame" in words
    causes = [record.get("cause") for record in records]
    assert set(causes[45:55]) == {"frozen"}
    assert "frozen" not in causes[:20] + causes[70:]


def test_the_command_tells_of_a_covered_camera(tmp_path, model):
    source = clip(tmp_path / "covered.mp4", [(14, None), (6, np.full_like(BRIGHT, 90))])
    records, words = filtered(tmp_path, model, source, "--threshold", "1", "--max-gap", "0")
    assert "camera_covered (hardly any structure is left anywhere; frame" in words
    assert ", camera_covered 1" in words.splitlines()[-1]
    assert records[-1]["cause"] == "covered"
    assert "covered" not in [record.get("cause") for record in records[:70]]


def test_a_still_scene_is_not_frozen(tmp_path, model):
    records, words = filtered(tmp_path, model, clip(tmp_path / "still.mp4", [(12, None)]))
    assert "camera_" not in words
    assert len(records) == 60


def test_live_streams_tell_status_and_metrics(tmp_path, model):
    from prometheus_client import CollectorRegistry, generate_latest

    from streamfilter.serving import Server

    source = clip(tmp_path / "dark.mp4", [(1, None), (6, BRIGHT // 12)])
    events, statuses = [], []
    streams = Streams(StreamFilter(model=str(model), device="cpu"), on_event=events.append)
    quick = {"camera_seconds": 2.0, "camera_clear_seconds": 1.0, "camera_frozen_seconds": 0.0}
    # The consumer of a frame passed for nothing else looks at how the stream is then.
    config = StreamConfig("gate", str(source), policy={**quick, "max_gap_seconds": 0.1})
    streams.add(config, consumer=lambda frame: statuses.extend(streams.statuses()))
    summary = streams.run(threading.Event())
    assert [event.kind for event in events if event.kind.startswith("camera_")] == ["camera_dark"]
    assert summary.camera_events == {"camera_dark": 1}
    assert all(status.state != "camera_dark" for status in statuses)
    assert statuses[-1].camera == ("dark",)
    registry = CollectorRegistry()
    with Server(lambda: statuses[-1:], 0) as server:
        registry.register(server_collector(server))
        assert server.health()["streams"]["gate"]["camera"] == ["dark"]
    text = generate_latest(registry).decode()
    assert 'streamfilter_camera_health{condition="dark",stream="gate"} 1.0' in text
    assert 'streamfilter_camera_health{condition="frozen",stream="gate"} 0.0' in text


def server_collector(server: object) -> object:
    from streamfilter.serving import _Collector

    return _Collector(server._statuses)


def test_camera_events_leave_the_streams_state_alone():
    from streamfilter.frame import StreamEvent

    meter, summary = StreamMeter("gate", "rtsp://x"), Summary()
    for kind in ("playing", "camera_dark", "camera_ok"):
        meter.heard(StreamEvent("gate", kind, ""))
        summary.hear(StreamEvent("gate", kind, ""))
    assert meter.state == "playing"
    assert summary.as_dict()["camera_events"] == {"camera_dark": 1}


def test_a_cause_serves_for_a_moment_and_not_across_a_useful_frame(model):
    stream_filter = StreamFilter(model=str(model), device="cpu", max_gap_seconds=0, camera_seconds=0)
    dark, noise = BRIGHT // 24, noisy(BRIGHT // 4, 1)
    noise = np.clip(noise + np.random.default_rng(0).normal(0, 60, noise.shape), 0, 255).astype(np.uint8)
    white = np.full_like(BRIGHT, 255)
    shown = [(0.0, dark), (0.1, noise), (0.5, noise), (0.6, white), (0.65, dark)]
    frames = [Frame("x", place, seconds, array=rgb) for place, (seconds, rgb) in enumerate(shown)]
    decisions, _ = stream_filter.decide(frames, stream_filter.new_state())
    assert [one.cause for one in decisions] == [Cause.DARK, Cause.DARK, Cause.NOISE, None, Cause.DARK]


def test_conditions_name_their_metrics():
    assert [str(condition) for condition in Condition] == ["dark", "covered", "defocused", "frozen"]
