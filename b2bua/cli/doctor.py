"""`softswitch doctor`: is everything on this machine as it should be?"""

import asyncio
from typing import Final

import asyncpg
import typer
from valkey.asyncio import Valkey

from b2bua.cli.checks import CHECKS, NEED_DATABASE, Check, Finding, Scene, State
from b2bua.cli.context import run, settings_of
from b2bua.cli.media_checks import check_media
from b2bua.cli.output import Format, FormatOption, print_rows
from b2bua.control.client import ControlClient
from b2bua.control.messages import ControlError
from conf.database import connect, without_password
from conf.embedded import database_url, live_url, run_directory
from conf.errors import ConfigurationError
from conf.settings import Settings

COLUMNS: Final = ("state", "check", "text")

CHECK_TIMEOUT: Final = 30.0
"""Longest time for one check, in seconds; the ledger of a large system takes some."""

_COLOURS: Final = {State.OK: None, State.WARNING: typer.colors.YELLOW, State.FAULT: typer.colors.RED}


def command(context: typer.Context, output: FormatOption = Format.TABLE) -> None:
    """Check ports, servers, workers, counters, disk and books; exit with 1 when something is at fault.

    Examples: softswitch doctor, softswitch doctor --format json
    """
    findings = run(examine(settings_of(context)))
    if output is Format.TABLE:
        width = max(len(finding.check) for finding in findings)
        for finding in findings:
            line = f"{finding.state:<7}  {finding.check:<{width}}  {finding.text}"
            typer.secho(line, fg=_COLOURS[finding.state])
    else:
        rows = [{"state": str(one.state), "check": one.check, "text": one.text} for one in findings]
        print_rows(rows, COLUMNS, output)
    if any(finding.state is State.FAULT for finding in findings):
        raise typer.Exit(1)


async def examine(settings: Settings) -> list[Finding]:
    """Do every check and return their findings in order."""
    scene = Scene(settings, ControlClient(run_directory(settings)))
    await _ask_workers(scene)
    scene.live_name = without_password(live_url(settings))
    timeout = settings.live.timeout
    scene.live = Valkey.from_url(
        live_url(settings), decode_responses=True, socket_timeout=timeout, socket_connect_timeout=timeout
    )
    try:
        await _connect_database(scene)
        findings = []
        for name, check in (*CHECKS, ("media", check_media)):
            findings += await _do(scene, name, check)
        return findings
    finally:
        await scene.live.aclose()
        if scene.connection is not None:
            await scene.connection.close(timeout=5)


async def _ask_workers(scene: Scene) -> None:
    for name in scene.control.workers():
        try:
            scene.pings.append(await scene.control.request(name, "ping"))
        except ControlError as error:
            # A socket file that nobody serves is what a killed worker leaves behind.
            is_dead = isinstance(error.__cause__, ConnectionRefusedError)
            (scene.dead if is_dead else scene.silent).append(name)


async def _connect_database(scene: Scene) -> None:
    url = database_url(scene.settings)
    try:
        scene.connection = await connect(url)
        scene.database_name = without_password(url)
    except ConfigurationError as error:
        scene.database_name = str(error)


async def _do(scene: Scene, name: str, check: Check) -> list[Finding]:
    """Do one check; whatever goes wrong in it is a finding and not the end of the others."""
    if name in NEED_DATABASE and scene.connection is None:
        return [Finding(name, State.WARNING, "not checked: no database")]
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await check(scene)
    except ConfigurationError as error:
        return [Finding("schema" if name == "database" else name, State.FAULT, str(error))]
    except TimeoutError:
        return [Finding(name, State.FAULT, f"no answer within {CHECK_TIMEOUT:.0f} s")]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        return [Finding(name, State.FAULT, " ".join(str(error).split()) or type(error).__name__)]
