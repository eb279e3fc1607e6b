"""Sends moving pictures somewhere by a GStreamer pipeline, until it is killed; run by the system's Python.

    /usr/bin/python3 publisher.py --gop 25 --audio --to 'flvmux name=mux streamable=true ! rtmp2sink location=rtmp://...'

What follows `--to` starts with a multiplexer called mux. Prints "ready" with the first picture that leaves it, and ends
with status 1 when nobody takes them any more.
"""

import argparse
import signal
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

VIDEO = (
    "videotestsrc is-live=true pattern={pattern} ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max={gop} bitrate=500 ! "
    "h264parse ! queue ! mux. "
)
AUDIO = "audiotestsrc is-live=true ! avenc_aac ! aacparse ! queue ! mux. "


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--to", required=True)
    parser.add_argument("--pattern", default="ball")
    parser.add_argument("--gop", type=int, default=25)
    parser.add_argument("--audio", action="store_true")
    return parser.parse_args()


def tell(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
    print("ready", flush=True)
    return Gst.PadProbeReturn.REMOVE


def main() -> None:
    options = parse()
    Gst.init(None)
    pipeline = Gst.parse_launch(VIDEO.format(**vars(options)) + (AUDIO if options.audio else "") + options.to)
    pipeline.get_by_name("mux").get_static_pad("src").add_probe(
        Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, tell
    )
    loop = GLib.MainLoop()
    failures = []

    def fail(_bus: Gst.Bus, message: Gst.Message) -> None:
        failures.append(str(message.parse_error()))
        loop.quit()

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", fail)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    if failures:
        sys.exit(failures[0])


if __name__ == "__main__":
    main()
