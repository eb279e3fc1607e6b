"""Live streams from real servers: what flows, what breaks, and that it comes back."""

import http.server
import itertools
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import cv2
import numpy as np
import pytest

from streamfilter.stream_config import LiveSettings
from tests.live_reader import HASTY, Reader, check_hang, check_restarts
from tests.live_servers import RtspServer, free_port, need_gstreamer
from tests.media import moving_pictures, write_video


def test_frames_come_with_a_clock_and_signs_of_soundness():
    need_gstreamer()
    with RtspServer("--gop", "10") as server, Reader(server.url) as reader:
        reader.until_frames(40)
        frames = reader.frames[:40]
    assert [frame.index for frame in frames] == list(range(40))
    times = [frame.pts_seconds for frame in frames]
    assert times[0] == 0
    assert times == sorted(set(times))
    assert np.median(np.diff(times)) == pytest.approx(0.04, abs=0.005)
    keys = [frame.index for frame in frames if frame.signs.is_keyframe]
    assert keys[0] == 0
    assert set(np.diff(keys)) == {10}
    assert not any(frame.signs.gap or frame.signs.errors or frame.signs.concealed_share for frame in frames)
    assert frames[0].rgb.shape == (240, 320, 3)
    assert reader.kinds[:3] == ["connecting", "connected", "playing"]
    assert reader.kinds[-1] == "closed"


