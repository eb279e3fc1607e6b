"""Live sources that cannot be had: no such protocol, no such device, no such decoder; one line, and no second try."""

import ctypes
import itertools
import os
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace

import av
import pytest

from streamfilter.address import mask
from streamfilter.sources import LiveSource, live
from streamfilter.stream_config import LiveSettings
from tests.live_reader import HASTY, Reader
from tests.live_servers import RtspServer, free_port, need_gstreamer

NOBODY = 65534


def refused(uri: str, settings: LiveSettings = HASTY) -> str:
    """What a source says that gives up at its first try."""
    events = []
    with closing(LiveSource(uri, settings, on_event=events.append)) as source:
        assert list(source) == []
    assert [event.kind for event in events] == ["connecting", "failed"], events
    assert source.failure is not None
    assert "\n" not in source.failure
    return source.failure


def test_srt_is_not_in_this_ffmpeg_and_that_is_told():
    told = refused(f"srt://127.0.0.1:{free_port()}?mode=caller&passphrase=geheimnis")
    assert "passphrase=*** cannot be read: the FFmpeg of this PyAV" in told
    assert "has no srt://; let a media server pass the stream on as rtsp://" in told
    assert "geheimnis" not in told


@pytest.mark.parametrize("address", ["/dev/video9", "v4l2:///dev/video9"])
def test_a_missing_camera_is_waited_for(address):
    with Reader(address, HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert reader.kinds == ["connecting", "waiting", "connecting", "waiting", "connecting", "failed"]
    assert reader.detail("waiting").startswith("there is no camera /dev/video9; plug it in or check the name (devices")


def test_what_is_no_camera_is_told(tmp_path):
    plain = tmp_path / "video0"
    plain.write_bytes(b"no camera")
    for path in (plain, tmp_path, "/dev/null"):
        assert f"{path} is no V4L2 device (" in refused(f"v4l2://{path}")


def test_a_device_without_permission_is_told():
    master, slave = os.openpty()
    path = os.ttyname(slave)
    os.chmod(path, 0)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        told = refused(f"v4l2://{path}")
    finally:
        if is_root:
            os.seteuid(0)
        os.close(master)
        os.close(slave)
    assert told == f"no permission to open {path}; add the user to the group of the device, often video"


def has_cuda() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_cuda(), reason="this machine has CUDA")
def test_hardware_that_is_not_there_is_refused_before_anything_is_connected_to():
    told = refused("rtsp://no-such-host.invalid/x", LiveSettings(decoder="cuda"))
    assert told.startswith("decoder cuda cannot be had here (Cannot load libcuda.so.1); for h264 there are h264, ")


@pytest.mark.parametrize(
    ("decoder", "told"),
    [
        ("d3d11va", "this FFmpeg has no decoder 'd3d11va' built in; for h264 there are h264, "),
        ("h265", "this FFmpeg has no decoder 'h265'; for h264 there are h264, "),
        ("libx264", "this FFmpeg has no decoder 'libx264'; for h264 there are h264, "),
        ("aac", "this FFmpeg has no decoder 'aac'; for h264 there are h264, "),
    ],
)
def test_a_decoder_that_ffmpeg_has_not_is_refused_before_anything_is_connected_to(decoder, told):
    assert refused("rtsp://no-such-host.invalid/x", LiveSettings(decoder=decoder)).startswith(told)


def test_a_decoder_by_name_decodes_and_one_of_another_codec_is_refused():
    need_gstreamer()
    with RtspServer() as server:
        with Reader(server.url, LiveSettings(decoder="h264")) as reader:
            reader.until_frames(30)
            times = [frame.pts_seconds for frame in reader.frames]
        assert times == sorted(set(times))
        assert reader.frames[0].rgb.shape == (240, 320, 3)
        assert reader.detail("connected") == "h264 320x240"
    # One of its own, so that the end of the stream before cannot meddle.
    with RtspServer() as server:
        told = refused(server.url, LiveSettings(decoder="hevc"))
        assert told.startswith(f"decoder hevc does not decode {server.url}, which is h264; for h264 there are h264, ")


