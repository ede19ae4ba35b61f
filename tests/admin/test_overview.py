"""Figures of the overview."""

import re
from datetime import UTC, datetime, timedelta

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_call_records import shown


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_administrator_sees_what_the_switch_does(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        data = panel.data
        account = await data.account("CUST0001")
        carrier = await data.carrier("CARR0001", "Carrier one")
        gateway = await data.gateway(carrier, "gateway-one")
        for _ in range(3):
            await data.record(account, gateway_id=gateway)
        await data.record(account, code="NO_FUNDS", sip_code=402)
        await data.record(account, received_at=datetime.now(UTC) - timedelta(minutes=20), code="NO_RATE")
        await data.beat()
        panel.worker.add_call("01890000-0000-7000-8000-000000000001", [account], age=5)
        panel.worker.add_call("01890000-0000-7000-8000-000000000002", [account], age=500)
        await panel.signed_in()
        text = words((await panel.get("/")).text)
        assert "Calls now 2 in all workers" in text
        assert "Calls per second 0.08 over the last minute" in text
        assert "Answer ratio (ASR) 75.0 % 3 of 4 in 15 minutes" in text
        assert "All up" in text
        assert re.search(r"NO_FUNDS 1\b", text)
        assert "NO_RATE" not in text
        assert "gateway-one Carrier one · 3 attempts 100.0 %" in text

    play(scenario)


def test_figures_lead_to_the_records_of_the_last_15_minutes_in_the_reader_s_zone(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.data.record(account)
        await panel.data.record(account, received_at=datetime.now(UTC) - timedelta(minutes=20))
        # One picture serves them all.
        for zone in ("America/Bogota", "UTC", "Pacific/Kiritimati"):
            panel.forget()
            await panel.signed_in(login=zone[-6:], zone=zone)
            found = re.findall(r'href="(/call-records\?since=[^"]+)"', (await panel.get("/")).text)
            assert len(found) == 3
            for address in found:
                answer = await panel.get(address.replace("&amp;", "&"))
                assert shown(answer.text) == (0 if "failed" in address else 1), address

    play(scenario)


def test_customer_sees_its_own_figures_and_balance(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        data = panel.data
        own = await data.account("CUST0001", balance="12.345", max_sessions=5, name="Own")
        other = await data.account("CUST0002")
        await data.record(own)
        await data.record(other, code="NO_FUNDS", sip_code=402)
        panel.worker.add_call("01890000-0000-7000-8000-000000000001", [own])
        panel.worker.add_call("01890000-0000-7000-8000-000000000002", [other])
        await panel.signed_in("customer", own)
        text = words((await panel.get("/")).text)
        assert "Balance 12.35 EUR CUST0001 · Own" in text
        assert "Calls now 1 of 5" in text
        assert "100.0 % 1 of 1" in text
        assert "NO_FUNDS" not in text

    play(scenario)


def test_nothing_is_claimed_when_there_was_no_call(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        text = words((await panel.get("/")).text)
        assert "Answer ratio (ASR) – 0 of 0" in text
        assert "2 down" not in text
        assert "1 down Record writer" in text

    play(scenario)
