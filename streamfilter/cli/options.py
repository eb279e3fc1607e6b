"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

from streamfilter.config import DEVICES, TASK_RULES, Settings
from streamfilter.stream_config import BACKPRESSURES, TRANSPORTS

LIVE_FLAGS = (
    "transport", "decoder", "backpressure", "staleness_seconds", "stall_seconds", "max_reconnects", "taint_threshold"
)  # fmt: skip


def model_options(command: Any) -> Any:
    """The options that every scoring command has."""
    for option in (
        click.option("--config", "config_path", type=click.Path(), help="TOML file of settings; flags win over it."),
        click.option("--threads", type=int, help="Threads of the scorer; 0 = one a core."),
        click.option("--device", type=click.Choice(DEVICES), help="Where the model runs."),
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
