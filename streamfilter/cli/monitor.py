"""`streamfilter monitor`: look at streams without passing them on."""

from __future__ import annotations

from typing import Any

import click

from streamfilter.cli.options import LIVE_FLAGS, TOKEN_VARIABLE, live_options, model_options, policy_options
from streamfilter.cli.stopping import StopOnSignal, end, hangups
from streamfilter.errors import ConfigError
from streamfilter.stream_config import has_streams

DEFAULT_PORT = "8750"


@click.command()
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--port", "listen", default=DEFAULT_PORT, metavar="[HOST:]PORT", help=f"Of the page [{DEFAULT_PORT}].")
@click.option("--token", envvar=TOKEN_VARIABLE, help=f"Asked for by the page [${TOKEN_VARIABLE}].")
@policy_options
@live_options
@model_options
def monitor(inputs: tuple[str, ...], listen: str, token: str | None, config_path: str | None, **flags: Any) -> None:
    """Show on a web page what would be kept of live streams and videos, and what dropped and why.

    Frames are read, scored and decided on as by `run`, and go nowhere; targets of a TOML of streams are left alone.
    The page stays until the command is interrupted. Other machines can see it with --port 0.0.0.0:8750, and need the
    token that is told then. To watch while filtering: streamfilter run ... --monitor PORT.
    """
    if not inputs and not has_streams(config_path):
        raise ConfigError("no input: name live streams or videos, or a TOML of streams as --config")
    # Before the slow imports: a hangup would end the command meanwhile.
    hung_up = click.get_current_context().with_resource(hangups())

    from streamfilter.service import StreamsJob
    from streamfilter.sinks import SinkOptions

    live = {name: value for name in LIVE_FLAGS if (value := flags.pop(name)) is not None}
    metrics = flags.pop("metrics")
    job = StreamsJob(
        inputs, (), None, config_path, live, flags, metrics, SinkOptions(), listen, token, only_watches=True
    )
    with StopOnSignal(at_hangup=False) as stop:
        summary = job.run(stop.event, hung_up)
    end(summary, stop.signal_number)
