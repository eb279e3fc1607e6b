"""Real packet loss: UDP through a network namespace of the test's own, where iptables drops packets at random."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.live_servers import missing, need_gstreamer
from tests.media import moving_pictures, write_video

ROOT = Path(__file__).parent.parent
FRAMES = 250
GOP = 50
VISIBLE = 4.0
"""Grey levels from every clean picture, root mean square at 80 x 60, above which a picture is damaged."""


def need_namespace() -> None:
    """Skip where a network namespace with packet loss cannot be had; fail on the build server."""
    script = "ip link set lo up && iptables -A INPUT -p udp -m statistic --mode random --probability 0.1 -j DROP"
    if shutil.which("unshare") is None:
        missing("no unshare: apt-get install util-linux")
    made = subprocess.run(["unshare", "-n", "sh", "-c", script], capture_output=True, text=True, timeout=30)
    if made.returncode:
        missing(
            f"no network namespace with iptables here ({made.stderr.strip()}): run as root, apt-get install iptables"
        )


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    pictures = moving_pictures(FRAMES // 2, 240, 320)
    options = {"g": str(GOP), "bf": "0", "crf": "14", "sc_threshold": "0", "preset": "ultrafast", "threads": "1"}
    return write_video(tmp_path_factory.mktemp("loss") / "pan.mp4", [*pictures, *pictures[::-1]], options=options)


def received(clip: Path, percent: int) -> list[dict]:
    need_gstreamer()
    need_namespace()
    command = ["unshare", "-n", sys.executable, "-m", "tests.lossy", str(clip), str(percent)]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_loss_nothing_is_tainted(clip):
    frames = received(clip, 0)
    assert len(frames) > 0.9 * FRAMES
    assert {frame["soundness"] for frame in frames} == {"sound"}
    assert max(frame["distance"] for frame in frames) < VISIBLE


def test_damage_by_lost_packets_is_tainted(clip):
    frames = [frame for frame in received(clip, 3) if frame["distance"] is not None]
    assert len(frames) > 0.5 * FRAMES
    damaged = [frame for frame in frames if frame["distance"] > VISIBLE]
    kinds = Counter(frame["soundness"] for frame in frames)
    assert damaged, "no damage came about"
    assert kinds["tainted"] > 0
    unnoticed = [frame for frame in damaged if frame["soundness"] == "sound"]
    assert len(unnoticed) <= 0.05 * len(damaged)
