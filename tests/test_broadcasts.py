"""Live streams other than RTSP from real broadcasters: RTMP by nginx, HLS and MPEG-TS by GStreamer."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from streamfilter.stream_config import LiveSettings
from tests.broadcast_servers import (
    HlsServer,
    RtmpServer,
    need_broadcaster,
    need_rtmp,
    rtp_publisher,
    udp_publisher,
)
from tests.live_reader import HASTY, QUICK, Reader, check_hang, check_restarts
from tests.live_servers import Server, free_port

KEY = "h0nigbrot"


@contextmanager
def broadcast(kind: str) -> Iterator[tuple[str, Server]]:
    """A stream that runs: its address, and what serves it."""
    need_rtmp() if "rtmp" in kind else need_broadcaster()
    port = free_port()
    server = {
        "rtmp": lambda: RtmpServer(key=KEY),
        "rtmp with audio": lambda: RtmpServer("--audio", key=KEY),
        "hls": HlsServer,
        "udp": lambda: udp_publisher(port),
        "rtp": lambda: rtp_publisher(port),
    }[kind]()
    with server:
        yield getattr(server, "url", f"{kind}://127.0.0.1:{port}"), server


@pytest.mark.parametrize("kind", ["rtmp", "rtmp with audio", "hls", "udp", "rtp"])
def test_frames_come_with_a_clock_and_signs_of_soundness(kind):
    with broadcast(kind) as (address, _), Reader(address) as reader:
        reader.until_frames(60)
        frames = reader.frames[:60]
    times = [frame.pts_seconds for frame in frames]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert np.median(np.diff(times)) == pytest.approx(0.04, abs=0.005)
    first = next(index for index, frame in enumerate(frames) if frame.signs.is_keyframe)
    assert first <= 25
    assert not any(frame.signs.gap or frame.signs.errors or frame.signs.concealed_share for frame in frames[first:])
    assert frames[-1].rgb.shape == (240, 320, 3)
    assert {frame.signs.connection for frame in frames} == {0}
    assert reader.kinds == ["connecting", "connected", "playing", "closed"]


@pytest.mark.parametrize("kind", ["rtmp", "hls"])
def test_a_killed_server_is_connected_to_again_and_nothing_is_left_behind(kind):
    with broadcast(kind) as (address, server), Reader(address) as reader:
        check_restarts(reader, server, outages=2)


@pytest.mark.parametrize("kind", ["rtmp", "hls", "udp"])
def test_a_broadcaster_that_hangs_is_noticed(kind):
    with broadcast(kind) as (address, server), Reader(address) as reader:
        check_hang(reader, server)


def test_audio_that_runs_ahead_of_the_first_keyframe_is_not_taken_for_all_there_is():
    need_rtmp()
    with RtmpServer("--audio", "--gop", "100") as server:
        for _ in range(2):
            with Reader(server.url, HASTY_BUT_PATIENT) as reader:
                reader.until_frames(5)
            assert reader.kinds == ["connecting", "connected", "playing", "closed"]


HASTY_BUT_PATIENT = LiveSettings(open_timeout_seconds=10, max_reconnects=0)


def test_a_stream_key_is_never_told(caplog):
    caplog.set_level("DEBUG")
    told = []
    with broadcast("rtmp") as (address, server), Reader(address, HASTY) as reader:
        reader.until_frames(5)
        told += [reader.source.name, repr(reader.frames[0])]
        server.kill()
        reader.until(lambda: not reader.thread.is_alive(), "the end")
        told += [str(reader.events), str(reader.source.failure), caplog.text]
    assert f"rtmp://127.0.0.1:{server.port}/live/*** refuses the connection" in reader.source.failure
    assert KEY not in "".join(told)


def test_a_key_nobody_publishes_under_is_given_up_after_the_time_for_a_connect():
    with broadcast("rtmp") as (address, _), Reader(address + "s", HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert "/live/*** did not answer within 1 s" in reader.source.failure
    assert not reader.frames


def test_a_broadcast_that_is_over_is_not_shown_again_and_the_next_one_is():
    with broadcast("hls") as (address, server), Reader(address) as reader:
        reader.until_frames(10)
        server.end_broadcast()
        reader.until(lambda: sum("is over" in event.detail for event in reader.events) >= 3, "the end noticed")
        assert "#EXT-X-ENDLIST" in server.playlist
        before = len(reader.frames)
        server.restart_packager()
        reader.until_frames(before + 25)
        assert {frame.signs.connection for frame in reader.frames[:before]} == {0}
        assert {frame.signs.connection for frame in reader.frames[before:]} == {1}


def test_a_packager_that_starts_anew_behind_its_web_server_goes_on():
    with broadcast("hls") as (address, server), Reader(address, QUICK) as reader:
        reader.until_frames(50)
        before = len(reader.frames)
        server.restart_packager()
        reader.until_frames(before + 100)
        times = [frame.pts_seconds for frame in reader.frames]
    assert times == sorted(set(times))


def test_of_several_sizes_the_largest_is_read_and_the_others_are_not_fetched():
    need_broadcaster()
    with HlsServer("--small") as server, Reader(server.url) as reader:
        reader.until_frames(10)
        begun = len(server.requests)
        reader.until_frames(100)
        later = server.requests[begun:]
    assert {frame.size_hw for frame in reader.frames} == {(240, 320)}
    assert [path for path in later if path.startswith("/live-")]
    assert not [path for path in later if path.startswith("/small")]
