"""The loop: sources into the filter, decisions into the sinks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from streamfilter.errors import ConfigError, InputError, PictureError
from streamfilter.filter import StreamFilter
from streamfilter.frame import Decision, Frame, StreamEvent
from streamfilter.metrics import Summary
from streamfilter.sinks import (
    Outputs,
    RecordsSink,
    Sink,
    SinkOptions,
    VideoSink,
    clashes,
    open_sink,
    standard_output,
)
from streamfilter.sources import InputPlan, Source, refuse_overwriting

logger = logging.getLogger(__name__)

Progress = Callable[[Summary, Source], None]


def open_sinks(
    outs: Sequence[str],
    records: str | None,
    options: SinkOptions,
    plans: Sequence[InputPlan],
    also_read: Sequence[str] = (),
) -> list[Sink]:
    """The sinks of a run, all of them or none.

    Args:
        outs: targets as for `open_sink`.
        records: file for the records, `-` for standard output; None = no records.
        options: encoders and qualities.
        plans: the inputs that will be written, none of which may be replaced.
        also_read: more files that may not be replaced: the model, the profile, the configuration.

    Raises:
        ConfigError: two targets are the same, one would replace an input, or several inputs would end in one video.
        OutputError: a sink cannot be opened; those opened before it are removed again.
    """
    outputs = Outputs(outs, records)
    if lost := list(clashes([outputs])):
        raise ConfigError("; ".join(lost))
    refuse_overwriting([*(file for plan in plans for file in plan.files), *also_read], outputs.targets)
    with ExitStack() as undo:
        sinks: list[Sink] = []
        if records is not None:
            sinks.append(RecordsSink(standard_output() if records == "-" else Path(records)))
            undo.callback(sinks[-1].abort)
        for target in outs:
            sinks.append(open_sink(target, options))
            undo.callback(sinks[-1].abort)
            if isinstance(sinks[-1], VideoSink) and len(plans) > 1:
                raise ConfigError(f"{target} is one video, the inputs are {len(plans)}; run them one by one")
        undo.pop_all()
    return sinks


@dataclass(frozen=True, eq=False)
class Run:
    """One run: inputs one after the other, through one filter, into all the sinks."""

    stream_filter: StreamFilter
    sinks: Sequence[Sink]
    stop: threading.Event
    """When set, the run ends early and closes its outputs whole."""
    progress: Progress
    """Called after every frame, with the counts so far and the source being read."""
    refused: list[str] = field(default_factory=list)
    """A line for each kept frame that a sink could not write, others it could."""

    def feed(self, plan: InputPlan, summary: Summary) -> None:
        """Filter one input; that it cannot be opened or read is written to `summary.failures`."""
        try:
            source = plan.open()
            events = partial(self._tell, summary)
            frames = readable = 0
            for frame, decision in self.stream_filter.filter(source, self.stop, on_event=events):
                self._deliver(frame, decision, summary)
                self.progress(summary, source)
                frames, readable = frames + 1, readable + frame.is_readable
        except InputError as error:
            summary.failures.append(str(error))
            return
        if frames and not readable and not self.stop.is_set():
            summary.failures.append(f"{source.name}: no frame of {frames} can be read; fetch or record it again")

    def _tell(self, summary: Summary, event: StreamEvent) -> None:
        summary.hear(event)
        logger.warning("%s: %s (%s)", event.stream, event.kind, event.detail)

    def _deliver(self, frame: Frame, decision: Decision, summary: Summary) -> None:
        for sink in self.sinks:
            try:
                sink.write(frame, decision)
            except PictureError as error:
                self.refused.append(str(error))
                logger.warning("not written: %s", error)
        summary.count(decision)
        if frame.problem is not None:
            logger.warning("%s, frame %d: %s", frame.input, frame.index, frame.problem)


def run(
    plans: Sequence[InputPlan],
    stream_filter: StreamFilter,
    sinks: Sequence[Sink] = (),
    stop: threading.Event | None = None,
    progress: Progress = lambda summary, source: None,
) -> Summary:
    """Filter inputs into sinks; one bad input is noted and the others go on.

    The sinks are closed whole when at least one frame was read, also when the run was stopped; otherwise, and when
    an exception ends the run, they are aborted and leave nothing behind.

    Args:
        plans: the inputs, in order, as `plan_inputs` gives them.
        stream_filter: decides on every frame.
        sinks: get every frame with its decision.
        stop: when set, the run ends early.
        progress: called after every frame.

    Returns:
        The counts, and a line for each input that failed.

    Raises:
        OutputError: a sink cannot be written.
    """
    summary = Summary()
    job = Run(stream_filter, sinks, stop or threading.Event(), progress)
    with ExitStack() as undo:
        for sink in sinks:
            undo.callback(sink.abort)
        for plan in plans:
            if not job.stop.is_set():
                job.feed(plan, summary)
        summary.interrupted = job.stop.is_set()
        if summary.frames_read > 0:
            for sink in sinks:
                sink.close()
        if job.refused:
            summary.failures.append(f"kept frames that could not be written: {len(job.refused)}; {job.refused[0]}")
    return summary
