"""A real RTSP server, GStreamer's, for the tests; run by the system's Python, which has its bindings.

    /usr/bin/python3 rtsp_server.py --port 8554 --pattern ball --gop 25
    /usr/bin/python3 rtsp_server.py --port 8554 --file clip.mp4
    /usr/bin/python3 rtsp_server.py --port 8554 --relay

Streams lie under /cam; with `--relay`, what is published to /in is played under /out. Prints "ready" when it listens.
"""

import argparse
import signal
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast threads=1 sliced-threads=false key-int-max={gop} "
    "bitrate={kbps} ! video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={gop} bitrate={kbps} ! "
    "rtph265pay name=pay0 pt=96 config-interval=-1",
    "mjpeg": "jpegenc quality=80 ! rtpjpegpay name=pay0 pt=26",
    "vp8": "vp8enc deadline=1 keyframe-max-dist={gop} target-bitrate={kbps}000 ! rtpvp8pay name=pay0 pt=96",
}


class Relay:
    """Passes what is published on to the players, with the publisher's own spacing in time.

    A player that joins late gets what came since the last keyframe first.
    """

    def __init__(self) -> None:
        self.players = {}
        self.since_keyframe = []
        self.session = 0
        self.caps = None
        self.lock = threading.Lock()

    def publishes(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        """A publisher came."""
        self.session += 1
        media.connect("prepared", keep_spacing)
        sink = media.get_element().get_by_name_recurse_up("publisher")
        sink.connect("new-sample", self.pass_on, self.session)

    def plays(self, _factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
        """The first player came."""
        source = media.get_element().get_by_name_recurse_up("player")
        media.connect("unprepared", lambda _media: self.forget(source))
        source.connect("need-data", self.join)

    def join(self, source: Gst.Element, _size: int) -> None:
        """It runs and wants pictures."""
        with self.lock:
            if source not in self.players:
                self.players[source] = None
                for session, buffer in self.since_keyframe:
                    self.push(source, session, buffer)

    def forget(self, source: Gst.Element) -> None:
        """The last player went."""
        with self.lock:
            self.players.pop(source, None)

    def pass_on(self, sink: Gst.Element, session: int) -> Gst.FlowReturn:
        """One picture came."""
        sample = sink.emit("pull-sample")
        buffer = sample.get_buffer()
        with self.lock:
            self.caps = sample.get_caps()
            if is_keyframe(buffer):
                self.since_keyframe.clear()
            self.since_keyframe.append((session, buffer))
            for source in self.players:
                self.push(source, session, buffer)
        return Gst.FlowReturn.OK

    def push(self, source: Gst.Element, session: int, buffer: Gst.Buffer) -> None:
        """Give a player a picture; each publisher's first one is due now, the others as far apart as they were sent."""
        clock = self.players[source]
        if clock is None or clock[0] != session:
            last = -1 if clock is None else clock[2]
            now = max(source.get_current_running_time() if source.get_clock() else 0, last + Gst.SECOND // 25)
            clock = (session, now - buffer.pts, last)
        copy = buffer.copy()
        copy.dts = Gst.CLOCK_TIME_NONE
        copy.pts = buffer.pts + clock[1]
        self.players[source] = (*clock[:2], copy.pts)
        source.set_property("caps", self.caps)
        source.emit("push-buffer", copy)


def is_keyframe(buffer: Gst.Buffer) -> bool:
    """Whether H.264 in Annex B holds an IDR slice; the parser's own mark stands on other pictures as well."""
    data = buffer.extract_dup(0, buffer.get_size())
    return any(unit and unit[0] & 31 == 5 for unit in data.split(b"\0\0\1"))


def keep_spacing(media: GstRtspServer.RTSPMedia) -> None:
    """Take the publisher's time stamps as they are, not as its packets arrive."""
    for element in media.get_element().get_parent().children:
        if element.get_factory().get_name() == "rtpbin":
            element.set_property("buffer-mode", 0)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", help="MP4 with H.264, sent as it is")
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--codec", choices=sorted(ENCODERS), default="h264")
    parser.add_argument("--gop", type=int, default=25)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--kbps", type=int, default=500)
    parser.add_argument("--mtu", type=int, default=1400)
    parser.add_argument("--streams", type=int, default=1, help="/cam, /cam2, ...")
    parser.add_argument("--account", help="user:password")
    parser.add_argument("--digest", action="store_true", help="ask for the account by Digest, not Basic")
    parser.add_argument("--relay", action="store_true")
    return parser.parse_args()


def launch_line(options: argparse.Namespace) -> str:
    if options.file:
        return (
            f"( filesrc location={options.file} ! qtdemux ! h264parse ! "
            f"rtph264pay name=pay0 pt=96 config-interval=-1 mtu={options.mtu} )"
        )
    width, height = options.size.split("x")
    caps = f"video/x-raw,format=I420,width={width},height={height},framerate={options.fps}/1"
    encoder = ENCODERS[options.codec].format(gop=options.gop, kbps=options.kbps)
    return f"( videotestsrc is-live=true pattern={options.pattern} ! {caps} ! {encoder} mtu={options.mtu} )"


def factory_of(line: str) -> GstRtspServer.RTSPMediaFactory:
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(line)
    return factory


def demand(
    factory: GstRtspServer.RTSPMediaFactory, server: GstRtspServer.RTSPServer, account: str, digest: bool
) -> None:
    user, _, password = account.partition(":")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
    if digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("user", "media.factory.access", True)
    permissions.add_permission_for_role("user", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main() -> None:
    options = parse()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(options.port))
    # A player waits within DESCRIBE until something is published: publishers have threads of their own.
    server.get_thread_pool().set_max_threads(8)
    mounts = server.get_mount_points()
    if options.relay:
        relay = Relay()
        publish = factory_of(
            "( rtph264depay name=depay0 ! h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,"
            "alignment=au ! appsink name=publisher emit-signals=true sync=false )"
        )
        publish.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        publish.connect("media-configure", relay.publishes)
        play = factory_of(
            "( appsrc name=player format=time is-live=true max-bytes=0 ! h264parse ! rtph264pay name=pay0 pt=96 )"
        )
        play.connect("media-configure", relay.plays)
        play.set_shared(True)
        for path, factory in (("/in", publish), ("/out", play)):
            if options.account:
                demand(factory, server, options.account, options.digest)
            mounts.add_factory(path, factory)
    else:
        for number in range(options.streams):
            factory = factory_of(launch_line(options))
            factory.set_shared(not options.file)
            factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP | GstRtsp.RTSPLowerTrans.TCP)
            if options.account:
                demand(factory, server, options.account, options.digest)
            mounts.add_factory("/cam" if number == 0 else f"/cam{number + 1}", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {options.port}")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
