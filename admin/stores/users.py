"""Logins of the panel and their sessions."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

import orjson

from admin.permissions import Permission, has_permission
from admin.scope import Scope, scope_of
from admin.stores.reading import Pool
from admin.time_zone import zone_of
from rating.ledger import Connection

ACTING_AS: Final = "acting_as"
"""In the data of a session: the login that it works as."""


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in."""

    user_id: int
    login: str
    role: str
    account_id: int | None
    account: str | None
    """Code of the account."""
    must_change_password: bool
    time_zone: str = "UTC"
    """In which its times are shown."""
    has_second_factor: bool = False
    switched_by: str = ""
    """The login that works as this one; empty: it signed in itself."""
    real_user_id: int = 0
    """Of that login."""
    sees_rates: bool = False
    """Whether its account lets its own logins see what they pay."""

    @property
    def scope(self) -> Scope:
        """The accounts this login sees."""
        return scope_of(self.role, self.account_id)

    @property
    def zone(self) -> tzinfo:
        """On whose clock times are shown to it and read from it."""
        return zone_of(self.time_zone)

    def may(self, permission: Permission) -> bool:
        """Whether this login has the permission."""
        return has_permission(self.role, permission)


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a sign-in needs to know of a login."""

    user_id: int
    password_hash: str
    has_second_factor: bool
    locked_until: datetime | None
    """Set when this very attempt locked it."""


@dataclass(frozen=True, slots=True)
class SecondStep:
    """What the second step of a sign-in needs to know of a login."""

    login: str
    sealed_secret: str
    last_step: int | None
    """Of the last code that was taken."""


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session of a login, as it is shown to itself."""

    session_id: int
    source: str
    agent: str
    created_at: datetime
    seen_at: datetime
    is_current: bool


async def begin_sign_in(pool: Pool, login: str, lock_after: int, lock_time: int) -> SignIn | None:
    """Count an attempt, and return the login if it exists, is active and not locked.

    The attempt counts as failed until `finish_sign_in` says otherwise: attempts sent at the same time cannot get past
    the lock. The attempt that reaches `lock_after` locks the login for `lock_time` seconds.
    """
    row = await pool.fetchrow(
        """
        UPDATE panel_user
        SET failures = CASE WHEN failures + 1 >= $2 THEN 0 ELSE failures + 1 END,
            locked_until = CASE WHEN failures + 1 >= $2 THEN now() + make_interval(secs => $3) END
        WHERE login = $1 AND status = 'active' AND (locked_until IS NULL OR locked_until <= now())
        RETURNING id, password_hash, totp_secret IS NOT NULL AS has_second_factor, locked_until
        """,
        login,
        lock_after,
        float(lock_time),
    )
    return SignIn(*row) if row else None


async def await_second_step(pool: Pool, found: SignIn, lock_after: int) -> None:
    """The password was right, and a code is to come: the attempt stays counted, but does not lock by itself.

    Only the lock that this attempt made is opened again, so that codes cannot be tried for longer.
    """
    await pool.execute(
        "UPDATE panel_user SET failures = $3, locked_until = NULL WHERE id = $1 AND locked_until = $2",
        found.user_id,
        found.locked_until,
        lock_after - 1,
    )


async def begin_second_step(pool: Pool, user_id: int, lock_after: int, lock_time: int) -> SecondStep | None:
    """Count an attempt at a code like one at a password, and return what it is checked against.

    None: the login is locked, or has no second factor.
    """
    row = await pool.fetchrow(
        """
        UPDATE panel_user
        SET failures = CASE WHEN failures + 1 >= $2 THEN 0 ELSE failures + 1 END,
            locked_until = CASE WHEN failures + 1 >= $2 THEN now() + make_interval(secs => $3) END
        WHERE id = $1 AND status = 'active' AND totp_secret IS NOT NULL
          AND (locked_until IS NULL OR locked_until <= now())
        RETURNING login, totp_secret, totp_step
        """,
        user_id,
        lock_after,
        float(lock_time),
    )
    return SecondStep(*row) if row else None


async def finish_sign_in(pool: Pool, user_id: int) -> None:
    """It proved itself: forget the failures."""
    await pool.execute(
        "UPDATE panel_user SET failures = 0, locked_until = NULL, signed_in_at = now() WHERE id = $1", user_id
    )


async def password_hash(pool: Pool, user_id: int) -> str | None:
    """The stored hash of a login."""
    value: str | None = await pool.fetchval("SELECT password_hash FROM panel_user WHERE id = $1", user_id)
    return value


async def change_password(connection: Connection, user_id: int, new_hash: str) -> None:
    """Store a new hash and end every session of the login."""
    await connection.execute(
        "UPDATE panel_user SET password_hash = $2, must_change_password = false, failures = 0 WHERE id = $1",
        user_id,
        new_hash,
    )
    await connection.execute("DELETE FROM panel_session WHERE user_id = $1", user_id)


async def find_session(pool: Pool, token_hash: bytes, idle: int) -> tuple[User, dict[str, Any]] | None:
    """The login and the data of a session that is still good. Does not count as a use of it."""
    row = await pool.fetchrow(
        """
        SELECT panel_user.id, panel_user.login, panel_user.role, panel_user.account_id, panel_user.must_change_password,
               panel_user.time_zone, panel_user.totp_secret IS NOT NULL AS has_second_factor,
               account.code AS account, coalesce(account.own_rates, false) AS sees_rates,
               panel_session.data::text AS data
        FROM panel_session
        JOIN panel_user ON panel_user.id = panel_session.user_id
        LEFT JOIN account ON account.id = panel_user.account_id
        WHERE panel_session.token_hash = $1 AND panel_user.status = 'active'
          AND panel_session.seen_at > now() - make_interval(secs => $2)
        """,
        token_hash,
        float(idle),
    )
    if row is None:
        return None
    user = User(
        row["id"],
        row["login"],
        row["role"],
        row["account_id"],
        row["account"],
        row["must_change_password"],
        row["time_zone"],
        row["has_second_factor"],
        sees_rates=row["sees_rates"],
    )
    data: dict[str, Any] = orjson.loads(row["data"])
    if ACTING_AS in data:
        user = await _acting(pool, user, int(data[ACTING_AS])) or user
    return user, data


