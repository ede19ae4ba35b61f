"""DIDs as their forms make and change them, and the destinations that they name.

Whose accounts may be named is for whoever asks: accounts come as ids.
"""

from collections.abc import Sequence
from typing import Any, Final

from b2bua.account import field as f
from b2bua.account.errors import Refused
from b2bua.routing import store
from b2bua.routing.did import Destinations, NewDIDs
from rating.ledger import Connection

NAMED: Final = 3
"""How many numbers a sentence names."""


async def carrier_id(connection: Connection, code: str) -> int | None:
    """The carrier of a code; None for none.

    Raises:
        Refused: there is no such carrier.
    """
    if not code:
        return None
    found: int | None = await connection.fetchval("SELECT id FROM carrier WHERE code = $1", code)
    if found is None:
        raise Refused("carrier", "Carrier must be one of the list")
    return found


async def add_dids(connection: Connection, form: NewDIDs, account_id: int | None) -> None:
    """Make DIDs, all of them or none.

    Raises:
        Refused: one is there already, or there is no such carrier.
    """
    carrier = await carrier_id(connection, form.carrier)
    made = await connection.fetch(
        """
        INSERT INTO did (number, account_id, carrier_id, channels, status)
        SELECT number, $2, $3, $4, $5 FROM unnest($1::text[]) AS number
        ON CONFLICT (number) DO NOTHING RETURNING number
        """,
        list(form.numbers),
        account_id,
        carrier,
        form.channels,
        form.status,
    )
    known = sorted(set(form.numbers) - {record["number"] for record in made})
    if known:
        raise Refused(
            "numbers", f"Numbers must be new: {said(known)} {'is' if len(known) == 1 else 'are'} there already"
        )


def said(found: Sequence[str]) -> str:
    """A few numbers by name, and how many more there are."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"{', '.join(found[:NAMED])}{more}"


async def set_destinations(connection: Connection, did_id: int, account_id: int | None, form: Destinations) -> None:
    """Say where calls to a DID go.

    Args:
        connection: The database, in a transaction.
        did_id: The DID.
        account_id: Whose it was when the form was shown.
        form: What was typed.

    Raises:
        Refused: what is named is not the account's, or cannot be called; or the DID is another's by now.
    """
    if account_id is None and form.wanted:
        raise Refused("kind", "It must be assigned to an account before calls to it go anywhere")
    owner: int | None = await connection.fetchval("SELECT account_id FROM did WHERE id = $1 FOR UPDATE", did_id)
    if owner != account_id:
        raise Refused("kind", "It was assigned to another account meanwhile: open it again")
    rows = [await _destination(connection, account_id or 0, *each) for each in form.wanted]
    await store.set_did_destinations(connection, did_id, rows)


async def _destination(connection: Connection, account: int, field: str, kind: str, target: str) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "sip_user_id": None, "ip_device_id": None, "number": None}
    if kind == "sip_user":
        return row | {"sip_user_id": await _sip_user(connection, account, field, target)}
    if kind == "ip_device":
        return row | {"ip_device_id": await _ip_device(connection, account, field, target)}
    if kind == "extension":
        found: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM sip_user WHERE account_id = $1 AND extension = $2)", account, target
        )
        if not found:
            raise Refused(field, f"Extension {target} must be that of a SIP user of the DID's account")
    return row | {"number": target}


async def _sip_user(connection: Connection, account: int, field: str, username: str) -> int:
    found: int | None = await connection.fetchval(
        "SELECT id FROM sip_user WHERE account_id = $1 AND username = $2", account, username
    )
    if found is None:
        raise Refused(field, f"SIP user {username} must be one of the DID's account")
    return found


async def _ip_device(connection: Connection, account: int, field: str, address: str) -> int:
    try:
        network = f.network("Destination")(address)
    except f.Fault:
        raise Refused(field, "Destination must be the address of an IP device, like 192.0.2.10") from None
    found: int | None = await connection.fetchval(
        "SELECT id FROM ip_device WHERE account_id = $1 AND address = $2::text::cidr ORDER BY id LIMIT 1",
        account,
        network,
    )
    if found is None:
        raise Refused(field, f"IP device {address} must be one of the DID's account, with one address")
    return found
