"""Real broadcasters on the loopback, for the tests of live streams: RTMP by nginx, HLS and MPEG-TS by GStreamer."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from tests.live_servers import GSTREAMER_PACKAGES, SYSTEM_PYTHON, Script, Server, missing, need_gstreamer

SCRIPTS = Path(__file__).parent / "servers"
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
RTMP_PACKAGES = "nginx-light libnginx-mod-rtmp"
ELEMENTS_CHECK = """
import gi
gi.require_version("Gst", "1.0")
from gi.repository import Gst
Gst.init(None)
for name in ("x264enc", "avenc_aac", "flvmux", "rtmp2sink", "hlssink2", "mpegtsmux", "rtpmp2tpay"):
    assert Gst.ElementFactory.find(name), f"no {name}"
"""
NGINX = """
load_module {module};
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 64; }}
rtmp {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; chunk_size 4096; application live {{ live on; wait_key on; }} }}
}}
"""


def need_broadcaster() -> None:
    """Skip the test where GStreamer cannot broadcast; fail it on the build server."""
    need_gstreamer()
    problem = _elements_problem()
    if problem:
        missing(f"GStreamer lacks an element ({problem}): apt-get install {GSTREAMER_PACKAGES}")


def need_rtmp() -> None:
    """Skip the test where nginx or its RTMP module is not installed; fail it on the build server."""
    need_broadcaster()
    if _nginx() is None or not MODULE.exists():
        missing(f"no nginx with RTMP: apt-get install {RTMP_PACKAGES}")


@functools.cache
def _elements_problem() -> str:
    done = subprocess.run([SYSTEM_PYTHON, "-c", ELEMENTS_CHECK], capture_output=True, text=True, timeout=120)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class HlsServer(Script):
    """GStreamer's HLS packager and a web server for what it writes; options such as `--segment`, `2`."""

    @property
    def url(self) -> str:
        """A playlist that names the live one."""
        return f"http://127.0.0.1:{self.port}/master.m3u8"

    @property
    def playlist(self) -> str:
        """What the live playlist says."""
        return (self.folder / "live.m3u8").read_text()

    @property
    def requests(self) -> list[str]:
        """What was asked for, in order."""
        return (self.folder / "requests.txt").read_text().split()

    def command(self) -> list[str]:
        """The script, run by the system's Python."""
        own = ["--port", str(self.port), "--folder", str(self.folder)]
        return [SYSTEM_PYTHON, str(SCRIPTS / "hls_server.py"), *own, *self.options]

    def end_broadcast(self) -> None:
        """Let the packager end its playlist; the web server goes on."""
        self._signal(signal.SIGTERM)

    def restart_packager(self) -> None:
        """Begin a new broadcast, its segments numbered from 0; the web server goes on."""
        self._signal(signal.SIGHUP)


class Publisher(Script):
    """GStreamer sending moving pictures to an address.

    Args:
        to: the pipeline from its multiplexer, called mux, on.
        options: of the script, such as `--audio`.
    """

    def __init__(self, to: str, *options: str) -> None:
        super().__init__(*options)
        self._to = to

    def command(self) -> list[str]:
        """The script, run by the system's Python."""
        return [SYSTEM_PYTHON, str(SCRIPTS / "publisher.py"), "--to", self._to, *self.options]


def udp_publisher(port: int) -> Publisher:
    """MPEG-TS in UDP packets."""
    return Publisher(f"mpegtsmux name=mux alignment=7 ! udpsink host=127.0.0.1 port={port}")


def rtp_publisher(port: int) -> Publisher:
    """MPEG-TS in RTP packets."""
    return Publisher(f"mpegtsmux name=mux alignment=7 ! rtpmp2tpay ! udpsink host=127.0.0.1 port={port}")


class RtmpServer(Server):
    """nginx with its RTMP module, as an ordinary user runs it, and a camera that publishes to it.

    Args:
        options: of the camera, such as `--audio`.
        key: what the camera publishes under.
        port: where it listens; None = a free one.
    """

    def __init__(self, *options: str, key: str = "cam", port: int | None = None) -> None:
        super().__init__(port)
        self.url = f"rtmp://127.0.0.1:{self.port}/live/{key}"
        self._camera = Publisher(f"flvmux name=mux streamable=true ! rtmp2sink location={self.url}", *options)

    def command(self) -> list[str]:
        """The server with a configuration and a folder of its own."""
        program = _nginx()
        assert program is not None
        settings = self.folder / "nginx.conf"
        settings.write_text(NGINX.format(module=MODULE, folder=self.folder, port=self.port))
        return [program, "-p", str(self.folder), "-c", str(settings), "-e", "stderr"]

    def start(self) -> None:
        """Run the server, then the camera, which loses the server when that ends and does not come back by itself."""
        super().start()
        self._camera.start()

    def _end(self, number: signal.Signals) -> None:
        super()._end(number)
        self._camera.kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._camera.__exit__(kind, error, trace)
