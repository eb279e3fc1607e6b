"""The command line: parse, validate, one library call. Data on stdout, words on stderr; exit 0, 1 failed, 2 usage."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any, NoReturn

import click

from streamfilter import __version__
from streamfilter.config import DEVICES, TASK_RULES, Settings
from streamfilter.errors import ConfigError, InputError, StreamFilterError
from streamfilter.progress import ProgressLine
from streamfilter.stream_config import BACKPRESSURES, TRANSPORTS

SIGNAL_EXIT = 128
LIVE_FLAGS = (
    "transport", "decoder", "backpressure", "staleness_seconds", "stall_seconds", "max_reconnects", "taint_threshold"
)  # fmt: skip


class CommandGroup(click.Group):
    """Turns this package's errors into one line on stderr and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        except StreamFilterError as error:
            raise click.ClickException(str(error)) from error


def model_options(command: Any) -> Any:
    """The options that every scoring command has."""
    for option in (
        click.option("--config", "config_path", type=click.Path(), help="TOML file of settings; flags win over it."),
        click.option("--threads", type=int, help="Threads of the scorer; 0 = one a core."),
        click.option("--device", type=click.Choice(DEVICES), help="Where the model runs."),
        click.option("--task", type=click.Choice(TASK_RULES), help="Tasks a frame must be useful to [any]."),
        click.option("--threshold", type=float, help="Useful at or above this utility, 0-1 [the model's own]."),
        click.option("--model", help=f"Shipped model or ONNX file [{Settings.model}]."),
    ):
        command = option(command)
    return command


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
@click.option("-v", "--verbose", is_flag=True, help="Say what is chosen and why.")
@click.option("--log-json", is_flag=True, help="Log lines as JSON objects.")
def main(verbose: bool, log_json: bool) -> None:
    """Drop the video frames a detector or classifier could not use, before it has to look at them."""
    from streamfilter.serving import JsonFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_json else logging.Formatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