@pytest.mark.skipif(has_cuda(), reason="this machine has CUDA")
def test_a_decoder_by_name_without_its_driver_is_refused():
    need_gstreamer()
    with RtspServer() as server:
        told = refused(server.url, LiveSettings(decoder="h264_cuvid"))
    assert told.startswith(f"decoder h264_cuvid cannot be had here for {server.url} (Cannot load libnvcuvid.so.1); for")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtmp://host:1935/live/key", "rtmp://host:1935/live/***"),
        ("rtmps://user:password@host/app/instance/key?x=1", "rtmps://***@host/app/***"),
        ("rtmp://host//key", "rtmp://host//***"),
        ("RTMP://host/live/key", "RTMP://host/live/***"),
        ("rtmp://host/live", "rtmp://host/live"),
        ("srt://host:9?passphrase=secret&latency=200", "srt://host:9?passphrase=***&latency=200"),
        ("srt://host:9?mode=caller&streamid=publish:secret", "srt://host:9?mode=caller&streamid=***"),
        ("https://host/live.m3u8?X-Amz-Signature=secret&x=1", "https://host/live.m3u8?X-Amz-Signature=***&x=1"),
        ("rtsp://host/user=admin_password=secret_channel=1.sdp", "rtsp://host/user=admin_password=***"),
        ("rtsp://host/a?size=2&monitor=1", "rtsp://host/a?size=2&monitor=1"),
        ("/data/key=a/clip.mp4", "/data/key=a/clip.mp4"),
        ("/data/a@b: c.mp4", "/data/a@b: c.mp4"),
        ("rtsp://user:p@ss/wo rd@host:554/x", "rtsp://***@host:554/x"),
        ("rtsp://user:pass\nword@host/x", "rtsp://***@host/x"),
        ("rtsp://user:a://b@host/x", "rtsp://***@host/x"),
        ("rtsp://host:554/x", "rtsp://host:554/x"),
        ("rtsp:/user:secret@host/x", "***@host/x"),
        ("rtsp//user:se/cret@host", "rtsp//***@host"),
        ("user:secret@host/x", "***@host/x"),
    ],
)
def test_secrets_of_an_address_are_masked_alone_and_in_a_sentence(address, shown):
    assert mask(address) == shown
    assert mask(mask(address)) == shown
    assert mask(f"cannot open {address} (see '{address}'); try again") == (
        f"cannot open {shown} (see '{shown}'); try again"
    )


def decoding_by(decode: Callable[[av.Packet], list[av.VideoFrame]]) -> Callable[..., SimpleNamespace]:
    """What connects to a stream of ten packets that are decoded like this."""

    def connect(*_: object) -> SimpleNamespace:
        packets = iter([av.Packet(b"packet")] * 10)
        container = SimpleNamespace(demux=lambda stream: packets, close=lambda: None)
        stream = SimpleNamespace(codec_context=SimpleNamespace(width=64, height=48), sample_aspect_ratio=None)
        decoder = SimpleNamespace(name="h264", decode=decode)
        return SimpleNamespace(
            container=container, stream=stream, decoder=decoder, is_playlist=False, is_complete=False
        )

    return connect


def without_its_library(packet: av.Packet) -> list[av.VideoFrame]:
    for line in ("Cannot load libnvcuvid.so.1\n", "Failed setup for format cuda: hwaccel initialisation\n"):
        av.logging.log(av.logging.ERROR, "h264", line)
    raise av.error.InvalidDataError(1094995529, "Invalid data")


def test_hardware_that_fails_at_the_first_frame_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(live, "connect", decoding_by(without_its_library))
    source = LiveSource("http://host/x", LiveSettings(decoder="cuda", backoff_seconds=0.01, max_reconnects=3))
    assert list(source) == []
    assert source.failure is not None
    assert source.failure.startswith("decoder cuda cannot decode http://host/x here (Cannot load libnvcuvid.so.1); for")


def test_hardware_that_fails_after_it_has_played_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    frames = [[av.VideoFrame(64, 48)]]

    def decode(packet: av.Packet) -> list[av.VideoFrame]:
        return frames.pop() if frames else without_its_library(packet)

    monkeypatch.setattr(live, "connect", decoding_by(decode))
    source = LiveSource("http://host/x", LiveSettings(decoder="cuda", backoff_seconds=0.01))
    assert [frame.is_readable for frame in itertools.islice(source, 12)] == [True, *[False] * 11]
    assert source.failure is None
    assert source.reconnects == 1
