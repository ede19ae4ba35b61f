"""Call analysis: the figures of a period, who sees which, and where each leads."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from uuid import uuid4

import orjson
import pytest

from admin.views.call_analysis import read_period
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_call_records import shown

DAY = "since=2026-03-02&until=2026-03-02"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = datetime(2026, 3, 18, 15, 30, tzinfo=UTC)


def words(text: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def links(text: str) -> list[str]:
    """Addresses of lists of records that the figures lead to."""
    main = text[text.index("<main") : text.index("</main>")]
    return sorted({unescape(found) for found in re.findall(r'href="(/call-records\?[^"]+)"', main)})


async def calls(panel: Panel) -> dict[str, int]:
    """Calls of two resellers' customers on one day: seven of the first, of which two were answered, and one besides."""
    data = panel.data
    reseller = await data.account("RESL0001", kind="reseller", name="Reseller one")
    own = await data.account("CUST0001", parent=reseller, name="Own")
    other = await data.account("CUST0002", name="Foreign")
    carrier = await data.carrier("CARR0001", "Carrier one")
    device = await data.connection.fetchval(
        "INSERT INTO ip_device (account_id, address) VALUES ($1, '192.0.2.1') RETURNING id", own
    )
    call = {"received_at": NOON, "device": f"ip:{device}", "carrier_id": carrier}
    first = await data.record(own, **call, duration="60.000")
    await data.record(own, **{**call, "received_at": NOON + timedelta(hours=1)}, duration="120.000", destination="331")
    await data.charge(first, 0, "0.0712", account_id=own)
    await data.charge(first, 1, "0.0533", account_id=reseller)
    await data.charge(first, -1, "0.0391", account_id=None, carrier_id=carrier)
    await data.connection.execute("UPDATE cdr_charge SET profit = 0.01 * (level + 2) WHERE level >= 0")
    again = uuid4()
    await data.record(own, **call, call_id=again, is_last=False, code="CARRIER_FAILURE", q850_cause=34)
    await data.record(own, **call, call_id=again, attempt=2, code="BUSY", sip_code=486, q850_cause=17)
    refused = {"received_at": NOON, "attempt": 0, "device": ""}
    await data.record(own, **refused, code="SESSION_LIMIT", calls=3)
    await data.record(own, **refused, code="FROM_THE_FUTURE", kind="on_net", destination="201")
    await data.record(other, received_at=NOON, code="NO_FUNDS", sip_code=402)
    await data.record(other, received_at=NOON + timedelta(days=1), code="NO_RATE")
    return {"reseller": reseller, "own": own, "other": other}


