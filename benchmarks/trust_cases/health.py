"""What is told of cameras that are well, and how soon of ones that are not."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
import numpy.typing as npt

from benchmarks.outcome import RESULTS, Outcome, record
from benchmarks.trust_cases.detectors import KIT
from streamfilter import StreamEvent, StreamFilter, open_source
from streamfilter.distort import Distortion, apply

MODEL = "utility-nano"
ASKED = "no event on clips of cameras that are well; each trouble told, and its end"
SECONDS, RATE, LONGEST_SIDE = (25, 30, 25), 5, 640
"""Of a made clip: well, in trouble, well again; its frames a second and its size."""
FROZEN_SECONDS = 15.0
"""Instead of the default minute, so that clips of half a minute show it."""

RGB = npt.NDArray[np.uint8]
TROUBLES: dict[str, Callable[[RGB, RGB], RGB]] = {
    "dark": lambda now, first: apply(now, Distortion("darkness", 7.0)),
    "covered": lambda now, first: hidden(now),
    "defocused": lambda now, first: apply(now, Distortion("defocus", 2.8)),
    "frozen": lambda now, first: first,
}
"""Picture now, and the first one in trouble -> what the camera shows."""


def hidden(now: RGB) -> RGB:
    """A hand or a bag before the lens: a little of the scene's light, none of its edges, the sensor's noise."""
    through = apply(now, Distortion("defocus", 20.0)).astype(np.float32)
    return apply(np.asarray(70 + 0.1 * through, np.uint8), Distortion("noise", 2.0))


@click.command()
@click.option("--kit", type=click.Path(path_type=Path), default=KIT, show_default=True, help="Labelled photographs.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
def health(kit: Path, out: Path) -> None:
    """Camera events on the kit's clips as they are, and with a trouble of half a minute put in."""
    record("trust", "health", out, partial(measure, kit), model=MODEL, quick=False)


def measure(kit: Path) -> Outcome:
    """Every clip as it is; then every trouble put into every clip."""
    clips = sorted((kit / "clips").iterdir())
    rows: list[dict[str, Any]] = []
    alarms = 0
    for clip in clips:
        events = watch(clip)
        alarms += len(events)
        told = {name: made(clip, change) for name, change in TROUBLES.items()}
        rows.append({"clip": clip.stem, "events as it is": ", ".join(kind for _, kind in events) or "none", **told})
    figures: dict[str, Any] = {"clips": len(clips), "events on the clips as they are": alarms}
    for name in TROUBLES:
        figures[f"{name}: told, and its end, of {len(clips)}"] = sum(row[name].startswith("after") for row in rows)
    return Outcome(ASKED, figures, rows)


def made(clip: Path, change: Callable[[RGB, RGB], RGB]) -> str:
    """What is told of a clip with a trouble put in, in words: how long after its begin, and after its end."""
    begin, end = SECONDS[0], SECONDS[0] + SECONDS[1]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "clip.mp4", pictures(clip, change))
        events = watch(path)
    name = next(name for name, one in TROUBLES.items() if one is change)
    kinds = [kind for _, kind in events]
    if kinds == [f"camera_{name}", "camera_ok"]:
        return f"after {events[0][0] - begin:.0f} s, over after {events[1][0] - end:.0f} s"
    return ", ".join(f"{kind} at {seconds:.0f} s" for seconds, kind in events) or "nothing"


def watch(path: Path) -> list[tuple[float, str]]:
    """(seconds, kind) of the events of a file; every frame is kept, so that only the camera is looked at."""
    stream_filter = StreamFilter(
        model=MODEL, device="cpu", threads=1, threshold=0.0, camera_frozen_seconds=FROZEN_SECONDS
    )
    heard: list[StreamEvent] = []
    events: list[tuple[float, str]] = []
    for frame, _ in stream_filter.filter(open_source(str(path)), on_event=heard.append):
        events += [(frame.pts_seconds or 0.0, event.kind) for event in heard]
        heard.clear()
    return events


def pictures(clip: Path, change: Callable[[RGB, RGB], RGB]) -> Iterator[RGB]:
    """The clip's frames over and over, to and fro, with the trouble in the middle."""
    shown = frames(clip)
    there_and_back = [*shown, *shown[-2:0:-1]]
    first: RGB | None = None
    for number in range(RATE * sum(SECONDS)):
        now = there_and_back[number % len(there_and_back)]
        if not SECONDS[0] <= number / RATE < SECONDS[0] + SECONDS[1]:
            yield now
            continue
        first = now if first is None else first
        yield change(now, first)


def frames(clip: Path) -> list[RGB]:
    """Up to `RATE` frames of each second of the first half minute, made small."""
    taken: list[RGB] = []
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        shrink = max(1.0, max(stream.width, stream.height) / LONGEST_SIDE)
        width, height = (int(side / shrink) // 2 * 2 for side in (stream.width, stream.height))
        for number, frame in enumerate(container.decode(stream)):
            if number % max(1, round(float(stream.average_rate or 25) / RATE)):
                continue
            taken.append(frame.to_ndarray(format="rgb24", width=width, height=height))
            if len(taken) >= 30 * RATE:
                break
    return taken


def write(path: Path, shown: Iterator[RGB]) -> Path:
    """The pictures as H.264, as a camera would send them: a keyframe every two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=RATE, options={"crf": "25", "g": str(2 * RATE), "preset": "veryfast"}
        )
        stream.pix_fmt = "yuv420p"
        for number, rgb in enumerate(shown):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")))
        container.mux(stream.encode())
    return path
