"""The data of `softswitch demo`: a reseller, two customers, two carriers, their prices, a route, a DID.

It is what a small installation has, with limits wide enough for load tests. All of it is found by its name or code, so
loading it again makes only what is missing, in one transaction, and leaves alone what somebody changed since.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from b2bua.account.device import ha1_md5
from b2bua.cli.context import CommandError
from conf.settings import Settings
from rating.ledger import Connection, post_payment

CURRENCY: Final = "EUR"
LIMIT: Final = 1000
"""Sessions and calls per second of every demo account, device, carrier and gateway."""
PAID_IN: Final = Decimal("1000.00")
REFERENCE: Final = "demo"

RESELLER: Final = "DEMO0001"
CUSTOMER: Final = "DEMO0002"
SUBSCRIBER: Final = "DEMO0003"
DEVICE_ADDRESS: Final = "127.0.0.1/32"
SIP_USER: Final = "demo1001"
EXTENSION: Final = "1001"
ROUTE: Final = "demo"
DID: Final = "493023125001"
"""Of a range that is kept for films."""
EMERGENCY: Final = "112"

_LOCK: Final = 0x64656D6F
"""Advisory lock that keeps two runs of the command apart: "demo" in ASCII."""


@dataclass(frozen=True, slots=True)
class Deck:
    """A tariff with one ratecard of the same name."""

    name: str
    kind: str
    prices: tuple[str, ...]
    """Per minute, in the order of DESTINATIONS."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A prefix and the blocks in which it is billed by everybody."""

    prefix: str
    name: str
    minimum: int = 1
    resolution: int = 1
    connection_charge: str = "0"


DESTINATIONS: Final = (
    Destination("1", "United States and Canada", 6, 6),
    Destination("33", "France"),
    Destination("336", "France mobile", 30, 6),
    Destination("44", "United Kingdom"),
    Destination("4420", "United Kingdom London", 60, 60),
    Destination("447", "United Kingdom mobile", 30, 6),
    Destination("49", "Germany"),
    Destination("4915", "Germany mobile", 60, 60),
    Destination("52", "Mexico", 60, 60, "0.01"),
    Destination("91", "India", 30, 6),
)

RETAIL: Final = Deck(
    "demo retail", "customer", ("0.02", "0.05", "0.16", "0.06", "0.04", "0.14", "0.05", "0.15", "0.09", "0.07")
)
WHOLESALE: Final = Deck(
    "demo wholesale", "customer", ("0.015", "0.04", "0.13", "0.05", "0.03", "0.11", "0.04", "0.12", "0.075", "0.055")
)
CARRIER_A: Final = Deck(
    "demo carrier A", "carrier", ("0.008", "0.02", "0.09", "0.03", "0.015", "0.08", "0.02", "0.09", "0.05", "0.035")
)
CARRIER_B: Final = Deck(
    "demo carrier B",
    "carrier",
    ("0.009", "0.024", "0.095", "0.035", "0.018", "0.085", "0.024", "0.095", "0.055", "0.04"),
)


@dataclass(slots=True)
class Made:
    """What a run of the command made and what it found."""

    lines: list[tuple[str, bool]] = field(default_factory=list)
    """Each object, and True when it was made now."""
    secret: str | None = None
    """The new SIP user's secret; None when the user was there already."""
    realm: str = ""
    """Digest realm of the SIP user."""

    def note(self, text: str, *, is_new: bool) -> None:
        """Remember one object."""
        self.lines.append((text, is_new))


async def load_demo(connection: Connection, settings: Settings) -> Made:
    """Make what is missing of the demo data, in one transaction.

    Raises:
        CommandError: a real carrier has the code of a demo carrier.
    """
    made = Made()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        retail = await _make_deck(connection, made, RETAIL)
        wholesale = await _make_deck(connection, made, WHOLESALE)
        reseller = await _make_account(
            connection, made, RESELLER, kind="reseller", name="Demo reseller", tariff=wholesale
        )
        customer = await _make_account(
            connection, made, CUSTOMER, kind="customer", name="Demo customer", tariff=retail, parent=reseller
        )
        subscriber = await _make_account(
            connection, made, SUBSCRIBER, kind="customer", name="Demo subscriber", tariff=retail
        )
        await _make_ip_device(connection, made, customer)
        user = await _make_sip_user(connection, made, subscriber, settings)
        carriers = [
            await _make_carrier(
                connection, made, "CARR0001", name="Demo carrier A", deck=CARRIER_A, gateway="demo-a", port=5070
            ),
            await _make_carrier(
                connection, made, "CARR0002", name="Demo carrier B", deck=CARRIER_B, gateway="demo-b", port=5072
            ),
        ]
        route = await _make_route(connection, made, carriers, [customer, subscriber])
        await _permit_route(connection, made, reseller, route)
        await _make_did(connection, made, user)
        await _make_emergency_number(connection, made, route)
        for code in (RESELLER, CUSTOMER, SUBSCRIBER):
            posting = await post_payment(connection, code, PAID_IN, reference=REFERENCE, note="demo data")
            made.note(f"payment of {PAID_IN} {CURRENCY} to {code}", is_new=not posting.repeated)
    return made


