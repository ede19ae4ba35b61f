"""Call records: who sees which, and how much of them."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from tests.admin.conftest import Play
from tests.admin.panel import Panel

UNKNOWN = "01920000-0000-7000-8000-000000000000"
"""Id of no call."""


def shown(text: str) -> int:
    return len(re.findall(r'<tr id="record-', text))


async def one_call(panel: Panel) -> tuple[UUID, int, int]:
    """A call of a reseller's customer over a carrier, with what everybody pays."""
    data = panel.data
    reseller = await data.account("RESL0001", kind="reseller", name="Reseller one")
    customer = await data.account("CUST0001", parent=reseller, name="Customer one")
    carrier = await data.carrier("CARR0001", "Carrier one")
    gateway = await data.gateway(carrier, "gateway-one")
    call_id = await data.record(customer, gateway_id=gateway, carrier_id=carrier)
    await data.charge(call_id, 0, "0.0712", account_id=customer)
    await data.charge(call_id, 1, "0.0533", account_id=reseller)
    await data.charge(call_id, -1, "0.0391", account_id=None, carrier_id=carrier)
    return call_id, reseller, customer


def test_accounts_role_sees_the_charges_of_every_level(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        call_id, _, _ = await one_call(panel)
        await panel.signed_in("accounts")
        text = (await panel.get(f"/call-records/{call_id}/1")).text
        for part in ("0.0712 EUR", "0.0533 EUR", "0.039100 EUR", "Carrier one", "gateway-one", "99#4930901820"):
            assert part in text

    play(scenario)


@pytest.mark.parametrize(
    ("role", "owner", "seen", "hidden"),
    [
        ("reseller", 1, ["0.0712", "0.0533"], ["0.0391"]),
        ("customer", 2, ["0.0712"], ["0.0533", "0.0391"]),
        ("support", None, ["gateway-one"], ["0.0712", "0.0533", "0.0391"]),
    ],
)
def test_login_sees_no_charge_of_those_above_it(
    play: Play, role: str, owner: int | None, seen: list[str], hidden: list[str]
) -> None:
    async def scenario(panel: Panel) -> None:
        call = await one_call(panel)
        await panel.signed_in(role, int(call[owner]) if owner else None)
        text = (await panel.get(f"/call-records/{call[0]}/1")).text
        assert all(part in text for part in seen)
        assert not any(part in text for part in hidden)

    play(scenario)


def test_reseller_sees_nothing_of_the_carriers_side(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        call_id, reseller, _ = await one_call(panel)
        await panel.signed_in("reseller", reseller)
        for address in (f"/call-records/{call_id}/1", "/call-records", "/"):
            text = (await panel.get(address)).text
            for part in ("gateway-one", "Carrier one", "198.51.100.9", "99#4930901820"):
                assert part not in text
        assert (await panel.get("/call-records?gateway=gateway-one")).status == 404

    play(scenario)


def test_reseller_gets_404_for_the_record_of_another(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        call_id, _, _ = await one_call(panel)
        other = await panel.data.account("RESL0002", kind="reseller")
        nobody = await panel.data.record(None, code="UNKNOWN_SOURCE")
        await panel.signed_in("reseller", other)
        assert (await panel.get(f"/call-records/{call_id}/1")).status == 404
        assert (await panel.get(f"/call-records/{nobody}/1")).status == 404
        assert shown((await panel.get("/call-records")).text) == 0
        assert shown((await panel.get("/call-records?account=CUST0001")).text) == 0

    play(scenario)


def test_customer_sees_the_last_attempt_of_its_calls_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        call_id = uuid4()
        await panel.data.record(account, call_id=call_id, attempt=1, is_last=False, code="CALLEE_BUSY", sip_code=486)
        await panel.data.record(account, call_id=call_id, attempt=2)
        await panel.signed_in("customer", account)
        assert shown((await panel.get("/call-records")).text) == 1
        assert (await panel.get(f"/call-records/{call_id}/1")).status == 404
        assert (await panel.get(f"/call-records/{call_id}/2")).status == 200
        panel.forget()
        await panel.signed_in("administrator", login="root")
        assert shown((await panel.get("/call-records")).text) == 2
        assert shown((await panel.get("/call-records?attempts=last")).text) == 1
        assert "Attempt 2" in (await panel.get(f"/call-records/{call_id}/1")).text

    play(scenario)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 4),
        ("result=answered", 2),
        ("result=failed", 2),
        ("result=NO_FUNDS", 1),
        ("number=%2B49+30+90", 3),
        ("number=0001", 3),
        ("account=cust0001", 3),
        ("account=RESL0001", 3),
        ("account=CUST9999", 0),
        ("since=2026-03-02T00:00", 2),
        ("until=2026-03-02T00:00", 2),
        ("since=2026-03-01T12:00&until=2026-03-01T12:01", 1),
        ("since=nonsense", 4),
    ],
)
def test_administrator_narrows_the_list_by_each_filter(play: Play, query: str, count: int) -> None:
    async def scenario(panel: Panel) -> None:
        data, start = panel.data, datetime(2026, 3, 1, 12, tzinfo=UTC)
        reseller = await data.account("RESL0001", kind="reseller")
        first = await data.account("CUST0001", parent=reseller)
        second = await data.account("CUST0002")
        day = timedelta(days=1)
        await data.record(first, received_at=start)
        await data.record(first, received_at=start + timedelta(minutes=1), code="NO_FUNDS", sip_code=402)
        await data.record(first, received_at=start + day, code="CALLEE_BUSY", sip_code=486)
        await data.record(second, received_at=start + day, source="33123456789", destination="12125550100")
        await panel.signed_in()
        answer = await panel.get(f"/call-records?{query}")
        assert answer.status == 200
        assert shown(answer.text) == count

    play(scenario)


