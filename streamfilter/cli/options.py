"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from streamfilter.config import DEVICES, PRECISIONS, TASK_RULES, Settings
from streamfilter.stream_config import BACKPRESSURES, TRANSPORTS

TOKEN_VARIABLE = "STREAMFILTER_MONITOR_TOKEN"
LIVE_FLAGS = (
    "transport", "decoder", "backpressure", "staleness_seconds", "stall_seconds", "max_reconnects", "taint_threshold"
)  # fmt: skip


def policy_options(command: Any) -> Any:
    """The options of every command that decides on a stream's frames."""
    for option in (
        click.option("--batch-size", type=int, help=f"Most frames scored at once [{Settings.batch_size}]."),
        click.option(
            "--error-budget", type=float, help=f"Share of reused utilities that may mislead [{Settings.error_budget}]."
        ),
        click.option(
            "--reuse", type=float, help="Grey levels of change up to which a frame keeps the last one's utility [0]."
        ),
        click.option("--canary-seed", type=int, help="Of the draw of canaries [0]."),
        click.option("--canary", type=float, metavar="SHARE", help="Pass this share of the drops after all, 0-1 [0]."),
        click.option(
            "--shadow", is_flag=True, default=None, help="Drop nothing for low utility; only record what would be."
        ),
        click.option(
            "--max-gap", "max_gap_seconds", type=float, metavar="SECONDS", help="Never blind for longer; 0 = off [10]."
        ),
        click.option(
            "--hysteresis", type=float, help=f"Slack under the threshold after a kept frame [{Settings.hysteresis}]."
        ),
    ):
        command = option(command)
    return command


def monitor_options(command: Any) -> Any:
    """The options of a page for running streams."""
    for option in (
        click.option(
            "--monitor-token",
            envvar=TOKEN_VARIABLE,
            metavar="TOKEN",
            help=f"Asked for by the page [${TOKEN_VARIABLE}].",
        ),
        click.option("--monitor", metavar="[HOST:]PORT", help="Serve a page that shows the streams."),
    ):
        command = option(command)
    return command


def model_options(command: Any) -> Any:
    """The options that every scoring command has."""
    for option in (
        click.option("--config", "config_path", type=click.Path(), help="TOML file of settings; flags win over it."),
        click.option("--threads", type=int, help="Threads of the scorer; 0 = one a core."),
        click.option(
            "--precision", type=click.Choice(PRECISIONS), help=f"The model's arithmetic [{Settings.precision}]."
        ),
        click.option("--device", type=click.Choice(DEVICES), help=f"Where the model runs [{Settings.device}]."),
        click.option("--task", type=click.Choice(TASK_RULES), help="Tasks a frame must be useful to [any]."),
        click.option("--profile", type=click.Path(), help="Thresholds and task found by `streamfilter calibrate`."),
        click.option("--threshold", type=float, help="Useful at or above this utility, 0-1 [the model's own]."),
        click.option("--model", help=f"Shipped model or ONNX file [{Settings.model}]."),
    ):
        command = option(command)
    return command


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
