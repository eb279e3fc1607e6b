"""A real HLS packager, GStreamer's, and a web server for what it writes; run by the system's Python.

    /usr/bin/python3 hls_server.py --port 8080 --folder /tmp/hls --segment 1 --window 5

The playlist lies under /live.m3u8, a second one that names it under /master.m3u8. SIGTERM ends the broadcast as a
packager does, with the mark of its end, SIGHUP cuts it off and begins another; the web server goes on, until SIGKILL
ends all. Prints "ready" once it can be played.
"""

import argparse
import functools
import http.server
import os
import signal
import sys
import threading
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

READY_SEGMENTS = 3
KEPT_SEGMENTS = 5
SIZES = {"small": (160, 120), "live": (320, 240)}
SOURCE = (
    "videotestsrc is-live=true pattern={pattern} ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! "
    "tee name=t"
)
RENDITION = (
    " t. ! queue ! videoscale ! video/x-raw,width={width},height={height} ! "
    "x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=25 bitrate=500 ! h264parse ! "
    "hlssink2 target-duration={segment} playlist-length={window} max-files={files} "
    "location={folder}/{name}-{start}-%05d.ts playlist-location={folder}/{name}.m3u8"
)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the folder, and notes in it what was asked for."""

    def log_request(self, *_: object) -> None:
        """A line a request."""
        with (Path(self.directory) / "requests.txt").open("a") as lines:
            lines.write(f"{self.path}\n")

    def log_error(self, *_: object) -> None:
        """Nothing."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--small", action="store_true", help="offer small pictures as well, under /small.m3u8")
    parser.add_argument("--segment", type=int, default=1, help="seconds")
    parser.add_argument("--window", type=int, default=5, help="segments that the playlist names")
    return parser.parse_args()


def fail(_bus: Gst.Bus, message: Gst.Message) -> None:
    print(message.parse_error(), file=sys.stderr, flush=True)
    os._exit(1)


class Packager:
    """Writes segments and their playlist."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.pipeline = None

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Width and height by the names of the playlists."""
        return {name: size for name, size in SIZES.items() if name == "live" or self.options.small}

    def write_master(self) -> None:
        """The playlist that names the others, the worst one first."""
        lines = ["#EXTM3U"]
        for name, (width, height) in self.sizes.items():
            lines += [f"#EXT-X-STREAM-INF:BANDWIDTH={10 * width * height},RESOLUTION={width}x{height}", f"{name}.m3u8"]
        (self.options.folder / "master.m3u8").write_text("\n".join(lines) + "\n")

    def launch_line(self) -> str:
        """Of GStreamer."""
        shared = {**vars(self.options), "start": GLib.get_real_time(), "files": self.options.window + KEPT_SEGMENTS}
        return SOURCE.format(**shared) + "".join(
            RENDITION.format(**shared, name=name, width=width, height=height)
            for name, (width, height) in self.sizes.items()
        )

    def begin(self) -> bool:
        """Cut off what there is and begin anew, with names of its own."""
        if self.pipeline is not None:
            self.pipeline.set_state(Gst.State.NULL)
        self.playlist.unlink(missing_ok=True)
        self.pipeline = Gst.parse_launch(self.launch_line())
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", fail)
        self.pipeline.set_state(Gst.State.PLAYING)
        return GLib.SOURCE_CONTINUE

    def end(self) -> bool:
        """Close the last segment and mark the playlist as complete."""
        self.pipeline.send_event(Gst.Event.new_eos())
        return GLib.SOURCE_CONTINUE

    def tell_when_ready(self) -> bool:
        """Called again and again until enough segments are listed."""
        if self.playlist.exists() and self.playlist.read_text().count("#EXTINF") >= READY_SEGMENTS:
            print("ready", flush=True)
            return GLib.SOURCE_REMOVE
        return GLib.SOURCE_CONTINUE

    @property
    def playlist(self) -> Path:
        """What names the segments."""
        return self.options.folder / "live.m3u8"


def main() -> None:
    options = parse()
    Gst.init(None)
    packager = Packager(options)
    packager.write_master()
    packager.begin()
    handler = functools.partial(Handler, directory=str(options.folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, packager.end)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGHUP, packager.begin)
    GLib.timeout_add(50, packager.tell_when_ready)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
