"""The TOML of streams: what it may say, and that all mistakes are told at once."""

from pathlib import Path

import pytest

from streamfilter.config import Settings
from streamfilter.errors import ConfigError
from streamfilter.stream_config import LiveSettings, StreamConfig, names_for, read_streams

GOOD = """
model = "utility-nano"
threshold = 0.4

[live]
staleness_seconds = 0.3
transport = "tcp"

[[stream]]
name = "gate"
uri = "rtsp://user:secret@gate/stream"
out = ["mqtt://broker/gate", "kept/"]
records = "gate.jsonl"

[[stream]]
uri = "rtsp://10.0.0.7:554/live"
threshold = 0.6
transport = "udp"
"""


def write(tmp_path, text):
    path = tmp_path / "streams.toml"
    path.write_text(text)
    return path


def test_streams_share_what_they_do_not_say_themselves(tmp_path):
    settings, (gate, other) = read_streams(write(tmp_path, GOOD))
    assert settings == Settings(model="utility-nano", threshold=0.4)
    assert gate == StreamConfig(
        "gate", "rtsp://user:secret@gate/stream", ("mqtt://broker/gate", "kept/"), "gate.jsonl",
        LiveSettings(staleness_seconds=0.3, transport="tcp"),
    )  # fmt: skip
    assert other.name == "10.0.0.7-554"
    assert other.live == LiveSettings(staleness_seconds=0.3, transport="udp")
    assert other.policy == {"threshold": 0.6}


def test_where_the_model_runs_is_shared_by_all_streams(tmp_path):
    settings, _ = read_streams(write(tmp_path, 'device = "tensorrt"\nprecision = "fp16"\n' + GOOD))
    assert (settings.device, settings.precision) == ("tensorrt", "fp16")
    with pytest.raises(ConfigError, match=r"stream gate: unknown precision \(known"):
        read_streams(write(tmp_path, GOOD.replace('name = "gate"', 'name = "gate"\nprecision = "fp16"')))


def test_all_mistakes_are_told_at_once(tmp_path):
    text = GOOD.replace("threshold = 0.4", "threshold = 4").replace('"udp"', '"smoke"').replace("records", "record")
    with pytest.raises(ConfigError) as caught:
        read_streams(write(tmp_path, text))
    message = str(caught.value)
    assert "has 3 mistakes" in message
    assert "settings: threshold is 4, expected a number from 0 to 1" in message
    assert "stream gate: unknown record (known: name, uri, out, records" in message
    assert "transport is 'smoke', expected one of auto, tcp, udp" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("threshold = 0.5", r"has 1 mistake: it has no \[\[stream\]\]"),
        ("[[stream]]", "uri is '', expected an address"),
        ("stream = 3", r"streams are \[\[stream\]\] tables"),
        ("stream = [3]", "stream 1 is no table"),
        ('[[stream]]\nuri = "a"\nout = 5', "out is 5, expected a list of targets"),
        ('[[stream]]\nuri = "a"\nname = "b"\n[[stream]]\nuri = "c"\nname = "b"', "two streams are named b"),
        ('[[stream]]\nuri = "a"\nname = "no way"', "name is 'no way', expected letters"),
        ('[live]\nstall_seconds = 0\n[[stream]]\nuri = "a"', "live: stall_seconds is 0, expected a number from 0.1"),
        ("[[stream]\n", "is not TOML"),
    ],
)
def test_bad_files_are_refused_with_a_reason(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        read_streams(write(tmp_path, text))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none\.toml"):
        read_streams(tmp_path / "none.toml")


def test_inputs_of_a_command_line_get_names_of_their_own():
    uris = ["rtsp://a:b@cam1/x", "rtsp://cam1/y", "rtsp://cam1:554/z", "/data/clip one.mp4", "/dev/video0"]
    assert names_for(uris) == ["cam1", "cam1-2", "cam1-554", "clip-one", "video0"]


def test_names_are_unique_short_and_hold_no_password():
    assert names_for(["cam-2.mp4", "cam.mp4", "a/cam.mp4", "rtsp://cam-2/x"]) == ["cam-2", "cam", "cam-3", "cam-2-2"]
    assert names_for(["rtsp://cam-2/x", "rtsp://cam/y", "rtsp://cam/z"]) == ["cam-2", "cam", "cam-3"]
    secret = [
        "rtsp://user:p@ssSECRET@host/x",
        "rtsp://user:SECRETa/b@host",
        "rtsp//user:SECRET@host",
        "rtsp://SECRET@h",
    ]
    assert names_for(secret) == ["host", "host-2", "host-3", "h"]
    long = names_for(["x" * 120 + ".mp4", "x" * 110 + ".mp4"])
    assert long == ["x" * 100, "x" * 98 + "-2"]


def test_a_stream_tells_all_its_mistakes_and_no_password(tmp_path):
    text = """
threshold = 0.4
[[stream]]
name = "a b"
uri = ""
records = 7
profile = "p.toml"
queue_frames = 0
[[stream]]
name = "list"
uri = ["rtsp://user:SECRET@host/a"]
out = ["mqtt://user:SECRET@broker/x", 5]
"""
    with pytest.raises(ConfigError) as caught:
        read_streams(write(tmp_path, text))
    message = str(caught.value)
    assert "has 7 mistakes" in message
    for told in ("name is 'a b'", "uri is ''", "records is 7, expected a file", "a profile brings its own, give one",
                 "queue_frames is 0", "uri is ['rtsp://***@host/a']", "out is ('mqtt://***@broker/x', 5)"):  # fmt: skip
        assert told in message
    assert "SECRET" not in message


@pytest.mark.parametrize("name", ["transport", "backpressure", "max_reconnects", "taint_threshold", "decoder"])
def test_live_settings_are_checked(name):
    with pytest.raises(ConfigError, match=f"{name} is -7"):
        LiveSettings(**{name: -7})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"out": "rtsp://user:SECRET@host/a"}, "out is 'rtsp://***@host/a', expected a list of targets"),
        ({"out": (Path("kept.mp4"),)}, "expected a list of targets"),
        ({"live": {"stall_seconds": 2}}, "expected LiveSettings"),
        ({"policy": {"device": "cuda"}}, "policy is {'device': 'cuda'}, expected some of threshold, "),
        ({"policy": None}, "policy is None, expected some of threshold, "),
    ],
)
def test_a_stream_made_by_hand_is_checked(wrong, told):
    with pytest.raises(ConfigError) as caught:
        StreamConfig("gate", "rtsp://gate/stream", **wrong)
    assert told in str(caught.value)
