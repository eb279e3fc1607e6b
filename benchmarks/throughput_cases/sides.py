"""Ways to go through a clip, each as frames a second: ours, the floor, and what people would do instead."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from streamfilter import RecordsSink, StreamFilter, open_source, plan_inputs, run

RGB = npt.NDArray[np.uint8]
Side = Callable[[Path, float], float]
"""Clip and most seconds -> frames a second."""


def turns(sides: dict[str, Side], clip: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Median frames a second of each side, taken in turns; the first round only warms up.

    Args:
        sides: by name.
        clip: what they go through.
        seconds: most time a turn.
        rounds: turns that count.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            rate = side(clip, seconds if turn else min(1.0, seconds))
            if turn:
                found[name].append(rate)
    return {name: median(rates) for name, rates in found.items()}


def paced(pictures: Iterator[Any], seconds: float) -> float:
    """How many a second of an iterator come, until it ends or the time is up."""
    start, count = time.perf_counter(), 0
    for _ in pictures:
        count += 1
        if time.perf_counter() - start > seconds:
            break
    took = time.perf_counter() - start
    with suppress(AttributeError):
        pictures.close()  # type: ignore[attr-defined]
    return count / took


def decode_only(clip: Path, seconds: float) -> float:
    """The floor: PyAV decodes with as many threads as FFmpeg takes by itself, and nobody looks."""
    return paced(_decoded(clip), seconds)


def our_source(clip: Path, seconds: float) -> float:
    """Our source decodes, with more threads, and nobody looks."""
    return paced(iter(open_source(str(clip))), seconds)


def decode_and_scale(clip: Path, seconds: float) -> float:
    """Decoding, and swscale to 224 x 224 RGB."""
    return paced((frame.reformat(224, 224, "rgb24") for frame in _decoded(clip)), seconds)


def decode_to_rgb(clip: Path, seconds: float) -> float:
    """Decoding, and RGB at full size, as every consumer makes it."""
    return paced((frame.to_ndarray(format="rgb24") for frame in _decoded(clip)), seconds)


def ours(stream_filter: StreamFilter) -> Side:
    """Every frame scored (or its utility taken over), decided on and recorded."""

    def side(clip: Path, seconds: float) -> float:
        with tempfile.TemporaryDirectory() as scratch:
            return _run(stream_filter, clip, Path(scratch) / "records.jsonl", seconds)

    return side


def user_loop(clip: Path, seconds: float) -> float:
    """What one would write first: cv2.VideoCapture, and torch's ResNet-18 frame by frame."""
    import cv2
    import torch
    import torchvision

    network = _once("resnet18", lambda: torchvision.models.resnet18(weights=None, num_classes=2).eval())
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def scored() -> Iterator[float]:
        capture = cv2.VideoCapture(str(clip))
        while True:
            is_read, picture = capture.read()
            if not is_read:
                return
            small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (224, 224))
            with torch.inference_mode():
                images = ((torch.from_numpy(small) / 255 - mean) / deviation).permute(2, 0, 1)[None]
                yield float(network(images).softmax(1)[0, 1])

    return paced(scored(), seconds)


def brisque_each(clip: Path, seconds: float) -> float:
    """BRISQUE of every frame at its full size."""
    from trainer.rivals.scene_statistics import features

    return paced((features(frame.to_ndarray(format="rgb24")) for frame in _decoded(clip)), seconds)


def block_and_blur(clip: Path, seconds: float) -> float:
    """ffmpeg's blockdetect and blurdetect on every frame."""
    from av.filter import Graph

    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        graph = Graph()
        chain = [graph.add_buffer(template=stream), *(graph.add(name) for name in ("blockdetect", "blurdetect"))]
        graph.link_nodes(*chain, graph.add("buffersink")).configure()

        def seen() -> Iterator[Any]:
            for frame in container.decode(stream):
                graph.push(frame)
                yield graph.pull()

        try:
            return paced(seen(), seconds)
        finally:
            with suppress(av.FFmpegError):
                stream.decode(None)


def consumer_each(detect: Callable[[RGB], Any]) -> Side:
    """A detector on every frame."""

    def side(clip: Path, seconds: float) -> float:
        return paced((detect(frame.rgb) for frame in open_source(str(clip))), seconds)

    return side


def consumer_behind(stream_filter: StreamFilter, detect: Callable[[RGB], Any]) -> Side:
    """A detector on the frames that our filter keeps."""

    def side(clip: Path, seconds: float) -> float:
        def seen() -> Iterator[None]:
            for frame, decision in stream_filter.filter(clip):
                if decision.keep:
                    detect(frame.rgb)
                yield

        return paced(seen(), seconds)

    return side


_MADE: dict[str, Any] = {}


def _once(name: str, make: Callable[[], Any]) -> Any:
    if name not in _MADE:
        _MADE[name] = make()
    return _MADE[name]


def _decoded(clip: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            yield from container.decode(stream)
        finally:
            # Freed while its threads still work and log, a decoder can hang.
            with suppress(av.FFmpegError):
                stream.decode(None)


def _run(stream_filter: StreamFilter, clip: Path, records: Path, seconds: float) -> float:
    stop, start = threading.Event(), time.perf_counter()

    def watch(*_: object) -> None:
        if time.perf_counter() - start > seconds:
            stop.set()

    summary = run(plan_inputs([str(clip)]), stream_filter, [RecordsSink(records)], stop, watch)
    return summary.frames_read / (time.perf_counter() - start)
