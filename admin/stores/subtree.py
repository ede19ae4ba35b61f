"""The resellers of a subtree: what is below them is found by its parent, without a list of all customers."""

from typing import Any, Final

_SELLERS: Final = """
    WITH RECURSIVE seller AS (
        SELECT account.id FROM account WHERE account.id = $1
        UNION ALL
        SELECT account.id FROM account JOIN seller ON account.parent_id = seller.id WHERE account.kind = 'reseller'
    )
    SELECT array_agg(seller.id) FROM seller
"""


async def sellers(connection: Any, top: int | None) -> list[int] | None:  # noqa: ANN401 - asyncpg's connection
    """Ids of a reseller and those below it. An account is in its subtree if it, or its parent, is one of them.

    Args:
        connection: The database.
        top: The highest one; None: everything, for which there is no list.
    """
    if top is None:
        return None
    found: list[int] | None = await connection.fetchval(_SELLERS, top)
    return found or []
