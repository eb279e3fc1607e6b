"""`streamfilter run`: filter inputs into targets."""

from __future__ import annotations

from threading import Event
from typing import Any

import click

from streamfilter.cli.options import LIVE_FLAGS, live_options, model_options, monitor_options, policy_options
from streamfilter.cli.stopping import StopOnSignal, end, hangups
from streamfilter.config import Settings
from streamfilter.errors import ConfigError
from streamfilter.progress import ProgressLine
from streamfilter.stream_config import has_streams


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--out", "outs", multiple=True, metavar="TARGET", help="Video file, folder, - (MJPEG), or an address.")
@click.option("--records", type=click.Path(), metavar="FILE|-", help="JSON lines, one a frame.")
@click.option("--codec", help="Video encoder [libx264].")
@click.option("--crf", type=int, help="Constant rate factor of the video encoder [23].")
@click.option("--jpeg-quality", type=int, help="Quality of pictures that were not JPEG already [95].")
@policy_options
@monitor_options
@live_options
@model_options
def run(
    inputs: tuple[str, ...], outs: tuple[str, ...], records: str | None, config_path: str | None, **flags: Any
) -> None:
    """Filter videos, pictures (files, folders, globs), MJPEG on standard input (-), or live streams.

    Live streams (rtsp://, http://, rtmp://, udp://, /dev/video0) run side by side until they are stopped; targets of
    several of them hold {name}. A TOML file of streams as --config takes the place of inputs; SIGHUP reads it again.
    """
    from streamfilter.sources import is_live_address

    are_streams = has_streams(config_path) or any(map(is_live_address, inputs))
    # Before the slow imports: a hangup would end the command meanwhile.
    hung_up = click.get_current_context().with_resource(hangups()) if are_streams else Event()

    from streamfilter.filter import StreamFilter
    from streamfilter.pipeline import open_sinks
    from streamfilter.pipeline import run as run_pipeline
    from streamfilter.service import StreamsJob
    from streamfilter.sinks import SinkOptions
    from streamfilter.sources import plan_inputs

    chosen = {name: flags.pop(name) for name in ("codec", "crf", "jpeg_quality")}
    options = SinkOptions(**{name: value for name, value in chosen.items() if value is not None})
    live = {name: value for name in LIVE_FLAGS if (value := flags.pop(name)) is not None}
    metrics, monitor, token = (flags.pop(name) for name in ("metrics", "monitor", "monitor_token"))
    if are_streams:
        job = StreamsJob(inputs, outs, records, config_path, live, flags, metrics, options, monitor, token)
        with StopOnSignal(at_hangup=False) as stop:
            summary = job.run(stop.event, hung_up)
        end(summary, stop.signal_number)
    if live or metrics or monitor:
        names = ", ".join([*live, *(["metrics"] if metrics else []), *(["monitor"] if monitor else [])])
        raise ConfigError(f"{names}: for live streams only, and no input is one")
    if not inputs:
        raise ConfigError("no input: name videos, pictures, - or live streams, or a TOML of streams as --config")
    settings = Settings.load(config_path, **flags)
    plans = plan_inputs(inputs)
    stream_filter = StreamFilter(settings)
    with StopOnSignal() as stop, ProgressLine() as progress:
        sinks = open_sinks(outs, records, options, plans, [*settings.files(), config_path or ""])
        summary = run_pipeline(plans, stream_filter, sinks, stop.event, progress.show)
    end(summary, stop.signal_number, f"Stages: {stream_filter.stages}" if settings.reuse else "")