def test_list_says_why_a_call_failed(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.data.record(
            account, code="SESSION_LIMIT", sip_code=503, q850_cause=34, object="account CUST0001", attempt=0
        )
        await panel.signed_in()
        text = re.sub(r"<[^>]+>|\s+", " ", (await panel.get("/call-records")).text)
        assert "503 Service Unavailable" in text
        assert "SESSION_LIMIT account CUST0001 · Q.850 34 no circuit" in text

    play(scenario)


@pytest.mark.parametrize("address", ["/call-records/x/1", f"/call-records/{UNKNOWN}/1", f"/call-records/{UNKNOWN}/x"])
def test_record_that_is_none_is_not_found(play: Play, address: str) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        assert (await panel.get(address)).status == 404

    play(scenario)


def test_what_a_caller_sends_is_shown_as_text(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.data.record(account, source="<script>alert(1)</script>")
        await panel.signed_in()
        text = (await panel.get("/call-records")).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text

    play(scenario)


MESSAGES = (
    (
        0.0,
        "a",
        False,
        "udp:192.0.2.1:5060",
        "INVITE sip:4930901820@h SIP/2.0\nSubject: <b>\nContent-Type: application/sdp",
    ),
    (0.012, "b", True, "udp:198.51.100.9:5060", "INVITE sip:99#4930901820@h SIP/2.0"),
    (0.012, "", False, "", "2 messages left out"),
    (1.5, "b", False, "udp:198.51.100.9:5060", "SIP/2.0 503 Carrier is ill\nCSeq: 1 INVITE"),
    (1.5, "a", True, "udp:192.0.2.1:5060", "SIP/2.0 503 Service Unavailable\nCSeq: 1 INVITE"),
)


class TestMessages:
    def test_staff_sees_the_ladder_and_every_message(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            call_id, _, _ = await one_call(panel)
            await panel.data.trace(call_id, *MESSAGES)
            await panel.signed_in("support")
            text = (await panel.get(f"/call-records/{call_id}/1")).text
            assert text.count('<a class="sw-arrow') == text.count("<details>\n            <summary>") == 4
            for part in ("Subject: &lt;b&gt;", "2 messages left out", "INVITE +SDP", "503 Carrier is ill", "1.500 s"):
                assert part in text
            assert 'href="#message-5"' in text
            assert 'id="message-5"' in text

        play(scenario)

    @pytest.mark.parametrize("owner", [1, 2])
    def test_account_sees_the_callers_side_alone(self, play: Play, owner: int) -> None:
        async def scenario(panel: Panel) -> None:
            call = await one_call(panel)
            await panel.data.trace(call[0], *MESSAGES)
            await panel.signed_in("reseller" if owner == 1 else "customer", int(call[owner]))
            text = (await panel.get(f"/call-records/{call[0]}/1")).text
            assert "503 Service Unavailable" in text
            assert text.count('<a class="sw-arrow') == 2
            for part in ("Carrier is ill", "198.51.100.9", "99#", "Called side"):
                assert part not in text

        play(scenario)

    def test_account_does_not_see_a_carrier_that_called(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            customer = await panel.data.account("CUST0001")
            call_id = await panel.data.record(customer, kind="incoming")
            await panel.data.trace(call_id, *MESSAGES)
            await panel.signed_in("customer", customer)
            text = (await panel.get(f"/call-records/{call_id}/1")).text
            for part in ('id="messages"', "192.0.2.1", "a@caller"):
                assert part not in text
            panel.forget()
            await panel.signed_in("support", login="helper")
            assert "192.0.2.1:5060" in (await panel.get(f"/call-records/{call_id}/1")).text

        play(scenario)

    def test_call_without_messages_has_no_ladder(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            call_id, _, _ = await one_call(panel)
            await panel.signed_in("administrator")
            assert 'id="messages"' not in (await panel.get(f"/call-records/{call_id}/1")).text

        play(scenario)
