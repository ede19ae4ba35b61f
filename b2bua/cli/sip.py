"""`softswitch sip`: one SIP worker."""

from typing import Annotated

import typer

from conf.loader import load
from conf.log import configure


def command(
    name: Annotated[str, typer.Option(help="Name of the worker, unique on this machine: sip-1, sip-2, …")] = "sip-1",
) -> None:
    """Run one SIP worker alone."""
    from b2bua.worker import run

    settings = load()
    configure(settings, name)
    raise typer.Exit(run(settings, name))
