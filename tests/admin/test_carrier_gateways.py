"""Gateways of a carrier: every setting, the secret that is never shown, suspension, deletion with reasons."""

from typing import Any

from admin.keys import SETTINGS
from conf.secret import CARRIERS, Vault, load_secret
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_carriers import stock
from tests.admin.test_customer_form import entries, errors
from tests.b2bua.routing.test_gateway import TYPED

BASE = "/carriers/CARR0001/gateways"

EVERYTHING = {
    "host": "sip.carrier.example",
    "port": 5070,
    "transport": "tls",
    "tls_verify": "chain",
    "prefers_tcp": True,
    "priority": 2,
    "weight": 50,
    "max_sessions": 30,
    "cps": 0,
    "max_duration": 3600,
    "invite_timeout": 3,
    "progress_timeout": 8,
    "ring_timeout": 90,
    "session_timer": 1800,
    "probe_interval": 45,
    "identity": "pai",
    "diversion": "pass",
    "from_user": "4930900",
    "from_domain": "us.example",
    "is_trusted": True,
    "passed_headers": ["X-A", "Subject"],
    "added_headers": ["X-B: 1", "X-C: 2, 3"],
    "reliable_ringing": "supported",
    "srtp": "required",
    "dtmf": "info",
    "follows_redirects": True,
    "auth_user": "me",
    "registers": True,
    "register_expires": 90,
    "status": "inactive",
}


def text(value: Any) -> str:
    if isinstance(value, list):
        return "\r\n".join(value) if ":" in value[0] else ", ".join(value)
    return "yes" if value is True else str(value)


async def kept(panel: Panel, name: str) -> dict[str, Any]:
    row = await panel.data.connection.fetchrow("SELECT * FROM gateway WHERE name = $1", name)
    assert row is not None
    return dict(row)


def test_every_setting_is_stored_and_shown_again(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        typed = {name: text(value) for name, value in EVERYTHING.items()}
        columns = await panel.data.connection.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'gateway'"
        )
        others = {"id", "carrier_id", "name", "auth_secret", "created_at"}
        assert {column["column_name"] for column in columns} - others == set(EVERYTHING)
        answer = await panel.post(f"{BASE}/new", {**typed, "name": "london-2"}, form="/carriers")
        assert answer.status == 303, errors(answer)
        row = await kept(panel, "london-2")
        assert {name: row[name] for name in EVERYTHING} == EVERYTHING
        page = f"{BASE}/{row['id']}"
        shown = (await panel.get(page)).text
        for value in ("sip.carrier.example", "X-A, Subject", "us.example", "1800"):
            assert f'value="{value}"' in shown
        assert "X-B: 1\nX-C: 2, 3</textarea>" in shown
        assert (await panel.post(page, typed, form="/carriers")).status == 303
        assert "Nothing was changed" in (await panel.get(page)).text
        assert len(await entries(panel, "gateway.add")) == 1

    play(scenario)


def test_secret_is_kept_encrypted_replaced_forgotten_and_never_shown(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        vault = Vault(load_secret(panel.app[SETTINGS]), CARRIERS)
        typed = {**TYPED, "auth_user": "me", "name": "g"}
        await panel.post(f"{BASE}/new", {**typed, "auth_secret": "hush-1"}, form="/carriers")
        row = await kept(panel, "g")
        assert vault.open(row["auth_secret"]) == "hush-1"
        page = f"{BASE}/{row['id']}"
        shown = (await panel.get(page)).text
        assert "A secret is kept" in shown
        assert "hush-1" not in shown
        await panel.post(page, {**typed, "weight": "7"}, form="/carriers")
        assert (await kept(panel, "g"))["auth_secret"] == row["auth_secret"]
        answer = await panel.post(page, {**typed, "auth_secret": "hush-2", "port": "x"}, form="/carriers")
        assert (answer.status, "hush-2" in answer.text) == (422, False)
        await panel.post(page, {**typed, "auth_secret": "hush-2"}, form="/carriers")
        assert vault.open((await kept(panel, "g"))["auth_secret"]) == "hush-2"
        await panel.post(page, {**typed, "forgets_secret": "yes"}, form="/carriers")
        assert (await kept(panel, "g"))["auth_secret"] == ""
        log = str(await entries(panel, "gateway.add")) + str(await entries(panel, "gateway.change"))
        assert log.count("'auth_secret': 'changed'") == 5
        for hidden in ("hush", row["auth_secret"]):
            assert hidden not in log

    play(scenario)


def test_faults_stand_beside_their_fields(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await stock(panel)
        await panel.signed_in()
        for changed, words in (
            ({"host": ""}, "Address is needed: an IPv4 or IPv6 address, or a host name like sip.carrier.example"),
            ({"name": "london-1"}, "Name london-1 is taken: choose another"),
            ({"registers": "yes"}, "User name is needed to register, or a From user: who we are there"),
            ({"session_timer": "89"}, "Session timer must be whole seconds from 90 to 86400, or none"),
        ):
            answer = await panel.post(f"{BASE}/new", {**TYPED, "name": "g", **changed}, form="/carriers")
            assert (answer.status, errors(answer)) == (422, [words])
        assert await panel.data.connection.fetchval("SELECT count(*) FROM gateway") == 1

    play(scenario)


def test_gateway_is_suspended_and_deleted_when_nothing_names_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await stock(panel)
        await panel.signed_in()
        page = f"{BASE}/{ids['gateway']}"
        answer = await panel.post(f"{page}/remove", {}, form="/carriers")
        assert (answer.status, "It is active: suspend it first" in answer.text) == (422, True)
        await panel.post(f"{page}/status", {"status": "inactive"}, form="/carriers")
        panel.worker.gateways["sessions"] = {str(ids["gateway"]): 2}
        assert "It has 2 calls in progress" in (await panel.post(f"{page}/remove", {}, form="/carriers")).text
        panel.worker.gateways["sessions"] = {}
        await panel.data.record(None, gateway_id=ids["gateway"])
        assert "Call records name it" in (await panel.post(f"{page}/remove", {}, form="/carriers")).text
        await panel.data.connection.execute("DELETE FROM cdr")
        assert (await panel.post(f"{page}/remove", {}, form="/carriers")).location == BASE
        assert await panel.data.connection.fetchval("SELECT count(*) FROM gateway") == 0
        assert [len(await entries(panel, f"gateway.{act}")) for act in ("set_status", "delete")] == [1, 1]

    play(scenario)


def test_gateway_of_another_carrier_is_not_found(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await stock(panel)
        await panel.signed_in()
        for place in (f"/carriers/CARR0002/gateways/{ids['gateway']}", f"{BASE}/0", f"{BASE}/x", f"{BASE}/{'9' * 30}"):
            assert (await panel.get(place)).status == 404
            for act in ("", "/status", "/remove"):
                answer = await panel.post(place + act, {**TYPED, "status": "inactive"}, form="/carriers")
                assert answer.status == 404
        assert (await kept(panel, "london-1"))["status"] == "active"

    play(scenario)
