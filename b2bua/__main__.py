"""The command `softswitch`.

A command is a module of `b2bua.cli` with a typer application `app` or a function `command`. It is imported when it is
used, so that the others start quickly and `--help` needs none of them.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from conf.errors import ConfigurationError, UnreadableFile
from conf.loader import CONFIG_VARIABLE

CONFIGURATION_STATUS: Final = 2
"""Exit status when an operator has to put something right."""


class Entry(NamedTuple):
    """A command of the list."""

    module: str
    help: str
    function: str = "command"
    """Where the module has no typer application."""


COMMANDS: Final = {
    "run": Entry("b2bua.cli.run", "Run the whole system: servers, SIP worker, CDR writer and panel."),
    "demo": Entry("b2bua.cli.demo", "Fill an empty system with an example, and call through it."),
    "doctor": Entry("b2bua.cli.doctor", "Look at everything that could keep the system from working."),
    "call": Entry("b2bua.cli.call", "Live calls: list and hang up."),
    "explain": Entry("b2bua.cli.explain", "Ask a running worker what would become of a call, and why."),
    "cdr": Entry("b2bua.cli.cdr", "Call detail records, and the process that writes them."),
    "account": Entry("b2bua.cli.account", "Customers and resellers."),
    "device": Entry("b2bua.cli.device", "Source addresses and SIP users."),
    "registration": Entry("b2bua.cli.registration", "Registered SIP users: list and remove."),
    "mailbox": Entry("b2bua.cli.mailbox", "Messages that wait for SIP users: report and list."),
    "carrier": Entry("b2bua.cli.carrier", "Carriers."),
    "gateway": Entry("b2bua.cli.gateway", "Gateways of carriers."),
    "tariff": Entry("b2bua.cli.tariff", "Tariffs, and the ratecards in them."),
    "ratecard": Entry("b2bua.cli.ratecard", "Ratecards: which rates a tariff is made of."),
    "rate": Entry("b2bua.cli.rate", "Rates: add, change, import, export, undo, list."),
    "route": Entry("b2bua.cli.route", "Routes, and who is sent over which."),
    "rule": Entry("b2bua.cli.rule", "Rules that translate and bar numbers."),
    "did": Entry("b2bua.cli.did", "Numbers that calls come in for, and where they go."),
    "emergency": Entry("b2bua.cli.emergency", "Numbers that anybody may always call."),
    "payment": Entry("b2bua.cli.payment", "Payments, credits and balances."),
    "login": Entry("b2bua.cli.login", "Logins of the panel: list, reset password or second factor."),
    "ban": Entry("b2bua.cli.ban", "Sources that get no answer: list, ban, lift a ban."),
    "backup": Entry("b2bua.cli.backup", "Write the database, its journals and the key into one file."),
    "restore": Entry("b2bua.cli.backup", "Put a backup in the place of what there is.", "restore"),
    "migrate": Entry("b2bua.cli.migrate", "Bring the database to the schema of this version."),
    "sip": Entry("b2bua.cli.sip", "Run one SIP worker alone."),
    "media": Entry("b2bua.cli.media", "Run the media engine alone."),
    "snapshot": Entry("b2bua.cli.snapshot", "Write the files of rates and devices that SIP workers map."),
    "admin": Entry("b2bua.cli.admin", "Run the web panel and the REST API alone."),
}

ADDITIONS: Final = {"cdr": {"write": Entry("b2bua.cli.write", "Run the CDR writer alone.")}}
"""Commands of a group that lie in a module of their own."""


class CommandTable(TyperGroup):
    """Finds commands in the table and imports them on use."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer keeps its context class to itself
        """Return the names of the commands that are there."""
        return [name for name, entry in COMMANDS.items() if importlib.util.find_spec(entry.module) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return a command; while help is being written, only its name and help."""
        if cmd_name not in self.list_commands(ctx):
            return None
        if self._listing:
            return TyperCommand(name=cmd_name, help=COMMANDS[cmd_name].help)
        command = _load(cmd_name, COMMANDS[cmd_name])
        for name, entry in ADDITIONS.get(cmd_name, {}).items():
            command.add_command(_load(name, entry), name)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write help without importing the commands."""
        self._listing = True
        super().format_help(ctx, formatter)


def _load(name: str, entry: Entry) -> Any:  # noqa: ANN401
    module = importlib.import_module(entry.module)
    application = getattr(module, "app", None)
    if application is None:
        application = typer.Typer(add_completion=False)
        application.command(name)(getattr(module, entry.function))
    command = typer.main.get_command(application)
    command.name = name
    return command


app = typer.Typer(
    cls=CommandTable, name="softswitch", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
)


@app.callback()
def choose_settings(
    config: Annotated[Path | None, typer.Option(help="Settings file; default: $SOFTSWITCH_CONFIG")] = None,
) -> None:
    """A SIP softswitch for carriers and resellers."""
    if config is None:
        return
    if not config.is_file():
        raise UnreadableFile(f"settings file {config}: there is no such file")
    # In the environment the choice reaches every command and every process that one starts.
    os.environ[CONFIG_VARIABLE] = str(config.absolute())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what an operator has to put right is one line and exit status 2."""
    try:
        app(args=arguments, prog_name="softswitch")
    except ConfigurationError as error:
        sys.stderr.write(f"softswitch: {error}\n")
        sys.exit(CONFIGURATION_STATUS)


if __name__ == "__main__":
    main()
