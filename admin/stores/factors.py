"""Second factors of logins: encrypted secrets, the last code that was taken, hashes of recovery codes."""

from collections.abc import Iterable

from admin.stores.reading import Pool
from rating.ledger import Connection


async def switch_on(
    connection: Connection, user_id: int, sealed_secret: str, step: int, code_hashes: Iterable[bytes]
) -> None:
    """Keep a secret that was proved with the code of a step, and the recovery codes for it."""
    await connection.execute(
        "UPDATE panel_user SET totp_secret = $2, totp_step = $3 WHERE id = $1", user_id, sealed_secret, step
    )
    await set_recovery_codes(connection, user_id, code_hashes)


async def set_recovery_codes(connection: Connection, user_id: int, code_hashes: Iterable[bytes]) -> None:
    """Replace the recovery codes."""
    await connection.execute("DELETE FROM panel_recovery_code WHERE user_id = $1", user_id)
    await connection.executemany(
        "INSERT INTO panel_recovery_code (user_id, code_hash) VALUES ($1, $2)",
        [(user_id, code_hash) for code_hash in code_hashes],
    )


async def count_recovery_codes(pool: Pool, user_id: int) -> int:
    """How many are left."""
    count: int = await pool.fetchval("SELECT count(*) FROM panel_recovery_code WHERE user_id = $1", user_id)
    return count


async def take_step(pool: Pool, user_id: int, step: int) -> bool:
    """Use up the code of a step; False: it, or a later one, was used before, perhaps in this very moment."""
    return bool(
        await pool.fetchval(
            """
            UPDATE panel_user SET totp_step = $2
            WHERE id = $1 AND totp_secret IS NOT NULL AND (totp_step IS NULL OR totp_step < $2) RETURNING true
            """,
            user_id,
            step,
        )
    )


async def take_recovery_code(pool: Pool, user_id: int, code_hash: bytes) -> bool:
    """Use up a recovery code; False: there is no such one."""
    return bool(
        await pool.fetchval(
            "DELETE FROM panel_recovery_code WHERE user_id = $1 AND code_hash = $2 RETURNING true", user_id, code_hash
        )
    )
