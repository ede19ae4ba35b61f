"""Reads the tables of the configuration into a snapshot, within the transaction of whoever asks.

Rates and devices are not read here: they are many, and come out of files (`b2bua.policy.packed_tables`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfoNotFoundError

import asyncpg
import structlog

from b2bua.policy.accounts import NO_CLI_RULES, OPEN_RULES, Account, CallHandling, RuleSet
from b2bua.policy.dids import DID, DIDDestination
from b2bua.policy.lazy_devices import LazyDeviceTable, LazyUserTable
from b2bua.policy.media_wishes import MediaWishes
from b2bua.policy.numbers import CLIRules, DialPatterns, InvalidRule, NumberRules, Pattern
from b2bua.policy.packed_tables import Refresh
from b2bua.policy.presentation import InvalidHeaderRule, Presentation, parse_added_header, parse_passed_name
from b2bua.policy.routes import Carrier, Gateway, Login, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.errors import ParseError
from b2bua.sip.uri import split_host_port
from conf.secret import UnreadableSecret
from media.sdp import CodecList
from rating.charge import Billing
from rating.exchange import CurrencyRate, Exchange
from rating.tariff import ALWAYS, Ratecard, Tariff
from rating.window import Window

Connection = asyncpg.pool.PoolConnectionProxy

Header = TypeVar("Header")

log = structlog.get_logger()

_DEFAULT_RULES: Final = ("%=>%",)
_NOTHING: Final = NumberRules.of(())


OpenSecret = Callable[[str], str]
"""Reads an encrypted secret; raises UnreadableSecret."""


async def load_tables(
    connection: Connection, snapshot: Snapshot, large: Refresh, open_secret: OpenSecret | None = None
) -> None:
    """Fill a snapshot.

    Args:
        connection: In a REPEATABLE READ transaction.
        snapshot: An empty one.
        large: Rates and devices of the same transaction.
        open_secret: Reads the secrets of gateways; None, for whoever calls nobody: they are left out.
    """
    await _load_tariffs(connection, snapshot, large.ratecards)
    await _load_exchange(connection, snapshot)
    rules = await _load_rules(connection)
    await _load_accounts(connection, snapshot, rules)
    snapshot.devices = LazyDeviceTable(large.devices, snapshot.accounts)
    snapshot.users = LazyUserTable(large.devices, snapshot.accounts)
    await _load_handling(connection, snapshot)
    await _load_carriers(connection, snapshot, rules, open_secret)
    await _load_routes(connection, snapshot)
    await _load_dids(connection, snapshot)


def since_of(moment: datetime) -> datetime:
    """A beginning as the database gives it; its infinities come without a zone."""
    return moment if moment.tzinfo else ALWAYS


# Prices


async def _load_tariffs(connection: Connection, snapshot: Snapshot, ratecards: Mapping[int, Ratecard]) -> None:
    for row in await connection.fetch("SELECT id, name, currency, status FROM tariff"):
        snapshot.tariffs[row["id"]] = Tariff(*row)
    mappings = await connection.fetch(
        "SELECT m.id, m.tariff_id, m.priority, m.ratecard_id, m.days, m.hours_from, m.hours_until, m.zone, c.direction"
        " FROM tariff_ratecard m JOIN ratecard c ON c.id = m.ratecard_id ORDER BY m.tariff_id, m.priority, m.id"
    )
    for row in mappings:
        is_known, window = _window(row["days"], row["hours_from"], row["hours_until"], row["zone"])
        if not is_known:
            log.error("ratecard left out of its tariff: unknown time zone", mapping=row["id"], zone=row["zone"])
            continue
        tariff = snapshot.tariffs[row["tariff_id"]]
        if row["direction"] == "incoming":
            if tariff.incoming is None:
                tariff.incoming = Tariff(tariff.id, tariff.name, tariff.currency, tariff.status)
            tariff = tariff.incoming
        tariff.add(row["priority"], ratecards.get(row["ratecard_id"]) or Ratecard(row["ratecard_id"]), window)


def _window(days: int, hours_from: time, hours_until: time, zone: str) -> tuple[bool, Window | None]:
    try:
        return True, Window.of(days, hours_from, hours_until, zone)
    except (ZoneInfoNotFoundError, ValueError):
        # The database's list of zones is newer than ours. No price and no route are better than wrong ones.
        return False, None


async def _load_exchange(connection: Connection, snapshot: Snapshot) -> None:
    rows = await connection.fetch("SELECT from_currency, to_currency, rate, valid_from FROM currency_rate")
    snapshot.exchange = Exchange(
        CurrencyRate(row["from_currency"], row["to_currency"], row["rate"], since_of(row["valid_from"])) for row in rows
    )


# Number rules


@lru_cache(maxsize=10_000)
def _number_rules(texts: tuple[str, ...]) -> NumberRules:
    rules: NumberRules = _compiled(NumberRules.of, texts, _NOTHING)
    return rules


@lru_cache(maxsize=10_000)
def _cli_rules(texts: tuple[str, ...]) -> CLIRules:
    rules: CLIRules = _compiled(CLIRules.of, texts, NO_CLI_RULES)
    return rules


def _compiled(make: Callable[[tuple[str, ...]], Any], texts: tuple[str, ...], otherwise: Any) -> Any:  # noqa: ANN401
    try:
        return make(texts)
    except InvalidRule as error:
        # The database should not have taken it. What nobody can read lets nobody call.
        log.error("number rules cannot be used", rules=texts, error=str(error))
        return otherwise


def _codec_list(names: list[str]) -> CodecList:
    try:
        return CodecList.of(names)
    except ValueError as error:
        log.error("codec list cannot be used", codecs=names, error=str(error))
        return CodecList.of(("none",))


async def _load_rules(connection: Connection) -> dict[tuple[str, int], RuleSet]:
    """Rules by whose they are: `account` or `carrier`, and its id."""
    rows = await connection.fetch(
        "SELECT account_id, carrier_id, kind, array_agg(rule ORDER BY id) AS rules FROM number_rule"
        " WHERE kind <> 'cli' OR account_id IN (SELECT id FROM account WHERE cli_by_destination)"
        " GROUP BY account_id, carrier_id, kind"
    )
    texts: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
    for account, carrier, kind, rules in rows:
        owner = ("account", account) if account is not None else ("carrier", carrier)
        texts.setdefault(owner, {})[kind] = tuple(rules)
    return {owner: _rule_set(kinds) for owner, kinds in texts.items()}


def _rule_set(kinds: dict[str, tuple[str, ...]]) -> RuleSet:
    sets = [kinds.get(kind, ()) for kind in ("source", "destination", "did_source", "did_destination")]
    cli = kinds.get("cli", ())
    if not cli and all(texts == _DEFAULT_RULES for texts in sets):
        return OPEN_RULES
    source, destination, did_source, did_destination = (_number_rules(texts) for texts in sets)
    return RuleSet(source, destination, did_source, did_destination, _cli_rules(cli))


_NO_RULES: Final = RuleSet(_NOTHING, _NOTHING, _NOTHING, _NOTHING)
"""Of whoever has had all rules removed: nothing matches."""


# Accounts


async def _load_accounts(connection: Connection, snapshot: Snapshot, rules: Mapping[tuple[str, int], RuleSet]) -> None:
    rows = await connection.fetch(
        "SELECT id, code, kind, parent_id, status, currency, tariff_id, decimals, rounding, tax_flag,"
        " tax_inclusive, tax_percents, max_sessions, cps, max_duration, codec_check, codecs, with_media, loss_guard"
        " FROM account"
    )
    for row in rows:
        taxes: list[Decimal] = row["tax_percents"] if row["tax_flag"] != "NONE" else []
        billing = Billing(row["decimals"], row["rounding"], tuple(taxes), row["tax_inclusive"])
        snapshot.accounts[row["id"]] = Account(
            row["id"],
            row["code"],
            row["kind"],
            row["parent_id"],
            row["status"],
            row["currency"],
            row["tariff_id"],
            billing=billing,
            max_sessions=row["max_sessions"],
            cps=row["cps"],
            max_duration=row["max_duration"],
            codec_check=row["codec_check"],
            codecs=_codec_list(row["codecs"]),
            with_media=row["with_media"],
            loss_guard=row["loss_guard"],
            rules=rules.get(("account", row["id"]), _NO_RULES),
        )
    permitted = await connection.fetch(
        "SELECT account_id, array_agg(route_id) AS routes FROM reseller_route GROUP BY account_id"
    )
    for account_id, routes in permitted:
        snapshot.accounts[account_id].route_ids = frozenset(routes)
    snapshot.link_accounts()


async def _load_handling(connection: Connection, snapshot: Snapshot) -> None:
    rows = await connection.fetch(
        "SELECT id, forward_all, forward_busy, forward_no_answer, forward_not_registered, ring_time, do_not_disturb"
        " FROM sip_user WHERE (forward_all, forward_busy, forward_no_answer, forward_not_registered, ring_time,"
        " do_not_disturb) <> ('', '', '', '', 30, false)"
    )
    for user_id, *values in rows:
        snapshot.handling[user_id] = CallHandling(*values)


# Carriers and routes


async def _load_carriers(
    connection: Connection,
    snapshot: Snapshot,
    rules: Mapping[tuple[str, int], RuleSet],
    open_secret: OpenSecret | None,
) -> None:
    rows = await connection.fetch(
        "SELECT id, code, name, currency, tariff_id, max_sessions, cps, status, decimals, rounding, tax_percents,"
        " tax_inclusive, codecs FROM carrier ORDER BY id"
    )
    for row in rows:
        carrier = snapshot.carriers[row["id"]] = Carrier(*tuple(row)[:8])
        carrier.billing = Billing(row["decimals"], row["rounding"], tuple(row["tax_percents"]), row["tax_inclusive"])
        carrier.codecs = _codec_list(row["codecs"])
        carrier.rules = rules.get(("carrier", row["id"]), _NO_RULES)
    await _load_gateways(connection, snapshot, open_secret)
    for carrier in snapshot.carriers.values():
        snapshot.link_carrier(carrier)


async def _load_gateways(connection: Connection, snapshot: Snapshot, open_secret: OpenSecret | None) -> None:
    rows = await connection.fetch(
        "SELECT carrier_id, identity, diversion, from_user, from_domain, passed_headers, added_headers, auth_user,"
        " auth_secret, id, name, host, port, transport, priority, weight, max_sessions, cps, invite_timeout,"
        " progress_timeout, ring_timeout, max_duration, status, is_trusted, probe_interval, tls_verify, prefers_tcp,"
        " reliable_ringing, session_timer, follows_redirects, registers, register_expires, srtp, dtmf FROM gateway"
        " ORDER BY id"
    )
    for row in rows:
        gateway = Gateway(*tuple(row)[9:-2])
        gateway.media = MediaWishes(row["srtp"], row["dtmf"])
        gateway.presentation = Presentation(
            row["identity"],
            row["diversion"] == "pass",
            row["from_user"],
            _domain(row["from_domain"], gateway.name),
            _headers(parse_passed_name, row["passed_headers"], gateway.name),
            _headers(parse_added_header, row["added_headers"], gateway.name),
        )
        if row["auth_user"] and open_secret is not None:
            gateway.login = _login(gateway.name, row["auth_user"], row["auth_secret"], open_secret)
        snapshot.carriers[row["carrier_id"]].gateways.append(gateway)


def _domain(text: str, gateway: str) -> str:
    try:
        if text:
            split_host_port(text)
    except ParseError as error:
        log.error("domain left out", gateway=gateway, domain=text, error=str(error))
        return ""
    return text


def _login(gateway: str, username: str, sealed: str, open_secret: OpenSecret) -> Login | None:
    if not username.isprintable():
        log.error("nothing can be proved to a gateway", gateway=gateway, error="its user name has control characters")
        return None
    try:
        return Login(username, open_secret(sealed) if sealed else "")
    except UnreadableSecret as error:
        log.error("nothing can be proved to a gateway", gateway=gateway, error=str(error))
        return None


def _headers(parse: Callable[[str], Header], texts: list[str], gateway: str) -> tuple[Header, ...]:
    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except InvalidHeaderRule as error:
            # The database should not have taken it.
            log.error("header left out", gateway=gateway, error=str(error))
    return tuple(found)


async def _load_routes(connection: Connection, snapshot: Snapshot) -> None:
    zones: dict[int, str] = {}
    rows = await connection.fetch("SELECT id, name, status, mode, failover_codes, ring_failover, zone FROM route")
    for row in rows:
        codes = frozenset(row["failover_codes"]) if row["failover_codes"] is not None else None
        route = Route(row["id"], row["name"], row["status"], row["mode"], codes, row["ring_failover"])
        snapshot.routes[route.id], zones[route.id] = route, row["zone"]
    rows = await connection.fetch(
        "SELECT id, route_id, prefix, carrier_id, priority, weight, days, hours_from, hours_until FROM route_entry"
        " WHERE status = 'active' ORDER BY id"
    )
    for row in rows:
        zone = zones[row["route_id"]]
        is_known, window = _window(row["days"], row["hours_from"], row["hours_until"], zone)
        if not is_known:
            log.error("entry left out of its route: unknown time zone", entry=row["id"], zone=zone)
            continue
        carrier = snapshot.carriers[row["carrier_id"]]
        entry = RouteEntry(row["id"], row["prefix"], carrier, row["priority"], row["weight"], window)
        snapshot.routes[row["route_id"]].add(entry)
    await _load_patterns(connection, snapshot)


async def _load_patterns(connection: Connection, snapshot: Snapshot) -> None:
    patterns: dict[int, list[tuple[str, Route]]] = {}
    for row in await connection.fetch("SELECT account_id, pattern, route_id FROM dialing_route ORDER BY id"):
        if _is_pattern(row["pattern"]):
            patterns.setdefault(row["account_id"], []).append((row["pattern"], snapshot.routes[row["route_id"]]))
    for account_id, entries in patterns.items():
        snapshot.accounts[account_id].patterns = DialPatterns.of(entries)
    rows = await connection.fetch("SELECT pattern, route_id FROM emergency_number ORDER BY id")
    snapshot.emergency = DialPatterns.of(
        (row["pattern"], snapshot.routes[row["route_id"]]) for row in rows if _is_pattern(row["pattern"])
    )


def _is_pattern(text: str) -> bool:
    try:
        Pattern.parse(text)
    except InvalidRule as error:
        # No number could match it.
        log.error("pattern left out", pattern=text, error=str(error))
        return False
    return True


# DIDs


async def _load_dids(connection: Connection, snapshot: Snapshot) -> None:
    by_id: dict[int, DID] = {}
    for row in await connection.fetch("SELECT id, number, carrier_id, account_id, channels, status FROM did"):
        account = snapshot.accounts.get(row["account_id"] or 0)
        did = DID(row["id"], row["number"], row["carrier_id"], account, row["channels"], row["status"])
        by_id[did.id] = snapshot.dids[did.number] = did
    rows = await connection.fetch(
        "SELECT did_id, kind, sip_user_id, ip_device_id, number FROM did_destination ORDER BY did_id, priority"
    )
    for row in rows:
        device = ("user", row["sip_user_id"]) if row["sip_user_id"] else ("ip", row["ip_device_id"])
        leads_to = device if device[1] is not None else None
        by_id[row["did_id"]].destinations.append(DIDDestination(row["kind"], leads_to, row["number"] or ""))