async def _acting(pool: Pool, user: User, target_id: int) -> User | None:
    """The login that a session works as; None once that is not there, not below, or not for this role."""
    if not user.may(Permission.LOGINS_SWITCH):
        return None
    row = await pool.fetchrow(
        """
        SELECT panel_user.id, panel_user.login, panel_user.role, panel_user.account_id, account.code AS account,
               account.own_rates
        FROM panel_user JOIN account ON account.id = panel_user.account_id
        WHERE panel_user.id = $1 AND panel_user.status = 'active'
          AND ($2::bigint IS NULL OR $2 IN (
              WITH RECURSIVE above AS (
                  SELECT account.parent_id AS id
                  UNION ALL
                  SELECT upper.parent_id FROM account AS upper JOIN above ON upper.id = above.id
              )
              SELECT above.id FROM above
          ))
        """,
        target_id,
        user.scope.account_id,
    )
    if row is None:
        return None
    return User(
        row["id"],
        row["login"],
        row["role"],
        row["account_id"],
        row["account"],
        must_change_password=False,
        time_zone=user.time_zone,
        has_second_factor=True,
        switched_by=user.login,
        real_user_id=user.user_id,
        sees_rates=row["own_rates"],
    )


async def first_login(pool: Pool, account_id: int) -> User | None:
    """The oldest active login of an account."""
    row = await pool.fetchrow(
        """
        SELECT panel_user.id, panel_user.login, panel_user.role, panel_user.account_id, account.code AS account
        FROM panel_user JOIN account ON account.id = panel_user.account_id
        WHERE panel_user.account_id = $1 AND panel_user.status = 'active'
        ORDER BY panel_user.id LIMIT 1
        """,
        account_id,
    )
    if row is None:
        return None
    return User(row["id"], row["login"], row["role"], row["account_id"], row["account"], must_change_password=False)


async def touch_session(pool: Pool, token_hash: bytes) -> None:
    """Note that a session is in use, to the half minute: not every page is a write."""
    await pool.execute(
        "UPDATE panel_session SET seen_at = now() WHERE token_hash = $1 AND seen_at < now() - interval '30 seconds'",
        token_hash,
    )


async def create_session(
    pool: Pool, token_hash: bytes, user_id: int, data: dict[str, Any], idle: int, *, source: str, agent: str
) -> None:
    """Store a new session, and remove those that have ended."""
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        await connection.execute(
            "DELETE FROM panel_session WHERE seen_at <= now() - make_interval(secs => $1)", float(idle)
        )
        await connection.execute(
            """
            INSERT INTO panel_session (token_hash, user_id, data, source, agent)
            VALUES ($1, $2, $3::text::jsonb, $4, $5)
            """,
            token_hash,
            user_id,
            orjson.dumps(data).decode(),
            source,
            agent,
        )


async def update_session(pool: Pool, token_hash: bytes, data: dict[str, Any]) -> None:
    """Store the changed data of a session."""
    await pool.execute(
        "UPDATE panel_session SET data = $2::text::jsonb WHERE token_hash = $1", token_hash, orjson.dumps(data).decode()
    )


async def delete_session(pool: Pool, token_hash: bytes) -> None:
    """End a session."""
    await pool.execute("DELETE FROM panel_session WHERE token_hash = $1", token_hash)


async def open_sessions(pool: Pool, user_id: int, token_hash: bytes, idle: int) -> list[OpenSession]:
    """The sessions of a login that are still good, the one of this token first."""
    rows = await pool.fetch(
        """
        SELECT id, source, agent, created_at, seen_at, token_hash = $2 AS is_current
        FROM panel_session WHERE user_id = $1 AND seen_at > now() - make_interval(secs => $3)
        ORDER BY token_hash = $2 DESC, seen_at DESC, id LIMIT 50
        """,
        user_id,
        token_hash,
        float(idle),
    )
    return [OpenSession(*row) for row in rows]


async def end_session(pool: Pool, user_id: int, session_id: int) -> bool:
    """End one session of a login; whether there was one."""
    return bool(
        await pool.fetchval(
            "DELETE FROM panel_session WHERE id = $2 AND user_id = $1 RETURNING true", user_id, session_id
        )
    )


async def set_time_zone(connection: Connection, user_id: int, time_zone: str) -> None:
    """Keep the zone that a login chose."""
    await connection.execute("UPDATE panel_user SET time_zone = $2 WHERE id = $1", user_id, time_zone)


async def preferences(pool: Pool, user_id: int) -> dict[str, Any]:
    """A login's own settings of the panel."""
    text: str = await pool.fetchval("SELECT preferences::text FROM panel_user WHERE id = $1", user_id)
    found: dict[str, Any] = orjson.loads(text)
    return found


async def set_preference(pool: Pool, user_id: int, name: str, value: dict[str, Any]) -> None:
    """Keep the settings of one list."""
    await pool.execute(
        """
        UPDATE panel_user SET preferences = preferences || jsonb_build_object($2::text, $3::text::jsonb) WHERE id = $1
        """,
        user_id,
        name,
        orjson.dumps(value).decode(),
    )
