"""`softswitch snapshot`: the process that writes the files of rates and devices which SIP workers map."""

from typing import Annotated

import typer

from conf.loader import load
from conf.log import configure


def command(
    once: Annotated[bool, typer.Option("--once", help="Write what is missing or old, then end")] = False,
) -> None:
    """Write the files of rates and devices that SIP workers map, and keep them new."""
    from b2bua.policy.builder import run

    settings = load()
    configure(settings, "snapshot")
    raise typer.Exit(run(settings, once=once))
