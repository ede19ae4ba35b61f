"""Call records: who sees which, and how much of them."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import openpyxl
import orjson
import pytest

from admin import export
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_imports import ended

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


class TestTimesOfTheReader:
    """From and until are on the clock of who reads."""

    MIDNIGHT = datetime(2026, 7, 1, 22, tzinfo=UTC)
    """In Berlin the 2nd of July begins."""
    DAY = "since=2026-07-02T00:00&until=2026-07-03T00:00"

    async def calls(self, panel: Panel) -> None:
        """A minute before that day, at its begin, and in its last minute."""
        account = await panel.data.account("CUST0001")
        for number, minutes in enumerate((-1, 0, 24 * 60 - 1)):
            at = self.MIDNIGHT + timedelta(minutes=minutes)
            await panel.data.record(account, received_at=at, source=f"44200000000{number}")
        await panel.signed_in(zone="Europe/Berlin")

    def test_times_are_read_named_and_kept_in_the_zone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await self.calls(panel)
            text = (await panel.get(f"/call-records?{self.DAY}")).text
            assert shown(text) == 2
            assert "2 Jul" in text
            assert "4 Jul" not in text
            assert ">From (Europe/Berlin)</label>" in text
            assert ">Until (Europe/Berlin)</label>" in text
            assert 'value="2026-07-02T00:00"' in text
            assert "From (Europe/Berlin): 2026-07-02 00:00" in text
            assert "until=2026-07-03T00:00&amp;format=csv" in text
            assert "(UTC)" not in text[text.index("<main") :]
            panel.forget()
            await panel.signed_in(login="other")
            text = (await panel.get(f"/call-records?{self.DAY}")).text
            assert shown(text) == 1
            assert ">From (UTC)</label>" in text

        play(scenario)

    def test_file_holds_what_is_listed_and_the_log_says_in_which_zone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await self.calls(panel)
            _, *rows = await TestExport.lines(panel, self.DAY)
            assert [row[0] for row in rows] == ["2026-07-02 21:59:00", "2026-07-01 22:00:00"]
            new = await panel.data.connection.fetchval("SELECT new FROM audit_entry WHERE action = 'file.export'")
            assert orjson.loads(new) == {
                "since": "2026-07-02T00:00",
                "until": "2026-07-03T00:00",
                "time_zone": "Europe/Berlin",
            }

        play(scenario)

    def test_file_of_a_job_holds_what_is_listed(self, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
        async def scenario(panel: Panel) -> None:
            await self.calls(panel)
            monkeypatch.setattr(export, "AT_ONCE", 1)
            address = f"/call-records/export?format=csv&{self.DAY}"
            job = await panel.post(address, {}, form="/call-records")
            # Another zone, chosen while the job runs, is none of its business.
            await panel.data.connection.execute("UPDATE panel_user SET time_zone = 'Asia/Tokyo'")
            assert "2 rows" in await ended(panel, job)
            response = await panel.client.get(f"{job.location}/file")
            assert len((await response.read()).splitlines()) == 3

        play(scenario)

    def test_hour_that_comes_twice_or_never_is_shown_as_it_was_read(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            account = await panel.data.account("CUST0001")
            for hour in (0, 1):
                await panel.data.record(account, received_at=datetime(2026, 10, 25, hour, 30, tzinfo=UTC))
            await panel.signed_in(zone="Europe/Berlin")
            assert shown((await panel.get("/call-records?since=2026-10-25T02:30")).text) == 2
            later = (await panel.get("/call-records?since=2026-10-25T02:30%2B01:00")).text
            assert shown(later) == 1
            assert "From (Europe/Berlin): 2026-10-25 02:30+01:00" in later
            assert 'value="2026-10-25T02:30"' in later
            never = (await panel.get("/call-records?since=2026-03-29T02:30")).text
            assert "From (Europe/Berlin): 2026-03-29 03:30" in never

        play(scenario)


NARROWING = {
    "": 5,
    "company=works": 4,
    "source=33": 1,
    "source=0": 0,
    "destination=49": 3,
    "destination=0049": 0,
    "direction=incoming": 1,
    "device=user:9": 1,
    "address=203.0.113": 1,
    "shortest=60": 3,
    "shortest=62": 1,
    "longest=61": 4,
    "shortest=61&longest=61": 1,
    "sip=402": 1,
    "cause=17": 1,
    "cause=0": 4,
    "failure=balance": 1,
    "failure=balance&result=answered": 0,
    "ended_by=callee": 1,
    "carrier=carr0001": 1,
    "carrier=Carrier+one": 1,
    "carrier=Carrier": 0,
    "gateway=gateway-one": 1,
    "sent=88": 1,
    "carrier_address=198.51": 5,
    "attempts=last": 4,
    "sip=99999999999999999999&cause=x&direction=sideways&failure=none": 5,
}
OF_CARRIERS = ("carrier=CARR0001", "gateway=gateway-one", "sent=88", "carrier_address=198.51")


async def various_calls(panel: Panel) -> int:
    """Five records, of which each filter finds its own; the account of four of them."""
    data = panel.data
    account = await data.account("CUST0001", company="The Works")
    other = await data.account("CUST0002", company="100 % other")
    carrier = await data.carrier("CARR0001", "Carrier one")
    gateway = await data.gateway(carrier, "gateway-one")
    await data.record(account, gateway_id=gateway, carrier_id=carrier, destination_sent="88#4930901820")
    await data.record(account, duration="10.9", device="user:9", ended_by="callee")
    await data.record(account, code="NO_FUNDS", sip_code=402, q850_cause=17, destination="12125550100")
    await data.record(account, kind="incoming", address="203.0.113.9:5060", duration="60", destination_used="331")
    await data.record(other, is_last=False, source="33123456789", destination="0049", destination_used="4930")
    await data.connection.execute("UPDATE cdr SET duration = 62.5 WHERE account_id = $1", other)
    return account


def test_each_filter_finds_its_records_and_says_so_in_a_chip(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        await various_calls(panel)
        await panel.signed_in()
        for query, count in NARROWING.items():
            answer = await panel.get(f"/call-records?{query}")
            assert (answer.status, shown(answer.text)) == (200, count), query
            chips = answer.text.count('class="sw-chip"')
            assert chips == (0 if "sideways" in query or not query else query.count("=")), query

    play(scenario)


def test_carriers_side_is_no_filter_for_accounts(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        account = await various_calls(panel)
        await panel.signed_in("customer", account)
        text = (await panel.get("/call-records")).text
        assert 'name="device"' in text
        for query in OF_CARRIERS:
            assert f'name="{query.partition("=")[0]}"' not in text
            assert (await panel.get(f"/call-records?{query}")).status == 404
            assert (await panel.get(f"/call-records/export?{query}")).status == 404
        assert shown((await panel.get("/call-records?address=192.0.2.1")).text) == 3
        assert shown((await panel.get("/call-records?address=203.0.113")).text) == 0, "a carrier is the caller"

    play(scenario)


class TestExport:
    @staticmethod
    async def lines(panel: Panel, query: str = "") -> list[list[str]]:
        answer = await panel.get(f"/call-records/export?format=csv&{query}")
        assert answer.status == 200
        return list(csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))))

    def test_file_holds_every_page_of_what_is_listed(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            account = await panel.data.account("CUST0001")
            for number in range(60):
                code = "NO_FUNDS" if number % 20 == 0 else "ANSWERED"
                await panel.data.record(account, code=code, source=f"=cmd{number}")
            await panel.signed_in("accounts")
            heads, *rows = await self.lines(panel)
            assert len(rows) == 60
            assert [row[heads.index("From")] for row in rows] == [f"'=cmd{number}" for number in range(60)]
            assert rows[1][heads.index("Price")] == "0.0712000000"
            assert len(await self.lines(panel, "result=NO_FUNDS")) == 1 + 3
            response = await panel.client.get("/call-records/export?format=xlsx&result=NO_FUNDS")
            sheet = openpyxl.load_workbook(io.BytesIO(await response.read())).active
            assert sheet is not None
            assert [cell.value for cell in next(iter(sheet.rows))] == heads
            assert sheet.max_row == 1 + 3
            assert (await panel.get("/call-records/export?format=doc")).status == 404

        play(scenario)

    def test_file_holds_what_the_login_may_see(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            account = await various_calls(panel)
            await panel.signed_in("customer", account)
            heads, *rows = await self.lines(panel)
            assert len(rows) == 4
            assert "Price" in heads
            text = str([heads, *rows])
            for part in ("Carrier", "gateway-one", "88#", "198.51.100.9", "203.0.113.9"):
                assert part not in text.replace("Caller's address", ""), part
            panel.forget()
            await panel.signed_in("support", login="support")
            text = str(await self.lines(panel))
            assert "0.0712" not in text
            assert all(part in text for part in ("Carrier one", "gateway-one", "88#4930901820", "203.0.113.9"))

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


def test_quality_is_shown_for_each_direction_and_what_nobody_measured_is_empty(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        call_id, *_ = await one_call(panel)
        await panel.data.connection.execute(
            "UPDATE cdr SET media_mode = 'anchored', a_packets = 3000, a_lost = 7, a_jitter_ms = 1.23, a_mos = 3.1,"
            " a_round_trip_ms = 40.12, b_packets = 0, audio = 'one-way' WHERE call_id = $1",
            call_id,
        )
        await panel.signed_in()
        text = " ".join(re.sub(r"<[^>]+>", " ", (await panel.get(f"/call-records/{call_id}/1")).text).split())
        assert "Quality of the audio One-way audio" in text
        assert "From the caller 3.1 Poor 3,000 7 1.2 ms 40.1 ms" in text
        assert "To the caller – Not measured 0 – – –" in text
        answer = await panel.get("/call-records/export?format=csv")
        (row,) = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")))
        assert [row[name] for name in ("MOS from caller", "Packets to caller", "MOS to caller", "Audio")] == [
            *("3.1", "0", "", "one-way")
        ]

    play(scenario)
