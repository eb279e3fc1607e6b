"""Run in a network namespace of its own: an RTSP stream over UDP that loses packets, and what the live source says.

    unshare -n python -m tests.lossy CLIP PERCENT

Nothing is lost of the first second: the stream gets its first intact keyframe whatever chance does later. Prints a JSON
list, an object a frame: soundness, whether it is a keyframe, and how far it is from the clean picture.
"""

import json
import subprocess
import sys

import av
import numpy as np

from streamfilter.integrity import IntegrityState, inspect
from streamfilter.sources import LiveSource
from streamfilter.stream_config import LiveSettings
from tests.live_servers import RtspServer

SMALL = (80, 60)
UNHARMED = 25
"""Frames received before packets are lost."""


def small(frame: av.VideoFrame) -> np.ndarray:
    return frame.reformat(*SMALL, format="gray").to_ndarray().astype(np.float32)


def main(clip: str, percent: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with av.open(clip) as container:
        clean = np.stack([small(frame) for frame in container.decode(video=0)])
    loss = ["-m", "statistic", "--mode", "random", "--probability", str(float(percent) / 100), "-j", "DROP"]
    said, state = [], IntegrityState()
    with RtspServer("--file", clip) as server:
        # Large datagrams are the pictures; what servers and clients agree on passes.
        rule = ["iptables", "-A", "INPUT", "-p", "udp", "-m", "length", "--length", "200:65535", *loss]
        source = LiveSource(server.url, LiveSettings(transport="udp", stall_seconds=3, max_reconnects=0))
        for number, frame in enumerate(source):
            if number == UNHARMED:
                subprocess.run(rule, check=True)
            assert frame.signs is not None
            state = inspect(state, frame.signs, frame.arrived_seconds or 0.0, 10.0)
            distance = None
            if frame.native is not None:
                distance = float(np.sqrt(((clean - small(frame.native)) ** 2).mean((1, 2)).min()))
            said.append({"soundness": state.soundness.value, "key": frame.signs.is_keyframe, "distance": distance})
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
