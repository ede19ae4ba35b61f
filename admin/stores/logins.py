"""Logins of the panel as those who manage them see them: listed, added, changed, locked and removed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from admin.errors import NotFound
from admin.paging import Page, PageRequest, make_page
from admin.stores.reading import Pool, reading
from b2bua.account import panel_login
from b2bua.account.errors import Refused
from rating.ledger import Connection

ADMINISTRATOR: Final = "administrator"


@dataclass(frozen=True, slots=True)
class Login:
    """One login."""

    user_id: int
    login: str
    role: str
    account_id: int | None
    account: str | None
    """Code of the account it belongs to; None: the operator's."""
    is_customer: bool
    status: str
    locked_until: datetime | None
    """After too many failures; None: not locked so."""
    must_change_password: bool
    has_second_factor: bool
    time_zone: str
    created_at: datetime
    signed_in_at: datetime | None
    sessions: int

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"login {self.login}" + (f" of {self.account}" if self.account else "")

    @property
    def is_locked(self) -> bool:
        """Whether it cannot sign in now."""
        return self.status != "active" or self.locked_until is not None


@dataclass(frozen=True, slots=True)
class LoginFilter:
    """What the list is narrowed to; an empty field does not narrow it."""

    search: str = ""
    """In the login and the code of its account."""
    role: str = ""
    status: str = ""
    """active or inactive."""

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == LoginFilter()


_COLUMNS: Final = """
    SELECT panel_user.id, panel_user.login, panel_user.role, panel_user.account_id, account.code,
           coalesce(account.kind = 'customer', false),
           panel_user.status, CASE WHEN panel_user.locked_until > now() THEN panel_user.locked_until END,
           panel_user.must_change_password, panel_user.totp_secret IS NOT NULL, panel_user.time_zone,
           panel_user.created_at, panel_user.signed_in_at,
           (SELECT count(*) FROM panel_session WHERE panel_session.user_id = panel_user.id)
    FROM panel_user LEFT JOIN account ON account.id = panel_user.account_id
"""
FEW: Final = 5000
"""So many that a search finds are looked up beforehand; more are found soon by reading the list."""

# A table at a time, so that its index serves.
_FOUND: Final = """
    SELECT array_agg(id), count(*) FROM (
        SELECT panel_user.id FROM panel_user WHERE panel_user.login ILIKE $1
        UNION ALL
        SELECT panel_user.id FROM account JOIN panel_user ON panel_user.account_id = account.id
        WHERE account.code LIKE upper($1)
        LIMIT $2
    ) AS found
"""
_LIST: Final = (
    _COLUMNS
    + """
    WHERE ($1::bigint IS NULL OR panel_user.account_id = $1)
      AND ($2::text IS NULL OR panel_user.login ILIKE $2 OR account.code LIKE upper($2))
      AND ($3::text IS NULL OR panel_user.role = $3)
      AND ($4::text IS NULL OR panel_user.status = $4)
      AND ($5::bigint[] IS NULL OR panel_user.id = ANY ($5))
"""
)
_FORWARD: Final = _LIST + " AND ($6::text IS NULL OR panel_user.login > $6) ORDER BY panel_user.login LIMIT $7"
_BACKWARD: Final = _LIST + " AND panel_user.login < $6 ORDER BY panel_user.login DESC LIMIT $7"
_ONE: Final = _COLUMNS + "WHERE panel_user.login = $1 AND ($2::bigint IS NULL OR panel_user.account_id = $2)"


async def list_logins(
    pool: Pool, chosen: LoginFilter, asked: PageRequest, *, account_id: int | None = None
) -> Page[Login]:
    """A page of the logins, by their names: of one account, or all there are."""
    escaped = chosen.search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    text, ids = f"%{escaped}%" if escaped else None, None
    async with reading(pool) as connection:
        if text is not None and account_id is None:
            found, count = await connection.fetchrow(_FOUND, text, FEW + 1)
            if count <= FEW:
                text, ids = None, found or []
        rows = await connection.fetch(
            _BACKWARD if asked.backward else _FORWARD,
            account_id,
            text,
            chosen.role or None,
            chosen.status or None,
            ids,
            *asked.parts(1),
            asked.size + 1,
        )
    return make_page([Login(*row) for row in rows], asked, lambda login: (login.login,))


async def find_login(source: Pool | Connection, login: str, *, account_id: int | None = None) -> Login:
    """Find a login by its name: one of an account, or any.

    Raises:
        NotFound: there is none.
    """
    row = await source.fetchrow(_ONE, login, account_id)
    if row is None:
        raise NotFound
    return Login(*row)


async def is_staff(pool: Pool, login: str) -> bool:
    """Whether a login of the operator has this name."""
    found: bool = await pool.fetchval(
        "SELECT EXISTS (SELECT FROM panel_user WHERE login = $1 AND account_id IS NULL)", login
    )
    return found


async def add_login(
    connection: Connection, login: str, role: str, time_zone: str, password_hash: str, account_id: int | None = None
) -> None:
    """Add a login that has to choose a password of its own.

    Raises:
        Refused: the name is taken.
    """
    try:
        async with connection.transaction():
            await connection.execute(
                """
                INSERT INTO panel_user (login, password_hash, role, account_id, time_zone, must_change_password)
                VALUES ($1, $2, $3, $4, $5, true)
                """,
                login,
                password_hash,
                role,
                account_id,
                time_zone,
            )
    except asyncpg.UniqueViolationError:
        raise Refused("login", f"Login {login} is taken: choose another") from None


async def change_login(connection: Connection, login: Login, role: str, time_zone: str) -> None:
    """Give a login another role or time zone.

    Raises:
        Refused: it is the last administrator.
    """
    if role != login.role:
        await _keep_an_administrator(connection, login, "role", "change its role")
    await connection.execute(
        "UPDATE panel_user SET role = $2, time_zone = $3 WHERE id = $1", login.user_id, role, time_zone
    )


async def set_status(connection: Connection, login: Login, status: str) -> None:
    """Lock a login, which ends its sessions, or unlock it, also where too many failures had locked it.

    Raises:
        Refused: it is the last administrator.
    """
    if status != "active":
        await _keep_an_administrator(connection, login, "", "lock it")
        await panel_login.end_sessions(connection, login.user_id)
    await panel_login.set_status(connection, login.user_id, status)


async def remove_login(connection: Connection, login: Login) -> None:
    """Remove a login with its sessions.

    Raises:
        Refused: it is the last administrator.
    """
    await _keep_an_administrator(connection, login, "", "remove it")
    await connection.execute("DELETE FROM panel_user WHERE id = $1", login.user_id)


async def _keep_an_administrator(connection: Connection, login: Login, field: str, act: str) -> None:
    """The rows are locked, so that two administrators cannot remove each other at the same time."""
    if login.role != ADMINISTRATOR:
        return
    rows = await connection.fetch(
        "SELECT id FROM panel_user WHERE role = $1 AND status = 'active' ORDER BY id FOR UPDATE", ADMINISTRATOR
    )
    if not any(row["id"] != login.user_id for row in rows):
        raise Refused(field, f"{login.login} is the last administrator: make another one before you {act}")
