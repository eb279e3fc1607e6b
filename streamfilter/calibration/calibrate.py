"""From inputs, a model and a consumer to a profile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from streamfilter.address import mask
from streamfilter.calibration.choose import Choice, Judged, choose_threshold, tabulate_frames
from streamfilter.calibration.collect import Collector, Progress, measure_length
from streamfilter.calibration.job import Calibration, open_judge
from streamfilter.calibration.journal import SUFFIX, Journal
from streamfilter.calibration.judges import Failures
from streamfilter.calibration.plan import choose_block_seconds, fingerprint, refuse_hopeless
from streamfilter.distort import PRISTINE
from streamfilter.errors import CalibrationError, ConfigError
from streamfilter.filter import StreamFilter
from streamfilter.profile import QUANTILES, Bound, Profile
from streamfilter.sinks._whole import remove, write_whole
from streamfilter.sources import plan_inputs, refuse_overwriting


@dataclass(frozen=True)
class Calibrated:
    """A profile, and what else is to be said of the calibration."""

    profile: Profile
    choice: Choice
    judged: int
    """Frames and degraded versions of frames."""
    left_out: int
    """Those without a reference: the consumer decided nothing on the original."""
    failures: int
    """Frames on which the consumer failed."""


class Interrupted(CalibrationError):
    """The calibration was stopped; what was judged so far is kept, and the message says where."""


@dataclass(frozen=True)
class Collected:
    """What was judged, before a threshold is chosen."""

    judged: Sequence[Judged]
    failures: int
    """Frames on which the consumer failed."""
    consumer: str
    """As the profile shows it."""
    block_seconds: float
    """Length of a block as the inputs and the goal allow it; 0 = each input is one."""


def calibrate(
    job: Calibration,
    stream_filter: StreamFilter,
    out: str | Path | None = None,
    stop: threading.Event | None = None,
    progress: Progress = lambda judged, failed, name: None,
) -> Calibrated:
    """Judge sampled frames and choose the threshold.

    Args:
        job: what and how.
        stream_filter: with the model that is to be calibrated.
        out: where the profile goes; what is judged meanwhile is kept beside it. None = nothing is written.
        stop: when set, the calibration ends with `Interrupted`.
        progress: called after every frame.

    Raises:
        ConfigError: the settings do not fit each other or the model, or the profile would replace an input.
        InputError: an input cannot be read.
        ModelError: the consumer's network cannot be used.
        CalibrationError: the data do not carry the promise, or the consumer fails on too many frames.
        OutputError: the profile cannot be written.
    """
    out = None if out is None else Path(out)
    notes = None if out is None else out.with_name(out.name + SUFFIX)
    if out is not None:
        read = [*(file for plan in plan_inputs(job.inputs) for file in plan.files), str(stream_filter.scorer.path)]
        refuse_overwriting([*read, job.consumer or ""], [str(out), str(notes)])
    collected = judge_frames(job, stream_filter, notes, stop, progress)
    try:
        done = conclude(job, collected, stream_filter)
    except (CalibrationError, ConfigError) as error:
        where = f"; what was judged is kept in {notes}, for another promise" if notes and collected.judged else ""
        raise type(error)(f"{error}{where}") from error
    if out is not None and notes is not None:
        write_whole(out, done.profile.to_toml())
        remove(notes)
    return done


def judge_frames(
    job: Calibration,
    stream_filter: StreamFilter,
    notes: Path | None = None,
    stop: threading.Event | None = None,
    progress: Progress = lambda judged, failed, name: None,
) -> Collected:
    """Judge sampled frames; the arguments are those of `calibrate`.

    Args:
        job: what and how.
        stream_filter: with the model that is to be calibrated.
        notes: file for what is judged, which stays; one of an earlier run spares asking again. None = no file.
        stop: when set, this ends with `Interrupted`.
        progress: called after every frame.

    Raises:
        ConfigError: the settings do not fit each other, the model, or the notes.
        InputError: an input cannot be read.
        ModelError: the consumer's network cannot be used.
        CalibrationError: there cannot be enough blocks, or the consumer fails on too many frames.
        OutputError: the notes cannot be written.
    """
    judge, stop = open_judge(job, stream_filter.settings.threads), stop or threading.Event()
    if job.task is not None or job.consumer is None:
        task_of(job, (), stream_filter.scorer.spec.tasks)
    plans = plan_inputs(job.inputs)
    seconds, lengths = measure_length(plans, job.sampling.live_seconds)
    block_seconds = choose_block_seconds(job, seconds, len(plans))
    refuse_hopeless(job, block_seconds, lengths)
    every = job.sampling.every(seconds)
    run = fingerprint(job, stream_filter, every, [plan.name for plan in plans])
    failures = Failures(judge.name)
    with nullcontext() if notes is None else Journal(notes, run, stream_filter.scorer.spec.tasks) as journal:
        collector = Collector(stream_filter, judge, job.sampling, every, journal, failures, stop, progress)
        judged = collector.collect(plans)
    if stop.is_set():
        where = f"; they are kept in {notes}, the same command goes on from there" if notes else ""
        raise Interrupted(f"interrupted with {len(judged)} versions of frames judged{where}")
    return Collected(judged, failures.failed, judge.name, block_seconds)


def conclude(job: Calibration, collected: Collected, stream_filter: StreamFilter) -> Calibrated:
    """From judged frames to the profile.

    Raises:
        ConfigError: the model has no such task.
        CalibrationError: the data do not carry the promise.
    """
    judged, block_seconds = collected.judged, collected.block_seconds
    scorer = stream_filter.scorer
    if not judged:
        raise CalibrationError("no frame was judged: see that the inputs hold readable frames, and which are sampled")
    pristine = [one for one in judged if one.distortion == PRISTINE]
    rated = pristine if job.goal.kind == "keep_rate" else judged
    task = task_of(job, judged, scorer.spec.tasks)
    choice = choose_threshold(tabulate_frames(rated, task, block_seconds), job.goal)
    promised = job.goal.kind != "keep_rate"
    profile = Profile(
        model=scorer.spec.name,
        model_sha256=scorer.sha256,
        task=task,
        thresholds={task: choice.threshold},
        bound=Bound(
            job.goal.kind, job.goal.target, job.goal.confidence if promised else 0.0, choice.blocks, block_seconds,
            choice.useful_frames, choice.useful_kept, choice.discard,
        ),
        inputs=tuple(mask(str(name)) for name in job.inputs),
        consumer=collected.consumer,
        scores={name: _quantiles([one.utility[name] for one in pristine or judged]) for name in scorer.spec.tasks},
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        command=job.command,
    )  # fmt: skip
    left_out = sum(one.useful is None for one in rated) if promised else 0
    return Calibrated(profile, choice, len(rated), left_out, collected.failures)


def task_of(job: Calibration, judged: Sequence[Judged], tasks: Sequence[str]) -> str:
    """The task whose utility counts: the one asked for, the consumer's own, or the model's only one.

    Raises:
        ConfigError: the model lacks it, or it cannot be told.
    """
    own = {one.task for one in judged if one.task is not None}
    if job.task is None and len(own) != 1 and len(tasks) > 1:
        why = "there is no consumer whose task it could be" if job.consumer is None else "the consumer does not tell it"
        raise ConfigError(f"no task, and {why}: give --task, {' or '.join(tasks)}")
    task = job.task or (own.pop() if len(own) == 1 else tasks[0])
    if task not in tasks:
        raise ConfigError(f"task {task!r}: this model has {', '.join(tasks)}")
    return task


def _quantiles(utilities: Sequence[float]) -> tuple[float, ...]:
    steps = np.quantile(utilities, np.linspace(0, 1, QUANTILES))
    return tuple(round(float(step), 6) for step in np.maximum.accumulate(steps))
