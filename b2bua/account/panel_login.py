"""What is done to a login of the panel by whoever manages it, there or on the command line.

Signing in, and what a login does to itself, is the panel's own.
"""

from rating.ledger import Connection


async def set_status(connection: Connection, user_id: int, status: str) -> None:
    """Lock a login or unlock it, also where too many failures had locked it."""
    await connection.execute(
        "UPDATE panel_user SET status = $2, failures = 0, locked_until = NULL WHERE id = $1", user_id, status
    )


async def reset_password(connection: Connection, user_id: int, password_hash: str) -> None:
    """Give a login a password for one sign-in, forget its failures, and end its sessions."""
    await connection.execute(
        """
        UPDATE panel_user SET password_hash = $2, must_change_password = true, failures = 0, locked_until = NULL
        WHERE id = $1
        """,
        user_id,
        password_hash,
    )
    await end_sessions(connection, user_id)


async def switch_off_factor(connection: Connection, user_id: int) -> None:
    """Forget the secret of the second factor and the recovery codes."""
    await connection.execute(
        "UPDATE panel_user SET totp_secret = NULL, totp_step = NULL, failures = 0 WHERE id = $1", user_id
    )
    await connection.execute("DELETE FROM panel_recovery_code WHERE user_id = $1", user_id)


async def reset_factor(connection: Connection, user_id: int) -> None:
    """Switch off the second factor of somebody who lost it, and end the sessions."""
    await switch_off_factor(connection, user_id)
    await end_sessions(connection, user_id)


async def end_sessions(connection: Connection, user_id: int) -> None:
    """End every session of a login."""
    await connection.execute("DELETE FROM panel_session WHERE user_id = $1", user_id)
