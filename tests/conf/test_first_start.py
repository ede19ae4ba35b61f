from dataclasses import replace

import asyncpg
from argon2 import PasswordHasher

from conf.first_start import fix_realm, make_administrator
from conf.settings import Settings, SIPSettings
from tests.support.servers import Run


def test_administrator_is_made_once_and_has_to_change_the_password(database_url: str, run: Run) -> None:
    async def start_twice() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            password = await make_administrator(connection)
            assert password is not None
            row = await connection.fetchrow("SELECT login, password_hash, role, must_change_password FROM panel_user")
            assert row is not None
            assert (row["login"], row["role"], row["must_change_password"]) == ("admin", "administrator", True)
            assert PasswordHasher().verify(row["password_hash"], password)
            assert await make_administrator(connection) is None
        finally:
            await connection.close()

    run(start_twice())


def test_realm_stays_what_it_was_at_the_first_start(database_url: str, run: Run) -> None:
    async def start_twice() -> list[str]:
        connection = await asyncpg.connect(database_url)
        try:
            first = replace(Settings(), sip=SIPSettings(realm="first.example"))
            other = replace(Settings(), sip=SIPSettings(realm="other.example"))
            return [await fix_realm(connection, first), await fix_realm(connection, other)]
        finally:
            await connection.close()

    assert run(start_twice()) == ["first.example", "first.example"]
