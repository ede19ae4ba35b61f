"""`softswitch media`: the process that carries the audio of calls with media."""

import typer

from conf.loader import load
from conf.log import configure


def command() -> None:
    """Run the media engine alone."""
    from media.__main__ import run
    from media.engine_address import OWN_NAME

    settings = load()
    configure(settings, OWN_NAME)
    raise typer.Exit(run(settings))
