"""What is to be calibrated, on what and how; and who judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streamfilter.calibration.choose import Goal
from streamfilter.calibration.collect import Sampling
from streamfilter.calibration.judges import AskingJudge, Judge, NoJudge, OutputsJudge
from streamfilter.config import not_in
from streamfilter.consumers import Bars, open_consumer, read_outputs
from streamfilter.distort import KINDS
from streamfilter.errors import ConfigError
from streamfilter.spec import TASKS


@dataclass(frozen=True)
class Calibration:
    """What is to be calibrated, on what and how.

    Raises:
        ConfigError: values are out of range; all of them are listed.
    """

    inputs: Sequence[str | Path]
    """As on the command line of `run`."""
    goal: Goal
    consumer: str | None = None
    """An ONNX network, `pkg.mod:callable`, or a .jsonl file of outputs; None: for a keep rate only."""
    task: str | None = None
    """The task of the model whose utility counts; None = the consumer's own."""
    bars: Bars = field(default_factory=Bars)
    kinds: Sequence[str] = tuple(KINDS)
    """Distortions that frames are degraded by, keys of `streamfilter.distort.KINDS`."""
    draws: int = 1
    """Degraded versions of each frame, drawn at random; 0 = none."""
    block_seconds: float | None = None
    """Length of a block; 0 = each input is one; None = as long as the data and the promise allow."""
    sampling: Sampling = field(default_factory=Sampling)
    command: str = ""
    """What made the profile, to be written into it."""

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        problems = [
            f"unknown distortions {', '.join(unknown)}, known: {', '.join(KINDS)}" if unknown else "",
            not_in("draws", self.draws, 0, 100, whole=True),
            "" if self.draws == 0 or self.kinds else "no distortions, and draws is not 0",
            "" if self.task in (None, *TASKS) else f"task is {self.task!r}, expected one of {', '.join(TASKS)}",
            "" if self.inputs else "no input: name videos, pictures or live streams",
            "" if isinstance(self.consumer, str | None)
            else f"consumer is {self.consumer!r}, expected a file's path or pkg.mod:callable, as text",
            "" if self.consumer or self.goal.kind == "keep_rate" else "no consumer: say who is to use the frames",
            "" if self.block_seconds is None else not_in("block_seconds", self.block_seconds, 0, 86_400),
        ]  # fmt: skip
        if any(problems):
            raise ConfigError("; ".join(problem for problem in problems if problem))


def open_judge(job: Calibration, threads: int = 1) -> Judge:
    """Who says what a frame is worth.

    Args:
        job: what and how.
        threads: inside one prediction of a network; 0 = one a core.

    Raises:
        ConfigError: the consumer is of no kind we know.
        ModelError: the consumer's network cannot be used.
        InputError: the file of outputs cannot be used.
    """
    if job.consumer is None:
        return NoJudge()
    if job.consumer.lower().endswith((".jsonl", ".ndjson")):
        return OutputsJudge(read_outputs(Path(job.consumer)), job.bars)
    return AskingJudge(open_consumer(job.consumer, threads), job.bars, job.kinds, job.draws)
