"""`streamfilter calibrate`: a threshold that keeps a promise to one's own detector or classifier."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streamfilter.cli.output import say
from streamfilter.cli.stopping import SIGNAL_EXIT, StopOnSignal
from streamfilter.config import DEVICES, PRECISIONS, TASK_RULES, Settings
from streamfilter.errors import ConfigError
from streamfilter.progress import CountLine

if TYPE_CHECKING:
    from streamfilter.calibration import Calibrated, Calibration, Goal

GOALS = {"keep_useful": "keep_useful", "remove_errors": "confident_errors", "keep_rate": "keep_rate"}


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--consumer", metavar="WHAT", help="NETWORK.onnx, pkg.mod:callable, or its outputs as FILE.jsonl.")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The profile, TOML.")
@click.option("--keep-useful", type=float, metavar="SHARE", help="Keep at least this share of the useful frames.")
@click.option("--remove-errors", type=float, metavar="SHARE", help="Remove at least this share of confident errors.")
@click.option("--keep-rate", type=float, metavar="SHARE", help="Keep this share of the frames; promises nothing.")
@click.option("--confidence", type=float, default=0.95, help="Probability that the promise holds [0.95].")
@click.option("--block-seconds", type=float, help="Length of a block; 0 = each input is one [as the data allow].")
@click.option("--distortions", default="all", help="Kinds to degrade by, with commas between; none [all].")
@click.option("--draws", type=int, default=1, help="Degraded versions of each frame, drawn at random [1].")
@click.option("--every", "every_seconds", type=float, metavar="SECONDS", help="Time between frames [as --limit asks].")
@click.option("--limit", type=int, default=2000, help="About how many frames are looked at, spread evenly [2000].")
@click.option("--seconds", "live_seconds", type=float, help="How long live streams are looked at.")
@click.option("--consumer-confidence", type=float, default=0.5, help="Least score of what the consumer asserts [0.5].")
@click.option("--consumer-iou", type=float, default=0.5, help="Least overlap of two boxes that are the same [0.5].")
@click.option("--task", type=click.Choice(TASK_RULES[2:]), help="Whose utility counts [the consumer's own task].")
@click.option("--model", default=Settings.model, help=f"Shipped model or ONNX file [{Settings.model}].")
@click.option("--device", type=click.Choice(DEVICES), default=Settings.device, help="Where the model runs.")
@click.option("--precision", type=click.Choice(PRECISIONS), default=Settings.precision, help="The model's arithmetic.")
@click.option(
    "--threads",
    type=int,
    default=Settings.threads,
    help="Threads of the scorer and of a consumer's network; 0 = one a core.",
)
def calibrate(out: Path, model: str, device: str, precision: str, threads: int, **flags: Any) -> None:
    """Choose the threshold that keeps a promise to your own detector or classifier, and write it as a profile.

    Frames are sampled from videos, pictures or live streams (with --seconds), degraded at random, and the consumer is
    asked about both; its decision on the original frame is taken as right. `run --profile FILE` applies the result,
    which is printed as JSON. What was judged is kept beside the profile when interrupted; the same command goes on.
    """
    from streamfilter.calibration import Interrupted
    from streamfilter.calibration import calibrate as run_calibration
    from streamfilter.filter import StreamFilter

    job = _job(**flags)
    stream_filter = StreamFilter(model=model, device=device, precision=precision, threads=threads)
    with StopOnSignal() as stop, CountLine("versions of frames judged") as line:
        try:
            done = run_calibration(job, stream_filter, out, stop.event, line.show)
        except Interrupted as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(SIGNAL_EXIT + stop.signal_number)
    say(json.dumps({"profile": str(out), **summary(done)}))
    click.echo(sentence(done), err=True)


def _job(inputs: tuple[str, ...], consumer: str | None, distortions: str, **flags: Any) -> Calibration:
    from streamfilter.address import mask
    from streamfilter.calibration import Calibration, Sampling
    from streamfilter.consumers import Bars
    from streamfilter.distort import KINDS

    words = distortions.replace(",", " ").split()
    kinds = list(KINDS) if words == ["all"] else [] if words == ["none"] else words
    return Calibration(
        inputs=inputs,
        goal=_goal(flags),
        consumer=consumer,
        task=flags["task"],
        bars=Bars(flags["consumer_confidence"], flags["consumer_iou"]),
        kinds=kinds,
        draws=flags["draws"] if kinds else 0,
        block_seconds=flags["block_seconds"],
        sampling=Sampling(flags["every_seconds"], flags["limit"], flags["live_seconds"]),
        command=" ".join(["streamfilter", *map(mask, sys.argv[1:])]),
    )


def _goal(flags: dict[str, Any]) -> Goal:
    from streamfilter.calibration import Goal

    given = [name for name in GOALS if flags[name] is not None]
    if len(given) != 1:
        wanted = ", ".join(f"--{name.replace('_', '-')}" for name in GOALS)
        raise ConfigError(f"give one of {wanted}; {len(given)} were given")
    return Goal(GOALS[given[0]], flags[given[0]], flags["confidence"])


def summary(done: Calibrated) -> dict[str, Any]:
    """What was found, for programs."""
    profile, choice, bound = done.profile, done.choice, done.profile.bound
    return {
        "task": profile.task,
        "threshold": choice.threshold,
        "promise": {"kind": bound.kind, "target": bound.target, "confidence": bound.confidence},
        "blocks": bound.blocks,
        "block_seconds": bound.block_seconds,
        "judged": done.judged,
        "left_out": done.left_out,
        "consumer_failures": done.failures,
        "useful_frames": choice.useful_frames,
        "useful_kept": round(choice.useful_kept, 6),
        "error_frames": choice.error_frames,
        "errors_removed": round(choice.errors_removed, 6),
        "discard": round(choice.discard, 6),
        "ideal_discard": round(choice.ideal_discard, 6),
    }


def sentence(done: Calibrated) -> str:
    """What was found, for people."""
    choice, bound = done.choice, done.profile.bound
    promises = {
        "keep_useful": f"keeps at least {bound.target:.1%} of the useful frames with {bound.confidence:.0%} confidence",
        "confident_errors": f"removes at least {bound.target:.1%} of the frames with confident errors with "
        f"{bound.confidence:.0%} confidence",
        "keep_rate": f"kept {1 - choice.discard:.1%} of the frames, and promises nothing",
    }
    lines = [f"{done.profile.task} threshold {choice.threshold:.4f} {promises[bound.kind]} ({bound.blocks} blocks)"]
    if bound.kind != "keep_rate":
        lines.append(
            f"on the calibration data: {choice.useful_kept:.2%} of {choice.useful_frames} useful frames kept, "
            f"{choice.errors_removed:.1%} of {choice.error_frames} frames with confident errors removed, "
            f"{choice.discard:.1%} of all dropped where a perfect filter drops {choice.ideal_discard:.1%}"
        )
        lines.append(
            f"{done.left_out} of {done.judged} had no reference, the consumer failed on {done.failures} frames"
        )
    return "\n".join(lines)
