"""`python -m trainer`: each command lies beside its room and is imported when it is asked for."""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec

import click

from streamfilter.errors import StreamFilterError

ROOMS = ("label", "teach", "train", "evaluate", "judge", "score", "sheet", "kit", "causes", "recipe", "reproduce")


class RoomGroup(click.Group):
    """A group whose command NAME is `trainer.NAME.command`, so that labelling never waits for torch."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [room for room in ROOMS if find_spec(f"trainer.{room}") is not None]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        command: click.Command = import_module(f"trainer.{name}").command
        return command

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except StreamFilterError as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=RoomGroup)
def main() -> None:
    """Label pictures with their utility, train a model on the labels, evaluate it."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


if __name__ == "__main__":
    main(prog_name="python -m trainer")