def test_accounts_role_sees_every_figure_of_an_account_and_its_money(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await calls(panel)
        await panel.signed_in("accounts")
        text = (await panel.get(f"/call-analysis?account=cust0001&{DAY}")).text
        said = words(text)
        for part in (
            *("Calls 7 4 attempts at a gateway", "Answer ratio (ASR) 28.6 % 2 answered", "Average duration (ACD) 1:30"),
            *("Post-dial delay (PDD) 1.8 s", "Minutes 3.0", "Price 0.14 EUR", "Cost 0.04 EUR", "Profit 0.03 EUR"),
            *("Calls per hour", "2026-03-02 13:00 1 1 100.0 % 2:00 1.8 s 2.0", "2026-03-02 12:00 6 1 16.7 %"),
            *("Over a limit", "then raise it or send less. 3 42.9 %", "Busy", "Other", "FROM_THE_FUTURE 1"),
            *(
                "Germany +49 · answer ratio 20.0 % · 1:00 average · 1.8 s delay · 1.0 min 5",
                "France +33 ·",
                "Inside the switch",
                "49309",
                "192.0.2.1 CUST0001 ·",
            ),
            *("Carrier one CARR0001 · answered 50.0 %", "486 Busy Here Q.850 17 user busy 1", "no cause given"),
        ):
            assert part in said, part
        for part in ("NO_FUNDS", "NO_RATE", "CARRIER_FAILURE"):
            assert part not in said, part
        found = re.search(r'id="chart-data">([^<]+)<', text)
        assert found
        stamps, answered, failed = orjson.loads(found[1])
        assert len(stamps) == 24
        assert (stamps[12], answered[12], failed[12]) == (NOON.timestamp(), 1, 5)
        assert sum(answered) + sum(failed) == 7

    play(scenario)


@pytest.mark.parametrize(
    ("zone", "period"),
    [
        ("UTC", "since=2026-03-02T00:00&until=2026-03-03T00:00"),
        ("Asia/Kolkata", "since=2026-03-02T05:30&until=2026-03-03T05:30"),
        ("America/New_York", "since=2026-03-01T19:00&until=2026-03-02T19:00"),
    ],
)
def test_every_figure_leads_to_its_records_whatever_the_reader_s_zone(play: Play, zone: str, period: str) -> None:
    async def scenario(panel: Panel) -> None:
        await calls(panel)
        await panel.signed_in("administrator", zone=zone)
        found = links((await panel.get(f"/call-analysis?account=CUST0001&{DAY}")).text)
        rows = {}
        for address in found:
            answer = await panel.get(address)
            assert f"account=CUST0001&{period}" in address
            rows[address.partition("?")[2].replace(f"account=CUST0001&{period}", "")] = shown(answer.text)
        assert {part: count for part, count in rows.items() if "device" not in part} == {
            "&attempts=last": 5,
            "&attempts=last&result=answered": 2,
            "&attempts=last&result=failed": 3,
            "&attempts=last&failure=limits": 1,
            "&attempts=last&failure=busy": 1,
            "&attempts=last&result=SESSION_LIMIT": 1,
            "&attempts=last&result=BUSY": 1,
            "&attempts=last&result=FROM_THE_FUTURE": 1,
            "&attempts=last&destination=49": 3,
            "&attempts=last&destination=33": 1,
            "&attempts=last&direction=on_net": 1,
            "&attempts=last&destination=49309": 3,
            "&attempts=last&destination=331": 1,
            "&attempts=last&destination=201": 1,
            "&attempts=last&result=failed&sip=503&cause=0": 2,
            "&attempts=last&result=failed&sip=486&cause=17": 1,
            "&carrier=CARR0001": 4,
        }
        assert [count for part, count in rows.items() if "device" in part] == [3]

    play(scenario)


def test_each_role_sees_the_calls_and_money_of_its_own_alone(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await calls(panel)
        for role, account, seen, hidden in (
            ("support", None, ["Calls 8", "Carrier one"], ["Price", "Cost", "Profit"]),
            (
                "reseller",
                ids["reseller"],
                ["Calls 7", "Price 0.14 EUR", "Cost 0.05 EUR what you pay", "Profit 0.02"],
                [],
            ),
            ("customer", ids["own"], ["Calls 7", "Price 0.14 EUR what you pay"], ["Cost", "Profit"]),
            ("customer", ids["other"], ["Calls 1", "NO_FUNDS"], ["SESSION_LIMIT", "Price"]),
        ):
            panel.forget()
            await panel.signed_in(role, account, login=f"{role}{account or ''}")
            text = (await panel.get(f"/call-analysis?{DAY}")).text
            said = words(text[text.index("<main") :])
            assert all(part in said for part in seen), (role, said)
            for part in [*hidden, *([] if role == "support" else ["Carrier one", "CARR0001", "carrier="])]:
                assert part not in said, (role, part)
            for address in links(text):
                assert (await panel.get(address)).status == 200

    play(scenario)


def test_account_out_of_scope_is_not_found(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        ids = await calls(panel)
        for role, account, code, status in (
            ("reseller", ids["reseller"], "CUST0002", 404),
            ("reseller", ids["reseller"], "CUST0001", 200),
            ("reseller", ids["reseller"], "RESL0001", 200),
            ("customer", ids["own"], "CUST0002", 404),
            ("customer", ids["own"], "RESL0001", 404),
            ("customer", ids["own"], "CUST0001", 200),
            ("support", None, "CUST9999", 404),
            ("support", None, "RESL0001", 200),
        ):
            panel.forget()
            await panel.signed_in(role, account, login=f"{role}{code}")
            assert (await panel.get(f"/call-analysis?account={code}&{DAY}")).status == status, (role, code)
        assert "No calls in this period" in (await panel.get("/call-analysis?account=RESL0001")).text

    play(scenario)


def test_amounts_of_two_currencies_are_not_added_up(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await panel.data.account("CUST0001")
        await panel.data.record(account, received_at=NOON)
        await panel.data.record(account, received_at=NOON, currency="USD", gross=Decimal("2.5"))
        await panel.signed_in("administrator")
        said = words((await panel.get(f"/call-analysis?{DAY}")).text)
        assert "Price 0.07 EUR" in said
        assert "Price 2.50 USD" in said

    play(scenario)


@pytest.mark.parametrize(
    ("query", "since", "until", "hours"),
    [
        ({}, "2026-03-18", "2026-03-19", 1),
        ({"period": "yesterday"}, "2026-03-17", "2026-03-18", 1),
        ({"period": "7-days"}, "2026-03-12", "2026-03-19", 1),
        ({"period": "30-days"}, "2026-02-17", "2026-03-19", 24),
        ({"period": "month"}, "2026-03-01", "2026-03-19", 24),
        ({"period": "nonsense"}, "2026-03-18", "2026-03-19", 1),
        ({"since": "2026-01-05"}, "2026-01-05", "2026-03-19", 24),
        ({"since": "2026-01-05", "until": "2026-01-05"}, "2026-01-05", "2026-01-06", 1),
        ({"since": "2026-01-05", "until": "2025-01-05"}, "2026-01-05", "2026-01-06", 1),
        ({"since": "2020-01-01", "until": "2026-01-05"}, "2020-01-01", "2021-01-01", 24),
        ({"until": "2026-01-05"}, "2026-01-05", "2026-01-06", 1),
        ({"since": "0001-01-01", "until": "x"}, "2026-03-18", "2026-03-19", 1),
    ],
)
def test_period_is_whole_days_by_hour_or_by_day(query: dict[str, str], since: str, until: str, hours: int) -> None:
    period = read_period(query, NOW)
    assert (f"{period.since:%Y-%m-%d}", f"{period.until:%Y-%m-%d}") == (since, until)
    assert period.step == timedelta(hours=hours)
