"""Every table and column of the policy as it arrives in the snapshot, from a real PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from asyncpg.pool import PoolConnectionProxy

from b2bua.policy.accounts import OPEN_RULES
from b2bua.policy.packed_tables import PackedTables
from b2bua.policy.presentation import PLAIN, Presentation
from b2bua.policy.routes import Login
from b2bua.policy.snapshot import Snapshot
from b2bua.policy.tables import OpenSecret, load_tables
from conf.secret import CARRIERS, Vault
from tests.support.policy import NOW, NUMBER, insert, insert_rate
from tests.support.servers import Run

Work = Callable[["Rows"], Awaitable[None]]


class Rows:
    """A customer below a reseller, a carrier with a gateway, and a route."""

    def __init__(self, connection: PoolConnectionProxy) -> None:
        self.connection = connection

    async def insert(self) -> None:
        """Insert them, with nothing but defaults."""
        row = self.connection
        self.reseller = await insert(row, "account", code="RESE0001", kind="reseller", name="r", currency="EUR")
        self.account = await insert(
            row, "account", code="CUST0001", kind="customer", name="c", currency="EUR", parent_id=self.reseller
        )
        self.device = await insert(row, "ip_device", account_id=self.account, address="198.51.100.7/32")
        self.user = await insert(row, "sip_user", account_id=self.account, username="alice", ha1_md5="a" * 32)
        self.carrier = await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
        self.gateway = await insert(row, "gateway", carrier_id=self.carrier, name="gw", host="192.0.2.1")
        self.route = await insert(row, "route", name="standard")

    async def add(self, table: str, **values: Any) -> int:
        """Insert one more row."""
        return await insert(self.connection, table, **values)

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Change rows."""
        await self.connection.execute(statement, *arguments)

    async def load(self, open_secret: OpenSecret | None = None) -> Snapshot:
        """The snapshot of now."""
        snapshot, tables = Snapshot(), PackedTables(Path("/nonexistent"))
        async with self.connection.transaction(isolation="repeatable_read", readonly=True):
            await load_tables(self.connection, snapshot, await tables.prepare(self.connection), open_secret)
        return snapshot


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Rows]:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        rows = Rows(connection)
        await rows.insert()
        yield rows


