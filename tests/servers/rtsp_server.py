"""A real RTSP server, GStreamer's, for the tests; run by the system's Python, which has its bindings.

    /usr/bin/python3 rtsp_server.py --port 8554 --pattern ball --gop 25
    /usr/bin/python3 rtsp_server.py --port 8554 --file clip.mp4
    /usr/bin/python3 rtsp_server.py --port 8554 --relay

Streams lie under /cam; with `--relay`, what is published to /in is played under /out. Prints "ready" when it listens.
"""

import argparse
import signal
import sys

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
RELAY_PORT = 5000
"""Added to the server's own port: where published packets pass between /in and /out."""


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


def demand(factory: GstRtspServer.RTSPMediaFactory, server: GstRtspServer.RTSPServer, account: str) -> None:
    user, _, password = account.partition(":")
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth = GstRtspServer.RTSPAuth()
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
    mounts = server.get_mount_points()
    if options.relay:
        port = options.port + RELAY_PORT
        publish = factory_of(
            f"( rtph264depay name=depay0 ! h264parse ! rtph264pay ! udpsink host=127.0.0.1 port={port} )"
        )
        publish.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=96"
        play = factory_of(
            f'( udpsrc port={port} caps="{caps}" ! rtpjitterbuffer ! rtph264depay ! h264parse ! '
            "rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )
        play.set_shared(True)
        mounts.add_factory("/in", publish)
        mounts.add_factory("/out", play)
    else:
        for number in range(options.streams):
            factory = factory_of(launch_line(options))
            factory.set_shared(not options.file)
            factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP | GstRtsp.RTSPLowerTrans.TCP)
            if options.account:
                demand(factory, server, options.account)
            mounts.add_factory("/cam" if number == 0 else f"/cam{number + 1}", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {options.port}")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    print("ready", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
