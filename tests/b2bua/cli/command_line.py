"""The commands in this process, on the database of a test; and a SIP worker's end of the control interface."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import typer
from typer.testing import CliRunner, Result

from b2bua.cli import (
    account,
    backup,
    call,
    carrier,
    cdr,
    demo,
    device,
    did,
    doctor,
    emergency,
    explain,
    gateway,
    login,
    mailbox,
    payment,
    rate,
    ratecard,
    registration,
    route,
    rule,
    tariff,
)
from conf.settings import Settings
from rating.ledger import Connection

Value = TypeVar("Value")

GROUPS = {
    "account": account,
    "call": call,
    "carrier": carrier,
    "cdr": cdr,
    "demo": demo,
    "device": device,
    "did": did,
    "emergency": emergency,
    "gateway": gateway,
    "login": login,
    "mailbox": mailbox,
    "payment": payment,
    "rate": rate,
    "ratecard": ratecard,
    "registration": registration,
    "route": route,
    "rule": rule,
    "tariff": tariff,
}


class CommandLine:
    """Runs commands with these settings and looks into their database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._app = typer.Typer()
        for name, module in GROUPS.items():
            self._app.add_typer(module.app, name=name)
        self._app.command("doctor")(doctor.command)
        self._app.command("explain")(explain.command)
        self._app.command("backup")(backup.command)
        self._app.command("restore")(backup.restore)

    def __call__(self, *arguments: str, status: int = 0, typed: str | None = None) -> Result:
        """Run a command, with this on its standard input, and see that it ends with this status."""
        result = CliRunner().invoke(self._app, list(arguments), obj=self.settings, input=typed)
        assert result.exit_code == status, (result.output, result.exception)
        return result

    def json(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with --format json and return what it printed."""
        return orjson.loads(self(*arguments, "--format", "json", status=status).stdout)

    def sql(self, work: Callable[[Connection], Awaitable[Value]]) -> Value:
        """Do something with a connection to the database."""

        async def main() -> Value:
            connection = await asyncpg.connect(self.settings.database.url)
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(main())

    def value(self, query: str, *arguments: object) -> Any:
        """Return one value of the database."""
        return self.sql(lambda connection: connection.fetchval(query, *arguments))


class Worker:
    """What answers on a worker's control socket: each verb with the object given for it."""

    def __init__(self, path: Path, answers: dict[str, dict[str, Any]]) -> None:
        self.answers = answers
        self.requests: list[dict[str, Any]] = []
        self._path = path
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._started.wait(5)

    def stop(self) -> None:
        """Stop answering."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _serve(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_unix_server(self._answer, self._path))
        self._started.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(server.wait_closed())
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = orjson.loads(await reader.readline())
        self.requests.append(request)
        writer.write(orjson.dumps({"ok": True, **self.answers[request["verb"]]}) + b"\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
