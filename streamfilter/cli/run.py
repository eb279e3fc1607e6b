"""`streamfilter run`: filter inputs into targets."""

from __future__ import annotations

from typing import Any

import click

from streamfilter.cli.options import LIVE_FLAGS, live_options, model_options
from streamfilter.cli.stopping import StopOnSignal, end
from streamfilter.config import Settings
from streamfilter.errors import ConfigError
from streamfilter.progress import ProgressLine


@click.command()
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
@click.option("--shadow", is_flag=True, default=None, help="Drop nothing for low utility; only record what would be.")
@click.option("--canary", type=float, metavar="SHARE", help="Pass this share of the drops all the same, 0-1 [0].")
@click.option("--canary-seed", type=int, help="Of the draw of canaries [0].")
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
        end(summary, stop.signal_number)
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
    end(summary, stop.signal_number)
