"""The tabs of a customer: devices, dialing routes, number rules."""

import re
from typing import Any

from admin.qr_code import svg
from b2bua.account.device import ha1_md5
from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, errors, stock

BASE = "/customers/CUST0101"


async def send(panel: Panel, path: str, form: str = BASE, **typed: str) -> Answer:
    return await panel.post(BASE + path, typed, form=form)


async def rows(panel: Panel, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await panel.data.connection.fetch(query, *arguments)]


def plain(answer: Answer) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).replace("&gt;", ">").split())


class TestIPDevices:
    def test_device_is_added_changed_and_removed(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            typed = {"address": "192.0.2.0/24", "dial_prefix": "77", "max_sessions": "5", "status": "active"}
            answer = await send(panel, "/ip-devices", **typed, transport="udp", port="5062")
            assert answer.location == f"{BASE}/ip-devices"
            query = "SELECT id, address::text, dial_prefix, max_sessions, cps, port, status FROM ip_device"
            [(device, *values)] = await rows(panel, query)
            assert values == ["192.0.2.0/24", "77", 5, None, 5062, "active"]
            assert "192.0.2.0/24" in (await panel.get(f"{BASE}/ip-devices")).text
            assert 'value="192.0.2.0/24"' in (await panel.get(f"{BASE}/ip-devices/{device}")).text
            typed |= {"max_sessions": "", "status": "inactive", "transport": "tcp"}
            await send(panel, f"/ip-devices/{device}", **typed)
            [(_, *values)] = await rows(panel, query)
            assert values == ["192.0.2.0/24", "77", None, None, 5060, "inactive"]
            [changed] = await entries(panel, "item.change")
            assert changed["object"] == "IP device 192.0.2.0/24 of CUST0101"
            assert changed["new"]["status"] == "inactive"
            await send(panel, f"/ip-devices/{device}/remove")
            assert await rows(panel, query) == []

        play(scenario)

    def test_faults_stand_beside_their_fields_and_do_not_name_others(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.data.connection.execute(
                "INSERT INTO ip_device (account_id, address, dial_prefix) VALUES ($1, '192.0.2.1', '77%')",
                accounts["foreign"],
            )
            await panel.signed_in()
            usual = {"transport": "udp", "status": "active", "description": "kept"}
            answer = await send(panel, "/ip-devices", address="999", **usual)
            assert answer.status == 422
            assert "IP address must be an IPv4 or IPv6 address" in answer.text
            assert 'value="kept"' in answer.text
            answer = await send(panel, "/ip-devices", address="192.0.2.1", dial_prefix="77", **usual)
            assert "IP address 192.0.2.1/32 is taken with this dial prefix" in answer.text
            assert "CUST0102" not in answer.text

        play(scenario)

    def test_device_that_a_did_leads_to_stays(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts, row = await stock(panel), panel.data.connection
            device = await row.fetchval(
                "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.1') RETURNING id", accounts["own"]
            )
            did = await row.fetchval(
                "INSERT INTO did (number, account_id) VALUES ('493023125001', $1) RETURNING id", accounts["own"]
            )
            await row.execute(
                "INSERT INTO did_destination (did_id, kind, ip_device_id) VALUES ($1, 'ip_device', $2)", did, device
            )
            await panel.signed_in()
            answer = await send(panel, f"/ip-devices/{device}/remove")
            assert answer.status == 422
            assert "DID 493023125001 leads to it" in answer.text
            assert len(await rows(panel, "SELECT id FROM ip_device")) == 1

        play(scenario)


class TestSIPUsers:
    def test_secret_is_shown_once_and_kept_as_its_hash(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            answer = await send(panel, "/sip-users", username="anna", extension="1001", status="active")
            assert answer.status == 200
            secret = re.search(r"Password\s+(\S+)", answer.text)
            assert secret
            [(user, kept)] = await rows(panel, "SELECT id, ha1_md5 FROM sip_user WHERE username = 'anna'")
            assert kept == ha1_md5("anna", "softswitch", secret[1])
            server = re.search(r"Server\s+([^<\s]+)", answer.text)
            assert server
            assert str(svg(f"sip:anna:{secret[1]}@{server[1]}")) in answer.text
            assert secret[1] not in (await panel.get(f"{BASE}/sip-users")).text
            again = await send(panel, f"/sip-users/{user}/secret")
            other = re.search(r"Password\s+(\S+)", again.text)
            assert other
            assert other[1] != secret[1]
            [(kept,)] = await rows(panel, "SELECT ha1_md5 FROM sip_user")
            assert kept == ha1_md5("anna", "softswitch", other[1])
            texts = str(await entries(panel, "item.add")) + str(await entries(panel, "item.new_secret"))
            for hidden in (secret[1], other[1], kept):
                assert hidden not in texts

        play(scenario)

    def test_name_and_extension_are_taken_once(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.data.connection.execute(
                "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'bob', repeat('0', 32))",
                accounts["foreign"],
            )
            await panel.signed_in()
            await send(panel, "/sip-users", username="anna", extension="1001", status="active")
            answer = await send(panel, "/sip-users", username="bob", status="active")
            assert errors(answer) == ["SIP login bob is taken: choose another"]
            answer = await send(panel, "/sip-users", username="carl", extension="1001", status="active")
            assert errors(answer) == ["Extension 1001 is taken in this account: choose another"]
            assert "Password   " not in answer.text

        play(scenario)

    def test_name_stays_when_the_rest_is_changed(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            await send(panel, "/sip-users", username="anna", status="active")
            [(user, kept)] = await rows(panel, "SELECT id, ha1_md5 FROM sip_user")
            typed = {"voice_mail": "yes", "voice_mail_email": "a@example.com", "status": "active"}
            await send(panel, f"/sip-users/{user}", username="other", address="192.0.2.7", **typed)
            [values] = await rows(panel, "SELECT username, ha1_md5, address::text, voice_mail_email FROM sip_user")
            assert values == ("anna", kept, "192.0.2.7/32", "a@example.com")

        play(scenario)


class TestDialingRoutes:
    def test_only_routes_that_every_reseller_may_use_are_offered(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts, row = await stock(panel), panel.data.connection
            await row.execute("INSERT INTO route (name) VALUES ('permitted'), ('forbidden')")
            await row.execute(
                "INSERT INTO reseller_route SELECT $1, id FROM route WHERE name = 'permitted'", accounts["reseller"]
            )
            await panel.signed_in("reseller", accounts["reseller"])
            text = (await panel.get(f"{BASE}/dialing-routes")).text
            assert "permitted" in text
            assert "forbidden" not in text
            answer = await send(panel, "/dialing-routes", pattern="%", route="forbidden")
            assert errors(answer) == ["Route must be one of the list"]
            await send(panel, "/dialing-routes", pattern="%", route="permitted")
            await send(panel, "/dialing-routes", pattern="44%", route="permitted")
            answer = await send(panel, "/dialing-routes", pattern="44%", route="permitted")
            assert errors(answer) == ["Dialing pattern 44% is there already: change its route"]
            shown = plain(await panel.get(f"{BASE}/dialing-routes"))
            assert shown.index("44% permitted") < shown.index(" % permitted")  # as they win

        play(scenario)


class TestNumberRules:
    def test_rules_stand_in_the_order_in_which_they_win_and_the_tester_counts_so(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            for rule in ("44|%=>0044%", "900%"):
                assert (await send(panel, "/destination-rules", rule=rule)).status == 303
            shown = plain(await panel.get(f"{BASE}/destination-rules"))
            assert shown.index("1 900%") < shown.index("2 44|%=>0044%") < shown.index("3 %=>%")
            assert "numbers that begin with 44 through: 44 is taken off and 0044 is put before it" in shown
            for number, words in (
                ("442079460000", "442079460000 becomes 00442079460000, by rule 2: 44|%=>0044%"),
                ("9001", "9001 is barred, by rule 1: 900%"),
                ("33", "33 stays as it is, by rule 3: %=>%"),
            ):
                answer = await panel.get(f"{BASE}/destination-rules/try?number={number}", {"HX-Request": "true"})
                assert "<html" not in answer.text
                assert words in plain(answer)
                assert words in plain(await panel.get(f"{BASE}/destination-rules?number={number}"))

        play(scenario)

    def test_cli_rules_are_tried_with_the_number_called_and_say_when_they_are_off(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.signed_in()
            answer = await send(panel, "/cli-rules", rule="44%")
            assert "Rule must be the destination, => and the caller" in plain(answer)
            await send(panel, "/cli-rules", rule="44%=>441234567")
            answer = await panel.get(f"{BASE}/cli-rules/try?number=123&destination=4420")
            assert "123 becomes 441234567, by rule 1: 44%=>441234567" in plain(answer)
            assert "do not count now" not in (await panel.get(f"{BASE}/cli-rules")).text
            await panel.data.connection.execute(
                "UPDATE account SET cli_by_destination = false WHERE id = $1", accounts["own"]
            )
            assert "do not count now" in (await panel.get(f"{BASE}/cli-rules")).text

        play(scenario)

    def test_each_set_has_its_own_rules_and_the_last_one_is_missed(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.signed_in()
            sets = {"source-rules": "source", "did-source-rules": "did_source"}
            sets["did-destination-rules"] = "did_destination"
            for tab, kind in sets.items():
                query = "SELECT id, rule FROM number_rule WHERE account_id = $1 AND kind = $2"
                [(rule, _)] = await rows(panel, query, accounts["own"], kind)
                await send(panel, f"/{tab}/{rule}", rule="1%=>%")
                assert await rows(panel, query, accounts["own"], kind) == [(rule, "1%=>%")]
                await send(panel, f"/{tab}/{rule}/remove")
                assert "no rule is left, so no such call is let through" in plain(await panel.get(f"{BASE}/{tab}"))

        play(scenario)

    def test_broken_rule_of_the_database_does_not_stop_the_page(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.data.connection.execute(
                "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, 'source', '44{1}%=>%')", accounts["own"]
            )
            await panel.signed_in()
            answer = await panel.get(f"{BASE}/source-rules?number=1")
            assert answer.status == 200
            assert "cannot be read" in plain(answer)

        play(scenario)


class TestSelfCare:
    def test_customer_changes_what_its_switches_allow(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.signed_in("customer", accounts["own"])
            usual = {"transport": "udp", "status": "active", "port": "5060"}
            typed = {**usual, "address": "192.0.2.9", "is_trusted": "yes"}
            answer = await send(panel, "/ip-devices", form="/", **typed)
            assert answer.status == 303
            [(device, is_trusted)] = await rows(panel, "SELECT id, is_trusted FROM ip_device")
            assert not is_trusted
            await panel.data.connection.execute("UPDATE ip_device SET is_trusted = true")
            assert "Trusted" not in (await panel.get(f"{BASE}/ip-devices/{device}")).text
            await send(
                panel, f"/ip-devices/{device}", form="/", **{**typed, "is_trusted": "no", "address": "192.0.2.8"}
            )
            [values] = await rows(panel, "SELECT address::text, is_trusted FROM ip_device")
            assert values == ("192.0.2.8/32", True)
            for tab in ("dialing-routes", "cli-rules"):
                assert (await panel.get(f"{BASE}/{tab}")).status == 404
            assert (await panel.get(BASE)).status == 404
            shown = (await panel.get(f"{BASE}/statement")).text
            assert f'href="{BASE}/ip-devices"' in shown
            await panel.data.connection.execute("UPDATE account SET own_ip_devices = false")
            assert f'href="{BASE}/ip-devices"' not in (await panel.get(f"{BASE}/statement")).text
            for path in ("/ip-devices", f"/ip-devices/{device}", f"/ip-devices/{device}/remove"):
                assert (await send(panel, path, form="/", **typed)).status == 404
            assert (await panel.get(f"{BASE}/sip-users")).status == 200

        play(scenario)

    def test_only_the_operator_claims_large_networks(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            typed = {"transport": "udp", "status": "active", "address": "0.0.0.0/0"}
            await panel.signed_in("reseller", accounts["reseller"])
            for address in ("0.0.0.0/0", "192.0.0.0/16", "2001:db8::/32"):
                answer = await send(panel, "/ip-devices", **{**typed, "address": address})
                assert "no larger than 192.0.2.0/24" in answer.text
            assert (await send(panel, "/ip-devices", **{**typed, "address": "192.0.2.0/24"})).status == 303
            panel.forget()
            await panel.signed_in(login="operator")
            assert (await send(panel, "/ip-devices", **{**typed, "address": "198.18.0.0/15"})).status == 303

        play(scenario)

    def test_sip_users_show_which_telephones_are_there(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await panel.signed_in()
            for name in ("anna", "bob"):
                await send(panel, "/sip-users", username=name, status="active")
            [(anna,)] = await rows(panel, "SELECT id FROM sip_user WHERE username = 'anna'")
            panel.worker.add_registration("anna", [accounts["own"]], sip_user_id=anna)
            shown = plain(await panel.get(f"{BASE}/sip-users"))
            assert re.search(r"anna – – Registered .* bob – – Not registered", shown)

        play(scenario)
