"""`softswitch ban`, on a real Valkey; and what the doctor says of bans."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer
from typer.testing import CliRunner, Result

from b2bua.ban import store
from b2bua.cli import ban
from b2bua.cli.checks import Scene, check_bans
from b2bua.control.client import ControlClient
from conf.settings import Settings
from tests.b2bua.ban.workers import OTHER, SOURCE, member_at
from tests.support.live import store_at


class BanCommand:
    """Runs the command on a live store."""

    def __init__(self, live_url: str) -> None:
        self.live_url = live_url
        settings = Settings()
        self.settings = replace(settings, live=replace(settings.live, url=live_url))
        self._app = typer.Typer()
        self._app.add_typer(ban.app, name="ban")

    def __call__(self, *arguments: str, status: int = 0) -> Result:
        result = CliRunner().invoke(self._app, ["ban", *arguments], obj=self.settings)
        assert result.exit_code == status, (result.output, result.exception)
        return result

    def rows(self, *arguments: str) -> Any:
        return orjson.loads(self("list", "--format", "json", *arguments).stdout)


@pytest.fixture
def command(live_url: str) -> BanCommand:
    return BanCommand(live_url)


class TestAdd:
    def test_source_is_banned_for_the_time_of_the_setting(self, command: BanCommand) -> None:
        assert command("add", SOURCE).stdout == f"{SOURCE} is banned for 900 s\n"
        (row,) = command.rows()
        assert (row["address"], row["reason"], row["by"][:14]) == (SOURCE, "", "command line: ")
        assert 895 <= row["seconds_left"] <= 900

    def test_time_and_reason_are_those_that_are_given(self, command: BanCommand) -> None:
        command("add", "2001:0DB8::9", "--seconds", "86400", "--reason", "floods, us")
        (row,) = command.rows()
        assert (row["address"], row["reason"]) == (OTHER, "floods, us")
        assert row["seconds_left"] > 86_000

    def test_workers_drop_what_comes_from_it(self, command: BanCommand) -> None:
        async def main() -> None:
            async with member_at(command.live_url) as member:
                await asyncio.to_thread(command, "add", f"::ffff:{SOURCE}")
                await member.look()
                assert member.has_banned(SOURCE)
                await asyncio.to_thread(command, "remove", SOURCE)
                await member.look()
                assert not member.has_banned(SOURCE)

        asyncio.run(main())

    @pytest.mark.parametrize(
        ("address", "fault"),
        [
            ("example.com", "not an address"),
            ("203.0.113.0/24", "a network"),
            ("203.0.113.9:5060", "not an address"),
            ("203.0.113", "not an address"),
            ("", "not an address"),
            ("0.0.0.0", "not an address that anybody sends from"),
            ("ff02::1", "not an address that anybody sends from"),
        ],
    )
    def test_fault_is_named_when_it_is_no_address(self, command: BanCommand, address: str, fault: str) -> None:
        for verb in ("add", "remove"):
            assert fault in " ".join(command(verb, "--", address, status=2).stderr.replace("│", "").split())
        assert command.rows() == []

    def test_time_has_to_be_at_least_a_second(self, command: BanCommand) -> None:
        command("add", SOURCE, "--seconds", "0", status=2)


class TestRemove:
    def test_ban_is_lifted(self, command: BanCommand) -> None:
        command("add", SOURCE)
        assert command("remove", SOURCE).stdout == f"{SOURCE} is not banned any longer\n"
        assert command.rows() == []

    def test_error_when_there_is_none(self, command: BanCommand) -> None:
        assert command("remove", SOURCE, status=1).stderr == f"error: {SOURCE} is not banned\n"


class TestList:
    def test_latest_is_first_and_the_list_is_cut_at_its_limit(self, command: BanCommand) -> None:
        for number in range(3):
            command("add", f"203.0.113.{number}")
        assert [row["address"] for row in command.rows()] == [f"203.0.113.{number}" for number in (2, 1, 0)]
        result = command("list", "--limit", "2", "--format", "csv")
        assert result.stdout.count("\n") == 3
        assert result.stderr == "2 of 3 bans are listed\n"
        assert "203.0.113.1" in command("list").stdout

    def test_ended_bans_are_not_listed(self, command: BanCommand) -> None:
        command("add", SOURCE)
        with store_at(command.live_url) as valkey:
            detail = orjson.loads(valkey.hash("{bans}:detail")[SOURCE])
            valkey("HSET", "{bans}:detail", SOURCE, orjson.dumps({**detail, "until": valkey.now() - 1}).decode())
        assert command.rows() == []

    def test_error_is_one_line_when_the_live_store_is_away(self, command: BanCommand, tmp_path: Path) -> None:
        url = f"unix://{tmp_path}/none"
        command.settings = replace(command.settings, live=replace(command.settings.live, url=url))
        error = command("list", status=1).stderr
        assert error.startswith(f"error: live store at {url}")
        assert error.count("\n") == 1


class TestHelp:
    @pytest.mark.parametrize("verb", ["list", "add", "remove"])
    def test_help_has_an_example(self, command: BanCommand, verb: str) -> None:
        assert f"softswitch ban {verb}" in command(verb, "--help").stdout

    def test_longest_ban_is_that_of_the_store(self, command: BanCommand) -> None:
        command("add", SOURCE, "--seconds", str(store.LONGEST))
        command("add", SOURCE, "--seconds", str(store.LONGEST + 1), status=2)
        assert len(command.rows()) == 1


class TestDoctor:
    def test_doctor_says_where_each_worker_drops(self, tmp_path: Path) -> None:
        scene = Scene(Settings(), ControlClient(tmp_path))
        scene.pings = [
            {"worker": "sip-1", "ban_path": "kernel", "bans": 3},
            {"worker": "sip-2", "ban_path": "user space", "bans": 3},
        ]
        assert [finding.text for finding in asyncio.run(check_bans(scene))] == [
            "sip-1 drops 3 banned sources in the kernel (nftables)",
            "sip-2 drops 3 banned sources in user space",
        ]