async def _ensure(
    connection: Connection, find: str, key: Sequence[Any], make: str, *values: object
) -> tuple[int, bool]:
    """Return the id of the row that `find` finds, else of the one that `make` makes; True when it was made.

    An INSERT that does nothing would still count as a change of the configuration, hence the question first.
    """
    found: int | None = await connection.fetchval(find, *key)
    if found is not None:
        return found, False
    new: int = await connection.fetchval(make, *values)
    return new, True


async def _make_deck(connection: Connection, made: Made, deck: Deck) -> int:
    tariff, is_new = await _ensure(
        connection,
        "SELECT id FROM tariff WHERE name = $1",
        (deck.name,),
        "INSERT INTO tariff (name, kind, currency) VALUES ($1, $2, $3) RETURNING id",
        deck.name,
        deck.kind,
        CURRENCY,
    )
    ratecard, ratecard_is_new = await _ensure(
        connection,
        "SELECT id FROM ratecard WHERE name = $1",
        (deck.name,),
        "INSERT INTO ratecard (name) VALUES ($1) RETURNING id",
        deck.name,
    )
    if ratecard_is_new:
        await _make_rates(connection, ratecard, deck)
    if is_new:
        await connection.execute(
            "INSERT INTO tariff_ratecard (tariff_id, ratecard_id) VALUES ($1, $2)", tariff, ratecard
        )
    made.note(f"tariff {deck.name} with {len(DESTINATIONS)} rates", is_new=is_new)
    return tariff


async def _make_rates(connection: Connection, ratecard: int, deck: Deck) -> None:
    await connection.execute(
        """
        INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute, connection_charge, minimum, resolution)
        SELECT $1, prefix, destination, rate_per_minute, connection_charge, minimum, resolution
        FROM unnest($2::text[], $3::text[], $4::numeric[], $5::numeric[], $6::integer[], $7::integer[])
            AS new (prefix, destination, rate_per_minute, connection_charge, minimum, resolution)
        """,
        ratecard,
        [destination.prefix for destination in DESTINATIONS],
        [destination.name for destination in DESTINATIONS],
        [Decimal(price) for price in deck.prices],
        [Decimal(destination.connection_charge) for destination in DESTINATIONS],
        [destination.minimum for destination in DESTINATIONS],
        [destination.resolution for destination in DESTINATIONS],
    )


async def _make_account(
    connection: Connection, made: Made, code: str, *, kind: str, name: str, tariff: int, parent: int | None = None
) -> int:
    account, is_new = await _ensure(
        connection,
        "SELECT id FROM account WHERE code = $1",
        (code,),
        """
        INSERT INTO account (code, parent_id, kind, name, currency, tariff_id, max_sessions, cps)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id
        """,
        code,
        parent,
        kind,
        name,
        CURRENCY,
        tariff,
        LIMIT,
    )
    made.note(f"{kind} {code}{' below ' + RESELLER if parent else ''}", is_new=is_new)
    return account


async def _make_ip_device(connection: Connection, made: Made, account: int) -> None:
    device, is_new = await _ensure(
        connection,
        "SELECT id FROM ip_device WHERE address = $1::text::cidr AND dial_prefix = ''",
        (DEVICE_ADDRESS,),
        """
        INSERT INTO ip_device (account_id, address, description, max_sessions, cps)
        VALUES ($1, $2::text::cidr, 'demo', $3, $3) RETURNING id
        """,
        account,
        DEVICE_ADDRESS,
        LIMIT,
    )
    owner: str = await connection.fetchval(
        "SELECT account.code FROM ip_device JOIN account ON account.id = ip_device.account_id WHERE ip_device.id = $1",
        device,
    )
    made.note(f"IP device {DEVICE_ADDRESS} of {owner}", is_new=is_new)


async def _make_sip_user(connection: Connection, made: Made, account: int, settings: Settings) -> int:
    made.realm = await realm_of(connection, settings)
    secret = secrets.token_urlsafe(12)
    user, is_new = await _ensure(
        connection,
        "SELECT id FROM sip_user WHERE username = $1",
        (SIP_USER,),
        """
        INSERT INTO sip_user (account_id, username, ha1_md5, extension, max_sessions, cps)
        VALUES ($1, $2, $3, $4, $5, $5) RETURNING id
        """,
        account,
        SIP_USER,
        ha1_md5(SIP_USER, made.realm, secret),
        EXTENSION,
        LIMIT,
    )
    made.secret = secret if is_new else None
    made.note(f"SIP user {SIP_USER} of {SUBSCRIBER}, extension {EXTENSION}", is_new=is_new)
    return user


