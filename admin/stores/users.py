"""Logins of the panel and their sessions."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from admin.permissions import Permission, has_permission
from admin.scope import Scope, scope_of
from admin.stores.reading import Pool

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

    def may(self, permission: Permission) -> bool:
        """Whether this login has the permission."""
        return has_permission(self.role, permission)


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a sign-in needs to know of a login."""

    user_id: int
    password_hash: str


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
        RETURNING id, password_hash
        """,
        login,
        lock_after,
        float(lock_time),
    )
    return SignIn(row["id"], row["password_hash"]) if row else None


async def finish_sign_in(pool: Pool, user_id: int) -> None:
    """The password was right: forget the failures."""
    await pool.execute("UPDATE panel_user SET failures = 0, locked_until = NULL WHERE id = $1", user_id)


async def password_hash(pool: Pool, user_id: int) -> str | None:
    """The stored hash of a login."""
    value: str | None = await pool.fetchval("SELECT password_hash FROM panel_user WHERE id = $1", user_id)
    return value


async def change_password(pool: Pool, user_id: int, new_hash: str) -> None:
    """Store a new hash and end every session of the login."""
    async with pool.acquire(timeout=5) as connection, connection.transaction():
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


async def create_session(pool: Pool, token_hash: bytes, user_id: int, data: dict[str, Any], idle: int) -> None:
    """Store a new session, and remove those that have ended."""
    async with pool.acquire(timeout=5) as connection, connection.transaction():
        await connection.execute(
            "DELETE FROM panel_session WHERE seen_at <= now() - make_interval(secs => $1)", float(idle)
        )
        await connection.execute(
            "INSERT INTO panel_session (token_hash, user_id, data) VALUES ($1, $2, $3::text::jsonb)",
            token_hash,
            user_id,
            orjson.dumps(data).decode(),
        )


async def update_session(pool: Pool, token_hash: bytes, data: dict[str, Any]) -> None:
    """Store the changed data of a session."""
    await pool.execute(
        "UPDATE panel_session SET data = $2::text::jsonb WHERE token_hash = $1", token_hash, orjson.dumps(data).decode()
    )


async def delete_session(pool: Pool, token_hash: bytes) -> None:
    """End a session."""
    await pool.execute("DELETE FROM panel_session WHERE token_hash = $1", token_hash)


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
