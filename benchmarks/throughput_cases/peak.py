"""Peak memory of one run, in a process of its own: python -m benchmarks.throughput_cases.peak CLIP MODEL"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from streamfilter import StreamFilter


def main(clip: str, model: str) -> None:
    """Print frames and peak resident memory as JSON."""
    summary = StreamFilter(model=model, device="cpu").pass_to(clip, lambda frame: None)
    # `ru_maxrss` would begin with the parent's.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"frames": summary.frames_read, "peak_mb": int(line.split()[1]) / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