async def realm_of(connection: Connection, settings: Settings) -> str:
    """Return the digest realm: the one fixed at the first start, or the one that will be."""
    fixed: str | None = await connection.fetchval("SELECT value FROM system_value WHERE name = 'realm'")
    return fixed or settings.sip.realm


async def _make_carrier(
    connection: Connection, made: Made, code: str, *, name: str, deck: Deck, gateway: str, port: int
) -> int:
    tariff = await _make_deck(connection, made, deck)
    carrier, carrier_is_new = await _ensure(
        connection,
        "SELECT id FROM carrier WHERE code = $1",
        (code,),
        """
        INSERT INTO carrier (code, name, tariff_id, currency, max_sessions, cps)
        VALUES ($1, $2, $3, $4, $5, $5) RETURNING id
        """,
        code,
        name,
        tariff,
        CURRENCY,
        LIMIT,
    )
    made.note(f"carrier {code}", is_new=carrier_is_new)
    _, gateway_is_new = await _ensure(
        connection,
        "SELECT id FROM gateway WHERE name = $1",
        (gateway,),
        """
        INSERT INTO gateway (carrier_id, name, host, port, transport, max_sessions, cps)
        VALUES ($1, $2, '127.0.0.1', $3, 'udp', $4, $4) RETURNING id
        """,
        carrier,
        gateway,
        port,
        LIMIT,
    )
    if gateway_is_new and not carrier_is_new:
        raise CommandError(f"there is a carrier {code} that is not the demo's; no demo data are loaded")
    made.note(f"gateway {gateway} at 127.0.0.1:{port} (udp) of {code}", is_new=gateway_is_new)
    return carrier


async def _make_route(connection: Connection, made: Made, carriers: list[int], accounts: list[int]) -> int:
    route, is_new = await _ensure(
        connection,
        "SELECT id FROM route WHERE name = $1",
        (ROUTE,),
        "INSERT INTO route (name) VALUES ($1) RETURNING id",
        ROUTE,
    )
    if is_new:
        await connection.execute(
            """
            INSERT INTO route_entry (route_id, prefix, carrier_id, priority)
            SELECT $1, '', carrier_id, priority
            FROM unnest($2::bigint[]) WITH ORDINALITY AS entry (carrier_id, priority)
            """,
            route,
            carriers,
        )
    made.note(f"route {ROUTE} to both carriers", is_new=is_new)
    for account in accounts:
        await _ensure(
            connection,
            "SELECT id FROM dialing_route WHERE account_id = $1 AND pattern = '%'",
            (account,),
            "INSERT INTO dialing_route (account_id, route_id) VALUES ($1, $2) RETURNING id",
            account,
            route,
        )
    return route


async def _permit_route(connection: Connection, made: Made, reseller: int, route: int) -> None:
    _, is_new = await _ensure(
        connection,
        "SELECT route_id FROM reseller_route WHERE account_id = $1 AND route_id = $2",
        (reseller, route),
        "INSERT INTO reseller_route (account_id, route_id) VALUES ($1, $2) RETURNING route_id",
        reseller,
        route,
    )
    made.note(f"route {ROUTE} permitted to {RESELLER}", is_new=is_new)


async def _make_did(connection: Connection, made: Made, user: int) -> None:
    owner: int = await connection.fetchval("SELECT account_id FROM sip_user WHERE id = $1", user)
    did, is_new = await _ensure(
        connection,
        "SELECT id FROM did WHERE number = $1",
        (DID,),
        "INSERT INTO did (number, account_id) VALUES ($1, $2) RETURNING id",
        DID,
        owner,
    )
    if is_new:
        await connection.execute(
            "INSERT INTO did_destination (did_id, kind, sip_user_id) VALUES ($1, 'sip_user', $2)", did, user
        )
    made.note(f"DID {DID}, calls to which go to SIP user {SIP_USER}", is_new=is_new)


async def _make_emergency_number(connection: Connection, made: Made, route: int) -> None:
    _, is_new = await _ensure(
        connection,
        "SELECT id FROM emergency_number WHERE pattern = $1",
        (EMERGENCY,),
        "INSERT INTO emergency_number (pattern, route_id) VALUES ($1, $2) RETURNING id",
        EMERGENCY,
        route,
    )
    made.note(f"emergency number {EMERGENCY} over route {ROUTE}", is_new=is_new)
