"""`softswitch login`: the way back into the panel."""

from typing import Any

import orjson
import pytest
from argon2 import PasswordHasher

from b2bua.cli.context import user_name
from conf.first_start import make_administrator
from rating.ledger import Connection
from tests.b2bua.cli.command_line import CommandLine

FACTOR = "UPDATE panel_user SET totp_secret = 'sealed', totp_step = 7 WHERE login = 'admin'"
CODE = "INSERT INTO panel_recovery_code (user_id, code_hash) SELECT id, 'code' FROM panel_user WHERE login = 'admin'"
SESSIONS = "INSERT INTO panel_session (token_hash, user_id, data) SELECT login::bytea, id, '{}' FROM panel_user"


@pytest.fixture
def logins(cli: CommandLine) -> str:
    """The first administrator, with a second factor, and a customer's login, both signed in; the former's password."""

    async def make(connection: Connection) -> str:
        password = await make_administrator(connection)
        assert password is not None
        for statement in (FACTOR, CODE):
            await connection.execute(statement)
        await connection.execute(
            """
            WITH made AS (
                INSERT INTO account (code, kind, name, currency) VALUES ('CUST0001', 'customer', 'One', 'EUR')
                RETURNING id
            )
            INSERT INTO panel_user (login, password_hash, role, account_id, signed_in_at)
            SELECT 'one', 'x', 'customer', id, '2026-03-01 12:00+00' FROM made
            """
        )
        await connection.execute(SESSIONS)
        return password

    return cli.sql(make)


def entries(cli: CommandLine) -> list[dict[str, Any]]:
    """The audit log, the first entry first."""
    rows = cli.sql(lambda connection: connection.fetch("SELECT * FROM audit_entry ORDER BY id"))
    return [{**row, "old": orjson.loads(row["old"]), "new": orjson.loads(row["new"])} for row in rows]


class TestList:
    def test_logins_are_listed_by_name_with_what_keeps_them_out(self, cli: CommandLine, logins: str) -> None:
        assert cli.json("login", "list") == [
            {
                "login": "admin",
                "role": "administrator",
                "account": None,
                "status": "active",
                "second_factor": True,
                "signed_in_at": None,
            },
            {
                "login": "one",
                "role": "customer",
                "account": "CUST0001",
                "status": "active",
                "second_factor": False,
                "signed_in_at": "2026-03-01T12:00:00.000Z",
            },
        ]
        cli.value("UPDATE panel_user SET locked_until = now() + interval '1 minute' WHERE login = 'one'")
        cli.value("UPDATE panel_user SET status = 'inactive', locked_until = now() + '1 minute' WHERE login = 'admin'")
        rows = orjson.loads(cli("login", "list", "--json").stdout)
        assert [row["status"] for row in rows] == ["inactive", "locked"]
        assert "yes" in cli("login", "list").stdout

    def test_list_is_narrowed_and_goes_on(self, cli: CommandLine, logins: str) -> None:
        def names(*arguments: str) -> list[str]:
            return [row["login"] for row in cli.json("login", "list", *arguments)]

        assert names("--role", "administrator") == ["admin"]
        assert names("--account", "CUST0001") == ["one"]
        assert names("--after", "admin") == ["one"]
        assert cli("login", "list", "--limit", "1").stderr == "there is more: --after admin\n"
        assert cli("login", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"


class TestResetFactor:
    def test_factor_codes_and_sessions_are_gone_and_the_log_says_so(self, cli: CommandLine, logins: str) -> None:
        said = cli("login", "reset-factor", "admin").stdout
        assert said == "login admin has no second factor any longer, its sessions have ended\n"
        assert cli.value("SELECT num_nulls(totp_secret, totp_step) FROM panel_user WHERE login = 'admin'") == 2
        assert cli.value("SELECT count(*) FROM panel_recovery_code") == 0
        assert cli.value("SELECT login FROM panel_session JOIN panel_user ON panel_user.id = user_id") == "one"
        (entry,) = entries(cli)
        assert (entry["login"], entry["source"], entry["role"]) == ("command line", user_name(), "")
        assert (entry["action"], entry["object"]) == ("login.reset_factor", "login admin")
        assert (entry["old"], entry["new"]) == ({"second_factor": True}, {"second_factor": False})

    def test_nothing_is_done_where_there_is_none(self, cli: CommandLine, logins: str) -> None:
        assert cli("login", "reset-factor", "one").stdout == "login one has no second factor\n"
        assert cli.value("SELECT count(*) FROM panel_session") == 2
        assert entries(cli) == []


class TestResetPassword:
    def test_password_is_shown_once_and_has_to_be_changed(self, cli: CommandLine, logins: str) -> None:
        cli.value("UPDATE panel_user SET status = 'inactive', failures = 3, locked_until = now() + '1 minute'")
        result = cli("login", "reset-password", "admin")
        password = result.stdout.partition("password ")[2].split()[0]
        assert "shown this once" in result.stdout
        assert "softswitch login reset-factor admin" in result.stderr
        assert password != logins
        row = cli.sql(lambda connection: connection.fetchrow("SELECT * FROM panel_user WHERE login = 'admin'"))
        assert row is not None
        assert PasswordHasher().verify(row["password_hash"], password)
        assert (row["must_change_password"], row["status"], row["failures"]) == (True, "active", 0)
        assert row["locked_until"] is None
        assert row["totp_secret"] == "sealed"
        assert cli.value("SELECT count(*) FROM panel_session") == 1, "the other login's"
        (entry,) = entries(cli)
        assert (entry["login"], entry["action"], entry["object"]) == (
            "command line",
            "login.reset_password",
            "login admin",
        )
        assert entry["old"].pop("locked_until") is not None
        assert entry["old"] == {"password": "changed", "status": "inactive"}
        assert entry["new"] == {"password": "changed", "status": "active", "locked_until": None}

    def test_program_gets_it_as_an_object(self, cli: CommandLine, logins: str) -> None:
        result = cli("login", "reset-password", "one", "--json")
        told = orjson.loads(result.stdout)
        assert (set(told), told["login"], result.stderr) == ({"login", "password"}, "one", "")
        stored = cli.value("SELECT password_hash FROM panel_user WHERE login = 'one'")
        assert PasswordHasher().verify(stored, told["password"])
        (entry,) = entries(cli)
        account = cli.value("SELECT id FROM account WHERE code = 'CUST0001'")
        assert (entry["object"], entry["account_id"]) == ("login one of CUST0001", account)


@pytest.mark.parametrize("command", ["reset-factor", "reset-password"])
def test_login_that_is_none_is_named_and_nothing_changes(cli: CommandLine, logins: str, command: str) -> None:
    result = cli("login", command, "Admin", status=1)
    assert (result.stdout, result.stderr) == ("", "error: no login Admin\n")
    assert entries(cli) == []