@pytest.mark.parametrize("codec", ["h265", "mjpeg", "vp8"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_other_codecs_play_too(codec, transport):
    need_gstreamer()
    settings = LiveSettings(transport=transport)
    with RtspServer("--codec", codec) as server, Reader(server.url, settings) as reader:
        reader.until_frames(5)


def test_a_killed_server_is_connected_to_again_and_nothing_is_left_behind():
    need_gstreamer()
    with RtspServer("--gop", "10") as server, Reader(server.url) as reader:
        check_restarts(reader, server, outages=3)


def test_a_server_that_hangs_is_noticed():
    need_gstreamer()
    with RtspServer() as server, Reader(server.url) as reader:
        check_hang(reader, server)


def test_another_picture_size_goes_on():
    need_gstreamer()
    port = free_port()
    with Reader(f"rtsp://127.0.0.1:{port}/cam") as reader:
        for size in ("320x240", "640x360"):
            with RtspServer("--size", size, port=port):
                width, height = map(int, size.split("x"))
                reader.until(
                    lambda size=(height, width): any(one.is_readable and one.size_hw == size for one in reader.frames),
                    size,
                )


def test_a_wrong_password_fails_at_once_and_is_not_told():
    need_gstreamer()
    with RtspServer("--account", "me:right") as server:
        right = server.url.replace("//", "//me:right@")
        with Reader(right) as reader:
            reader.until_frames(3)
        with Reader(right.replace("right", "wr0ng")) as reader:
            reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert reader.kinds == ["connecting", "failed"]
    assert (
        reader.source.failure
        == f"rtsp://***@127.0.0.1:{server.port}/cam refuses the user or password (401/403); check them"
    )
    assert "wr0ng" not in str(reader.events)


def test_a_missing_path_is_told():
    need_gstreamer()
    with RtspServer() as server, Reader(server.url + "era", HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert "is not there (404); check the path" in str(reader.source.failure)


@pytest.mark.parametrize(
    ("host", "told"),
    [("127.0.0.1", "refuses the connection; check that the server runs"), ("no-such-host.invalid", "resolve hostname")],
)
def test_an_address_without_server_is_tried_so_often_and_given_up(host, told):
    with Reader(f"rtsp://me:secret@{host}:{free_port()}/cam", HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert told in str(reader.source.failure)
    assert "given up after 2 reconnects" in str(reader.source.failure)
    assert reader.kinds == ["connecting", "waiting", "connecting", "waiting", "connecting", "failed"]
    assert "secret" not in str(reader.events)


def test_waiting_for_a_first_connect_can_be_cancelled():
    with Reader(f"rtsp://127.0.0.1:{free_port()}/cam", LiveSettings(backoff_seconds=200)) as reader:
        reader.until(lambda: "waiting" in reader.kinds, "the pause")
        started = time.monotonic()
    assert time.monotonic() - started < 5


@contextmanager
def tcp_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does something with each connection; gives its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                talk(self.request)

    class Tcp(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads = True, True

    with Tcp(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def rtsp_until_play(connection: socket.socket, sdp: str) -> bool:
    """Answer as an RTSP server up to PLAY; whether it came to that."""
    with closing(connection.makefile("rb")) as requests:
        while request := requests.readline().decode():
            sequence = "0"
            while (line := requests.readline().decode().strip()) != "":
                if line.lower().startswith("cseq:"):
                    sequence = line.partition(":")[2].strip()
            head, body = f"RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\n", ""
            if request.startswith("DESCRIBE"):
                body = sdp
                head += f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
            if request.startswith("SETUP"):
                head += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            connection.sendall(f"{head}Session: 1\r\n\r\n{body}".encode())
            if request.startswith("PLAY"):
                return True
    return False


SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 {}/90000\r\na=control:0\r\n"
)


def test_a_server_that_says_nothing_times_out():
    with tcp_server(lambda connection: time.sleep(3)) as port, Reader(f"rtsp://127.0.0.1:{port}/x", HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert "did not answer within 1 s" in str(reader.source.failure)


def test_a_server_that_hangs_up_after_play_is_tried_again():
    plays = []
    with (
        tcp_server(lambda connection: plays.append(rtsp_until_play(connection, SDP.format("H264")))) as port,
        Reader(f"rtsp://127.0.0.1:{port}/x", HASTY) as reader,
    ):
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert plays.count(True) >= 2
    assert "given up after 2 reconnects" in str(reader.source.failure)
    assert not reader.frames


def test_garbage_instead_of_rtp_gives_no_frame_and_no_crash():
    def babble(connection: socket.socket) -> None:
        if rtsp_until_play(connection, SDP.format("H264")):
            for seed in range(200):
                connection.sendall(np.random.default_rng(seed).bytes(1000))

    with tcp_server(babble) as port, Reader(f"rtsp://127.0.0.1:{port}/x", HASTY) as reader:
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert reader.source.failure is not None
    assert not [frame for frame in reader.frames if frame.is_readable]


def test_an_unknown_codec_is_told():
    with (
        tcp_server(lambda connection: rtsp_until_play(connection, SDP.format("X-NOTHING")) and time.sleep(3)) as port,
        Reader(f"rtsp://127.0.0.1:{port}/x", HASTY) as reader,
    ):
        reader.until(lambda: not reader.thread.is_alive(), "the end")
    assert reader.kinds.count("connecting") == 1
    assert "a codec that has no decoder here; set the camera to H.264" in reader.detail("failed")


@contextmanager
def mjpeg_server(pictures: Iterator[bytes]) -> Iterator[str]:
    """An HTTP camera that sends JPEG pictures as multipart/x-mixed-replace; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            with suppress(OSError):
                for picture in pictures:
                    self.wfile.write(
                        f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
                    )
                    self.wfile.write(picture + b"\r\n")
                    time.sleep(0.04)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/video"
        finally:
            server.shutdown()
            thread.join()


def jpeg(height: int, width: int, value: int = 128) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), value, np.uint8))[1].tobytes()


def test_an_http_camera_plays():
    with mjpeg_server(jpeg(48, 64, value) for value in itertools.cycle(range(0, 250, 10))) as address:
        with Reader(address) as reader:
            reader.until_frames(12)
        times = [frame.pts_seconds for frame in reader.frames]
    assert all(frame.signs.is_keyframe for frame in reader.frames)
    assert times == sorted(set(times))


@pytest.mark.parametrize("size", [(1, 1), (4320, 7680)])
def test_the_smallest_and_an_8k_picture_come_through(size):
    picture = jpeg(*size)
    with mjpeg_server(itertools.repeat(picture)) as address, Reader(address, LiveSettings(stall_seconds=20)) as reader:
        reader.until(lambda: any(frame.is_readable for frame in reader.frames), "a picture")
        assert next(frame for frame in reader.frames if frame.is_readable).size_hw == size


def test_broken_pictures_of_an_http_camera_are_told_one_by_one():
    good, broken = jpeg(48, 64), b"\xff\xd8\xff\xd9"
    with mjpeg_server(itertools.cycle([good, good, broken])) as address, Reader(address) as reader:
        reader.until_frames(12)
        frames = list(reader.frames)
    readable = [frame.is_readable for frame in frames[:12]]
    assert readable == [True, True, False] * 4
    assert [frame.signs.errors for frame in frames[:12]] == [not good for good in readable]
    assert {frame.signs.connection for frame in frames} == {0}


def test_a_complete_playlist_is_paced_by_its_own_clock_and_ends(tmp_path):
    import av

    clip = write_video(tmp_path / "clip.mp4", moving_pictures(50), options={"g": "25"})
    with (
        av.open(str(clip)) as source,
        av.open(str(tmp_path / "live.m3u8"), "w", format="hls", options={"hls_time": "1"}) as hls,
    ):
        stream = hls.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                hls.mux(packet)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **more) -> None:
            super().__init__(*args, directory=str(tmp_path), **more)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with Reader(f"http://127.0.0.1:{server.server_address[1]}/live.m3u8", HASTY) as reader:
                reader.until(lambda: not reader.thread.is_alive(), "the end")
        finally:
            server.shutdown()
            thread.join()
    arrivals = [frame.arrived_seconds for frame in reader.frames[:40]]
    stamps = [frame.pts_seconds for frame in reader.frames[:40]]
    assert arrivals[-1] - arrivals[0] > 0.6 * (stamps[-1] - stamps[0])
    assert len(reader.frames) > 45
    assert reader.kinds == ["connecting", "connected", "playing", "closed"]
    assert reader.source.failure is None