def live_options(command: Any) -> Any:
    """The options that only live streams know."""
    for option in (
        click.option("--metrics", metavar="[HOST:]PORT", help="Serve /metrics (Prometheus) and /healthz."),
        click.option("--taint-threshold", type=float, help="Utility that frames after data loss must reach, 0-1."),
        click.option("--max-reconnects", type=int, help="Give a stream up after so many in a row [never]."),
        click.option(
            "--stall", "stall_seconds", type=float, metavar="SECONDS", help="Longest silence of a stream [5]."
        ),
        click.option(
            "--staleness", "staleness_seconds", type=float, metavar="SECONDS", help="Drop older frames [0.5]."
        ),
        click.option("--backpressure", type=click.Choice(BACKPRESSURES), help="When a consumer is slow [bounded]."),
        click.option("--decoder", help="FFmpeg's decoder by name, or cuda for hardware decoding."),
        click.option("--transport", type=click.Choice(TRANSPORTS), help="How RTSP brings its packets [auto]."),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--out", "outs", multiple=True, metavar="TARGET", help="Video file, folder, - (MJPEG), or an address.")
@click.option("--records", type=click.Path(), metavar="FILE|-", help="JSON lines, one a frame.")
@click.option("--codec", help="Video encoder [libx264].")
@click.option("--crf", type=int, help="Constant rate factor of the video encoder [23].")
@click.option("--jpeg-quality", type=int, help="Quality of pictures that were not JPEG already [95].")
@click.option("--hysteresis", type=float, help=f"Slack under the threshold after a kept frame [{Settings.hysteresis}].")
@click.option(
    "--max-gap", "max_gap_seconds", type=float, metavar="SECONDS", help="Never blind for longer; 0 = off [10]."
)
@click.option("--reuse", type=float, help="Grey levels of change up to which a frame keeps the last one's utility [0].")
@click.option("--batch-size", type=int, help=f"Most frames scored at once [{Settings.batch_size}].")
@live_options
@model_options
def run(
    inputs: tuple[str, ...], outs: tuple[str, ...], records: str | None, config_path: str | None, **flags: Any
) -> None:
    """Filter videos, pictures (files, folders, globs), MJPEG on standard input (-), or live streams.

    Live streams (rtsp://, http://, rtmp://, srt://, /dev/video0) run side by side until they are stopped; targets of
    several of them hold {name}. A TOML file of streams as --config takes the place of inputs; SIGHUP reads it again.
    """
    from streamfilter.filter import StreamFilter
    from streamfilter.pipeline import open_sinks
    from streamfilter.pipeline import run as run_pipeline
    from streamfilter.service import StreamsJob, has_streams
    from streamfilter.sinks import SinkOptions
    from streamfilter.sources import is_live_address, plan_inputs

    chosen = {name: flags.pop(name) for name in ("codec", "crf", "jpeg_quality")}
    options = SinkOptions(**{name: value for name, value in chosen.items() if value is not None})
    live = {name: value for name in LIVE_FLAGS if (value := flags.pop(name)) is not None}
    metrics = flags.pop("metrics")
    if has_streams(config_path) or any(map(is_live_address, inputs)):
        job = StreamsJob(inputs, outs, records, config_path, live, flags, metrics, options)
        with StopOnSignal() as stop:
            summary = job.run(stop.event)
        _end(summary, stop.signal_number)
    if live or metrics:
        names = ", ".join([*live, *(["metrics"] if metrics else [])])
        raise ConfigError(f"{names}: for live streams only, and no input is one")
    if not inputs:
        raise ConfigError("no input: name videos, pictures, - or live streams, or a TOML of streams as --config")
    settings = Settings.load(config_path, **flags)
    plans = plan_inputs(inputs)
    stream_filter = StreamFilter(settings)
    with StopOnSignal() as stop, ProgressLine() as progress:
        sinks = open_sinks(outs, records, options, inputs, plans)
        summary = run_pipeline(plans, stream_filter, sinks, stop.event, progress.show)
    _end(summary, stop.signal_number)


@main.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE_OR_FOLDER...")
@model_options
def score(inputs: tuple[str, ...], config_path: str | None, **flags: Any) -> None:
    """Print one JSON line a picture: its utility for each task, and whether it is useful."""
    from streamfilter.filter import StreamFilter
    from streamfilter.sources import plan_inputs

    stream_filter = StreamFilter(Settings.load(config_path, **flags))
    failures = 0
    for plan in plan_inputs(inputs):
        try:
            source = plan.open()
            if source.is_live or source.info.duration_seconds is not None:
                raise InputError(f"{plan.name} is a video; use: streamfilter run {plan.name} --records -")
            for frame, decision in stream_filter.filter(source):
                failures += decision.utility is None
                _print_score(stream_filter, frame.input, decision.utility, frame.problem)
        except InputError as error:
            failures += 1
            click.echo(f"Error: {error}", err=True)
    sys.exit(int(failures > 0))


@main.command()
@click.argument("model")
def inspect(model: str) -> None:
    """Print a model's spec as JSON: input, tasks, thresholds, training, measured figures."""
    from streamfilter.scorer import Scorer

    scorer = Scorer(model, "cpu")
    described = {"file": str(scorer.path), "bytes": scorer.path.stat().st_size, **asdict(scorer.spec)}
    click.echo(json.dumps(described, indent=2))


@main.command()
def models() -> None:
    """List the models that ship, with size and measured figures."""
    from streamfilter.scorer import Scorer, shipped_models

    for name, path in shipped_models().items():
        spec = Scorer(name, "cpu").spec
        click.echo(f"{name}  {path.stat().st_size / 1e6:.1f} MB  {spec.input_size} x {spec.input_size} px")
        for line in _measured_lines(spec.measured):
            click.echo(f"  {line}")


class StopOnSignal:
    """Sets an event at the first SIGINT or SIGTERM; the second one has its usual effect."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.signal_number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _stop(self, number: int, _: object) -> None:
        self.signal_number = number
        self.event.set()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _end(summary: Any, signal_number: int) -> NoReturn:
    """Say what became of the frames, and end with the status that fits."""
    for failure in summary.failures:
        click.echo(f"Error: {failure}", err=True)
    click.echo(f"{summary}{' (interrupted)' if summary.interrupted else ''}", err=True)
    sys.exit(SIGNAL_EXIT + signal_number if summary.interrupted else int(bool(summary.failures)))


def _print_score(stream_filter: Any, name: str, utility: Any, problem: str | None) -> None:
    if problem is not None:
        click.echo(f"Error: {name}: {problem}", err=True)
    useful = utility is not None and stream_filter.is_useful(utility)
    rounded = None if utility is None else {task: round(value, 6) for task, value in utility.items()}
    click.echo(json.dumps({"input": name, "utility": rounded, "useful": useful}))


def _measured_lines(measured: Any) -> list[str]:
    return [
        f"{where}, {task}: {_figures(figures)}" for where, tasks in measured.items() for task, figures in tasks.items()
    ]


def _figures(figures: Any) -> str:
    """`auroc 0.981, quality_oracle (auroc 0.992)` out of nested figures; counts and absent ones are left out."""
    named = {name: f"{value:.3f}" for name, value in figures.items() if isinstance(value, float)}
    named |= {name: f"({_figures(value)})" for name, value in figures.items() if isinstance(value, dict)}
    return ", ".join(f"{name} {text}" for name, text in named.items())
