"""`softswitch demo`: data to try the switch with, and a call through it."""

from typing import Annotated

import typer

from b2bua.cli.context import database, faults, run, settings_of
from b2bua.cli.demo_data import CUSTOMER, DEVICE_ADDRESS, SIP_USER, Made, load_demo
from conf.settings import Settings

app = typer.Typer(add_completion=False, help="Data to try the switch with, and a call through it.")


@app.callback(
    invoke_without_command=True,
    epilog="Examples: softswitch demo\n\nsoftswitch demo call",
)
def demo(context: typer.Context) -> None:
    """Load a reseller, two customers, two carriers, prices and a route; loading them again changes nothing."""
    if context.invoked_subcommand is None:
        _report(run(_load(settings_of(context))))


async def _load(settings: Settings) -> Made:
    async with database(settings) as connection:
        return await load_demo(connection, settings)


def _report(made: Made) -> None:
    for text, is_new in made.lines:
        typer.echo(f"{'made' if is_new else 'kept'}  {text}")
    typer.echo()
    if made.secret is not None:
        typer.echo(f"SIP user {SIP_USER}, realm {made.realm}, secret {made.secret}")
        typer.echo("The secret is shown this once; only its hash is kept.")
    typer.echo(f"Calls from {DEVICE_ADDRESS} are {CUSTOMER}'s. Try one: softswitch demo call")


@app.command("call", epilog="Examples: softswitch demo call\n\nsoftswitch demo call --seconds 10")
def call(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=0.0, max=3600.0, help="How long to talk, in seconds.")] = 2.0,
) -> None:
    """Make a call through the running switch, with a carrier of its own, and show its ladder and record."""
    from b2bua.agent.demo_call import main

    settings = settings_of(context)
    with faults():
        status = main(settings, seconds)
    raise typer.Exit(status)