@pytest.fixture
def with_rows(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over the rows."""

    def start(work: Work) -> None:
        async def main() -> None:
            async with opened(database_url) as rows:
                await work(rows)

        run(main())

    return start


class TestAccounts:
    def test_new_account_checks_no_codecs_carries_no_audio_and_guards_against_nothing(
        self, with_rows: Callable[[Work], None]
    ) -> None:
        async def work(rows: Rows) -> None:
            account = (await rows.load()).accounts[rows.account]
            assert (account.codec_check, account.codecs.is_open) == (False, True)
            assert (account.with_media, account.loss_guard) == (False, False)
            assert account.rules is OPEN_RULES
            assert (account.patterns.find(NUMBER), account.route_ids) == (None, frozenset())

        with_rows(work)

    def test_codecs_media_and_loss_guard_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute(
                "UPDATE account SET codec_check = true, codecs = '{G729,pcma,opus/48000}', with_media = true,"
                " loss_guard = true WHERE id = $1",
                rows.account,
            )
            snapshot = await rows.load()
            account, reseller = snapshot.accounts[rows.account], snapshot.accounts[rows.reseller]
            assert (account.codec_check, account.with_media, account.loss_guard) == (True, True, True)
            assert account.codecs.names == ("G729", "pcma", "opus/48000")
            assert (reseller.codec_check, reseller.with_media, reseller.loss_guard) == (False, False, False)

        with_rows(work)

    def test_list_that_cannot_be_read_allows_no_codec(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE account SET codecs = '{PCMA,not a codec}'")
            account = (await rows.load()).accounts[rows.account]
            assert not account.codecs.is_open
            assert [account.codecs.allows(name) for name in ("PCMA", "PCMU", "opus")] == [False, False, False]

        with_rows(work)

    def test_permitted_routes_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            other = await rows.add("route", name="other")
            await rows.add("route", name="forbidden")
            for route in (rows.route, other):
                await rows.execute("INSERT INTO reseller_route VALUES ($1, $2)", rows.reseller, route)
            assert (await rows.load()).accounts[rows.reseller].route_ids == {rows.route, other}

        with_rows(work)

    def test_dialing_patterns_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            for pattern in ("%", "77|44%", "112", "{5}%"):
                await rows.add("dialing_route", account_id=rows.account, pattern=pattern, route_id=rows.route)
            snapshot = await rows.load()
            patterns, route = snapshot.accounts[rows.account].patterns, snapshot.routes[rows.route]
            assert patterns.find("7744") == (route, "44", "77|44%")
            assert patterns.find("112") == (route, "112", "112")
            assert patterns.find("33333") == (route, "33333", "{5}%")
            assert patterns.find("33") == (route, "33", "%")
            assert snapshot.accounts[rows.reseller].patterns.find("33") is None

        with_rows(work)

    @pytest.mark.parametrize("pattern", ["", "44{3}", "44{1}%", "{0}%", "44{1}|"])
    def test_snapshot_is_loaded_when_a_dialing_pattern_is_impossible(
        self, with_rows: Callable[[Work], None], pattern: str
    ) -> None:
        async def work(rows: Rows) -> None:
            await rows.add("dialing_route", account_id=rows.account, pattern="44%", route_id=rows.route)
            try:
                await rows.add("dialing_route", account_id=rows.account, pattern=pattern, route_id=rows.route)
            except asyncpg.CheckViolationError:
                return
            snapshot = await rows.load()
            assert snapshot.accounts[rows.account].patterns.find("4420") is not None

        with_rows(work)

    def test_pattern_with_a_plus_matches_what_it_matched_before(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            try:
                await rows.add("dialing_route", account_id=rows.account, pattern="+44%", route_id=rows.route)
            except asyncpg.CheckViolationError:
                return
            snapshot = await rows.load()
            assert snapshot.accounts[rows.account].patterns.find("4420") is not None

        with_rows(work)


class TestNumberRules:
    KINDS = ("source", "destination", "did_source", "did_destination")

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("owner", ["account", "carrier"])
    def test_rules_arrive_where_they_belong(self, with_rows: Callable[[Work], None], kind: str, owner: str) -> None:
        async def work(rows: Rows) -> None:
            owners = {"account": rows.account, "carrier": rows.carrier}
            await rows.add("number_rule", **{f"{owner}_id": owners[owner]}, kind=kind, rule="44|%=>00%")
            snapshot = await rows.load()
            rules = {
                "account": snapshot.accounts[rows.account].rules,
                "carrier": snapshot.carriers[rows.carrier].rules,
            }
            for each in self.KINDS:
                expected = "0020" if each == kind else "4420"
                assert getattr(rules[owner], each).translate("4420").number == expected
            (other,) = {"account", "carrier"} - {owner}
            assert rules[other] is OPEN_RULES
            assert snapshot.accounts[rows.reseller].rules is OPEN_RULES

        with_rows(work)

    def test_cli_rules_count_only_where_they_are_switched_on(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.add("number_rule", account_id=rows.account, kind="cli", rule="44%=>441234567")
            await rows.execute("UPDATE account SET cli_by_destination = false WHERE id = $1", rows.account)
            snapshot = await rows.load()
            assert snapshot.accounts[rows.account].rules.cli.rewrite("4420", "1") == ("1", "")
            await rows.execute("UPDATE account SET cli_by_destination = true WHERE id = $1", rows.account)
            snapshot = await rows.load()
            assert snapshot.accounts[rows.account].rules.cli.rewrite("4420", "1") == ("441234567", "44%=>441234567")

        with_rows(work)

    def test_cli_rules_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.add("number_rule", account_id=rows.reseller, kind="cli", rule="44%=>441234567")
            snapshot = await rows.load()
            rules = snapshot.accounts[rows.reseller].rules
            assert rules.cli.rewrite("4420", "1") == ("441234567", "44%=>441234567")
            assert rules.destination.translate("4420").code == ""
            assert snapshot.accounts[rows.account].rules.cli.rewrite("4420", "1") == ("1", "")

        with_rows(work)

    @pytest.mark.parametrize("kind", KINDS)
    def test_nothing_matches_when_all_rules_of_a_kind_were_removed(
        self, with_rows: Callable[[Work], None], kind: str
    ) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("DELETE FROM number_rule WHERE kind = $1", kind)
            snapshot = await rows.load()
            for rules in (snapshot.accounts[rows.account].rules, snapshot.carriers[rows.carrier].rules):
                codes = {each: getattr(rules, each).translate("44").code for each in self.KINDS}
                assert codes == {each: "NONE" if each == kind else "" for each in self.KINDS}

        with_rows(work)

    def test_nothing_matches_when_all_rules_were_removed(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("DELETE FROM number_rule")
            snapshot = await rows.load()
            for rules in (snapshot.accounts[rows.account].rules, snapshot.carriers[rows.carrier].rules):
                assert {getattr(rules, each).translate("44").code for each in self.KINDS} == {"NONE"}

        with_rows(work)

    @pytest.mark.parametrize("rule", ["44{1}%=>%", "44{3}=>%", "{0}%=>%", "=>%"])
    def test_rules_that_cannot_be_read_match_nothing(self, with_rows: Callable[[Work], None], rule: str) -> None:
        async def work(rows: Rows) -> None:
            try:
                await rows.add("number_rule", account_id=rows.account, kind="destination", rule=rule)
            except asyncpg.CheckViolationError:
                return
            account = (await rows.load()).accounts[rows.account]
            assert account.rules.destination.translate("44").code == "NONE"
            assert account.rules.source.translate("44").code == ""

        with_rows(work)


class TestDevices:
    def test_new_devices_are_called_by_udp_at_5060_and_not_trusted(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            snapshot = await rows.load()
            device, user = snapshot.device("ip", rows.device), snapshot.device("user", rows.user)
            assert device is not None
            assert (device.network, device.port, device.transport) == ("198.51.100.7/32", 5060, "udp")
            assert not device.is_trusted
            assert user is not None
            assert (user.extension, user.network) == ("", "")

        with_rows(work)

    def test_port_transport_trust_and_extension_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE ip_device SET port = 5080, transport = 'tcp', is_trusted = true")
            await rows.execute("UPDATE sip_user SET extension = '101'")
            snapshot = await rows.load()
            device = snapshot.devices.find("198.51.100.7", NUMBER)
            assert device is not None
            assert (device.port, device.transport, device.is_trusted) == (5080, "tcp", True)
            user = snapshot.users.by_extension(rows.account, "101")
            assert user is not None
            assert (user.username, user.extension) == ("alice", "101")

        with_rows(work)


class TestCarriers:
    def test_new_carrier_takes_every_codec_and_its_gateway_is_neither_trusted_nor_probed(
        self, with_rows: Callable[[Work], None]
    ) -> None:
        async def work(rows: Rows) -> None:
            snapshot = await rows.load()
            carrier = snapshot.carriers[rows.carrier]
            (gateway,) = carrier.gateways
            assert carrier.codecs.is_open
            assert carrier.rules is OPEN_RULES
            assert (gateway.is_trusted, gateway.probe_interval) == (False, 0)
            assert snapshot.gateways_at == {"192.0.2.1": [(carrier, gateway)]}

        with_rows(work)

    def test_codecs_trust_and_probing_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE carrier SET codecs = '{PCMU,G729}'")
            await rows.execute("UPDATE gateway SET is_trusted = true, probe_interval = 30")
            carrier = (await rows.load()).carriers[rows.carrier]
            assert carrier.codecs.names == ("PCMU", "G729")
            assert (carrier.gateways[0].is_trusted, carrier.gateways[0].probe_interval) == (True, 30)

        with_rows(work)


class TestRoutes:
    def test_new_route_goes_by_cost_with_the_failover_of_the_system(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.add("route_entry", route_id=rows.route, carrier_id=rows.carrier)
            route = (await rows.load()).routes[rows.route]
            assert (route.mode, route.failover_codes, route.ring_failover) == ("least_cost", None, False)
            (entry,) = route.find("", NOW)
            assert entry.window is None

        with_rows(work)

    @pytest.mark.parametrize(("codes", "loaded"), [([503, 486], frozenset([503, 486])), ([], frozenset())])
    def test_mode_and_failover_arrive(
        self, with_rows: Callable[[Work], None], codes: list[int], loaded: frozenset[int]
    ) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE route SET mode = 'load_share', failover_codes = $1, ring_failover = true", codes)
            route = (await rows.load()).routes[rows.route]
            assert (route.mode, route.failover_codes, route.ring_failover) == ("load_share", loaded, True)

        with_rows(work)

    def test_window_of_an_entry_is_in_the_zone_of_its_route(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE route SET zone = 'America/New_York'")
            # Friday from 22:00 to 06:00 there, which is from 02:00 to 10:00 UTC on Saturday.
            await rows.add(
                "route_entry",
                route_id=rows.route,
                carrier_id=rows.carrier,
                days=0b100000,
                hours_from=time(22),
                hours_until=time(6),
            )
            route = (await rows.load()).routes[rows.route]
            hours = [hour for hour in range(24) if route.find("", datetime(2026, 9, 5, hour, tzinfo=UTC))]
            assert hours == list(range(2, 10))
            assert not any(route.find("", datetime(2026, 9, 6, hour, tzinfo=UTC)) for hour in range(24))

        with_rows(work)

    def test_one_prefix_may_have_several_windows(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            for begin, until in ((6, 22), (22, 6)):
                await rows.add(
                    "route_entry",
                    route_id=rows.route,
                    carrier_id=rows.carrier,
                    prefix="44",
                    priority=begin,
                    hours_from=time(begin),
                    hours_until=time(until),
                )
            route = (await rows.load()).routes[rows.route]
            assert [entry.priority for entry in route.find("44", NOW)] == [6]
            assert [entry.priority for entry in route.find("44", NOW.replace(hour=23))] == [22]

        with_rows(work)

    def test_entry_is_left_out_when_the_zone_is_unknown_here(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            other = await rows.add("route", name="other")
            for route in (rows.route, other):
                await rows.add("route_entry", route_id=route, carrier_id=rows.carrier, prefix="44", days=0b0111110)
            # As if the database's list of zones were newer than ours.
            await rows.execute("ALTER TABLE route DROP CONSTRAINT route_zone_check")
            await rows.execute("UPDATE route SET zone = 'Europe/Atlantis' WHERE id = $1", other)
            snapshot = await rows.load()
            assert len(snapshot.routes[rows.route].find("44", NOW)) == 1
            assert snapshot.routes[other].find("44", NOW) == []

        with_rows(work)

    def test_emergency_numbers_arrive(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            for pattern in ("112", "911%"):
                await rows.add("emergency_number", pattern=pattern, route_id=rows.route)
            snapshot = await rows.load()
            route = snapshot.routes[rows.route]
            assert snapshot.emergency.find("112") == (route, "112", "112")
            assert snapshot.emergency.find("9113") == (route, "9113", "911%")
            assert snapshot.emergency.find("1123") is None

        with_rows(work)

    def test_snapshot_is_loaded_when_an_emergency_pattern_is_impossible(
        self, with_rows: Callable[[Work], None]
    ) -> None:
        async def work(rows: Rows) -> None:
            await rows.add("emergency_number", pattern="110", route_id=rows.route)
            try:
                await rows.add("emergency_number", pattern="112{2}%", route_id=rows.route)
            except asyncpg.CheckViolationError:
                return
            assert (await rows.load()).emergency.find("110") is not None

        with_rows(work)


class TestDIDs:
    def test_new_did_is_nobodys_and_of_whichever_carrier(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            did_id = await rows.add("did", number="4420")
            did = (await rows.load()).dids["4420"]
            assert (did.id, did.number, did.account, did.carrier_id) == (did_id, "4420", None, None)
            assert (did.channels, did.status, did.destinations) == (None, "active", [])

        with_rows(work)

    def test_did_arrives_with_account_carrier_and_channels(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.add(
                "did",
                number="4420",
                account_id=rows.account,
                carrier_id=rows.carrier,
                channels=0,
                status="inactive",
            )
            snapshot = await rows.load()
            did = snapshot.dids["4420"]
            assert did.account is snapshot.accounts[rows.account]
            assert (did.carrier_id, did.channels, did.status) == (rows.carrier, 0, "inactive")

        with_rows(work)

    def test_every_kind_of_destination_arrives(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            expected = {}
            for number, values, loaded in (
                ("4401", {"kind": "sip_user", "sip_user_id": rows.user}, (("user", rows.user), "")),
                ("4402", {"kind": "ip_device", "ip_device_id": rows.device}, (("ip", rows.device), "")),
                ("4403", {"kind": "extension", "number": "101"}, (None, "101")),
                ("4404", {"kind": "number", "number": "+4420"}, (None, "+4420")),
                ("4405", {"kind": "voice_mail", "sip_user_id": rows.user}, (("user", rows.user), "")),
            ):
                did = await rows.add("did", number=number, account_id=rows.account)
                await rows.add("did_destination", did_id=did, **values)
                expected[number] = [(values["kind"], *loaded)]
            dids = (await rows.load()).dids
            assert {
                number: [(each.kind, each.device, each.number) for each in did.destinations]
                for number, did in dids.items()
            } == expected

        with_rows(work)

    def test_destinations_come_by_priority(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            did = await rows.add("did", number="4420", account_id=rows.account)
            await rows.add("did_destination", did_id=did, priority=2, kind="number", number="33")
            await rows.add("did_destination", did_id=did, priority=1, kind="extension", number="101")
            destinations = (await rows.load()).dids["4420"].destinations
            assert [each.number for each in destinations] == ["101", "33"]

        with_rows(work)


class TestIncomingRatecards:
    def test_incoming_ratecards_make_the_incoming_part_of_the_tariff(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            tariff = await rows.add("tariff", name="retail", kind="customer", currency="EUR", status="inactive")
            plain = await rows.add("tariff", name="plain", kind="customer", currency="EUR")
            for direction, prefix, price in (("outgoing", "", "0.1"), ("incoming", "33", "9"), ("incoming", "", "0.2")):
                card = await rows.add("ratecard", name=f"{direction} {prefix}", direction=direction)
                await rows.add("tariff_ratecard", tariff_id=tariff, ratecard_id=card)
                await insert_rate(rows.connection, card, prefix, price)
            snapshot = await rows.load()
            loaded = snapshot.tariffs[tariff]
            assert loaded.incoming is not None
            assert (loaded.incoming.id, loaded.incoming.currency, loaded.incoming.status) == (tariff, "EUR", "inactive")
            for part, price in ((loaded, "0.1"), (loaded.incoming, "0.2")):
                rate = part.find("44", NOW)
                assert rate is not None
                assert rate.rate_per_minute == Decimal(price)
            assert snapshot.tariffs[plain].incoming is None

        with_rows(work)


class TestGateways:
    def test_new_gateway_asks_for_nothing_and_tells_the_number_only(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            (gateway,) = (await rows.load()).carriers[rows.carrier].gateways
            assert (gateway.port, gateway.known_port, gateway.transport) == (None, 5060, "udp")
            assert (gateway.tls_verify, gateway.prefers_tcp, gateway.reliable_ringing) == ("name", False, "off")
            assert (gateway.session_timer, gateway.follows_redirects) == (None, False)
            assert (gateway.registers, gateway.register_expires, gateway.login) == (False, 600, None)
            assert gateway.presentation == PLAIN

        with_rows(work)

    def test_what_it_asks_for_arrives(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute(
                "UPDATE gateway SET transport = 'tls', tls_verify = 'chain', prefers_tcp = true, registers = true,"
                " reliable_ringing = 'required', session_timer = 1800, follows_redirects = true, identity = 'pai',"
                " diversion = 'pass', from_user = '100', from_domain = 'c.example', register_expires = 90,"
                " passed_headers = '{X-A,s}', added_headers = '{X-Trunk: 7}', auth_user = 'me', auth_secret = 'terces'"
            )
            (gateway,) = (await rows.load(lambda sealed: sealed[::-1])).carriers[rows.carrier].gateways
            assert (gateway.transport, gateway.known_port, gateway.tls_verify) == ("tls", 5061, "chain")
            assert (gateway.prefers_tcp, gateway.reliable_ringing, gateway.session_timer) == (True, "required", 1800)
            assert (gateway.follows_redirects, gateway.registers, gateway.register_expires) == (True, True, 90)
            assert gateway.presentation == Presentation(
                "pai", True, "100", "c.example", ("x-a", "subject"), (("x-trunk", "7"),)
            )
            assert gateway.login == Login("me", "secret")
            assert "secret" not in repr(gateway)

        with_rows(work)

    def test_header_that_cannot_be_used_is_left_out(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute(
                "UPDATE gateway SET passed_headers = '{Via,X-A}', added_headers = '{X-B,Route: <sip:x>,X-C: 1}'"
            )
            (gateway,) = (await rows.load()).carriers[rows.carrier].gateways
            assert (gateway.presentation.passed, gateway.presentation.added) == (("x-a",), (("x-c", "1"),))

        with_rows(work)

    def test_name_that_would_break_a_message_is_left_out(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE gateway SET from_domain = E'x>\r\nVia: y', auth_user = E'me\r\nVia: y'")
            (gateway,) = (await rows.load(str)).carriers[rows.carrier].gateways
            assert (gateway.presentation.from_domain, gateway.login) == ("", None)

        with_rows(work)

    def test_nothing_is_proved_when_the_secret_cannot_be_read(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            vault = Vault(b"key", CARRIERS)
            await rows.execute("UPDATE gateway SET auth_user = 'me', auth_secret = $1", vault.seal("secret"))
            login = (await rows.load(vault.open)).carriers[rows.carrier].gateways[0].login
            assert login == Login("me", "secret")
            for other in (Vault(b"other", CARRIERS).open, None):
                assert (await rows.load(other)).carriers[rows.carrier].gateways[0].login is None

        with_rows(work)

    def test_secret_may_be_empty(self, with_rows: Callable[[Work], None]) -> None:
        async def work(rows: Rows) -> None:
            await rows.execute("UPDATE gateway SET auth_user = 'me'")
            vault = Vault(b"key", CARRIERS)
            assert (await rows.load(vault.open)).carriers[rows.carrier].gateways[0].login == Login("me", "")

        with_rows(work)
