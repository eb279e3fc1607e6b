"""The command line: parse, validate, one library call. Data on stdout, words on stderr; exit 0, 1 failed, 2 usage."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from streamfilter import __version__
from streamfilter.cli.calibrate import calibrate
from streamfilter.cli.canary import canary
from streamfilter.cli.describe import inspect, models
from streamfilter.cli.monitor import monitor
from streamfilter.cli.output import drop_rest, occupy_closed, refused, was_printing
from streamfilter.cli.report import report
from streamfilter.cli.run import run
from streamfilter.cli.score import score
from streamfilter.cli.stopping import interruptible
from streamfilter.errors import ConfigError, StreamFilterError


class CommandGroup(click.Group):
    """Turns this package's errors into one line on stderr and an exit status."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run a command and exit."""
        occupy_closed()
        try:
            return super().main(*arguments, **options)
        except OSError as error:
            if not was_printing(error):
                raise
            click.echo(f"Error: {refused(error)}", err=True)
            sys.exit(1)
        finally:
            drop_rest()

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            with interruptible():
                return super().invoke(ctx)
        except ConfigError as error:
            raise click.UsageError(str(error)) from error
        except StreamFilterError as error:
            raise click.ClickException(str(error)) from error


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
    # Its warnings hold whole addresses, tokens included; what matters of them our own lines tell, masked.
    logging.getLogger("urllib3").setLevel(logging.CRITICAL)


for command in (run, calibrate, canary, monitor, report, score, inspect, models):
    main.add_command(command)
