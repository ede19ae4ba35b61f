"""The audit log: what is kept of each change, who sees it, filters, pages and the file."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import orjson

import admin.views
from admin.difference import ACTIONS
from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_customer_form import stock
from tests.b2bua.account.test_customer import TYPED


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def shown(text: str) -> int:
    return len(re.findall(r'<tr id="entry-', text))


async def entry(panel: Panel, subject: str, account_id: int | None = None, **columns: Any) -> None:
    await panel.data.connection.execute(
        """
        INSERT INTO audit_entry (at, login, role, acting_as, action, account_id, object, old, new, source)
        VALUES (coalesce($1::text::timestamptz, now()), $2, $3, $4, $5, $6, $7, $8::text::jsonb, $9::text::jsonb,
                '192.0.2.77')
        """,
        columns.get("at"),
        columns.get("login", "root"),
        columns.get("role", "administrator"),
        columns.get("acting_as", ""),
        columns.get("action", "customer.change"),
        account_id,
        subject,
        orjson.dumps(columns.get("old")).decode(),
        orjson.dumps(columns.get("new")).decode(),
    )


async def three_entries(panel: Panel) -> dict[str, int]:
    """About a reseller's customer, about somebody else's, and about no account."""
    accounts = await stock(panel)
    await entry(panel, "account CUST0101", accounts["own"], old={"status": "active"}, new={"status": "suspended"})
    await entry(panel, "account CUST0102", accounts["foreign"], old={"name": "Foreign before"}, new={"name": "x"})
    await entry(panel, "source 203.0.113.9", action="ban.add", login="night_shift")
    return accounts


class TestList:
    def test_change_is_shown_with_who_when_old_and_new(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.signed_in()
            page = "/customers/CUST0101"
            await panel.post(page, {**TYPED, "company": "First"}, form=page)
            await panel.post(page, {**TYPED, "company": "Second & more", "max_sessions": "7"}, form=page)
            text = (await panel.get("/audit-log")).text
            assert 'href="/audit-log" aria-current="page"' in " ".join(text.split())
            newest = words(text.partition('<tr id="entry-')[2].partition("</tr>")[0])
            for part in ("somebody administrator", "Customer changed", "account CUST0101"):
                assert part in newest
            assert re.search(r"Company First → is now Second &amp; more", newest)
            assert "Maximum call sessions" in newest
            assert 'href="/customers/CUST0101"' in text

        play(scenario)

    def test_reseller_sees_its_own_subtree_alone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await three_entries(panel)
            await panel.signed_in("reseller", accounts["reseller"])
            for address in ("/audit-log", "/audit-log/export", "/audit-log?account=CUST0102", "/audit-log?login=root"):
                text = (await panel.get(address)).text
                for hidden in ("Foreign", "CUST0102</a>", "203.0.113.9", "192.0.2.77"):
                    assert hidden not in text, address
            assert shown((await panel.get("/audit-log?what=customer.change")).text) == 1
            assert shown((await panel.get("/audit-log?account=CUST0102")).text) == 0

        play(scenario)

    def test_administrator_and_support_see_every_entry_and_others_no_page(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await three_entries(panel)
            for role in ("administrator", "support"):
                panel.forget()
                await panel.signed_in(role, login=role)
                text = (await panel.get("/audit-log")).text
                assert shown(text) == 3
                assert "from 192.0.2.77" in text
            for role in ("customer", "accounts"):
                panel.forget()
                await panel.signed_in(role, accounts["own"] if role == "customer" else None, login=role)
                for address in ("/audit-log", "/audit-log/export"):
                    assert (await panel.get(address)).status == 404
                assert 'href="/audit-log"' not in (await panel.get("/")).text

        play(scenario)

    def test_money_is_hidden_from_who_may_not_see_it(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await entry(panel, "account CUST0101", accounts["own"], action="payment.add", new={"amount": "815.47"})
            await panel.signed_in("support")
            for address in ("/audit-log", "/audit-log/export"):
                text = (await panel.get(address)).text
                assert "815.47" not in text
                assert "not shown" in text
            panel.forget()
            await panel.signed_in(login="boss")
            assert "815.47" in (await panel.get("/audit-log")).text

        play(scenario)

    def test_list_is_narrowed_by_each_filter(self, play: Play) -> None:
        counts = {
            "": 4,
            "login=nig": 1,
            "login=%25": 0,
            "login=reseller_one": 1,
            "what=ban.add": 1,
            "account=cust0101": 1,
            "account=RESE0001": 2,
            "account=CUST9999": 1,
            "since=2026-03-02T00:00&until=2026-03-03T00:00": 1,
            "since=nonsense": 4,
        }

        async def scenario(panel: Panel) -> None:
            accounts = await stock(panel)
            await entry(panel, "account CUST0101", accounts["own"], acting_as="reseller_one")
            await entry(panel, "account RESE0001", accounts["reseller"], at="2026-03-02 12:00+00")
            await entry(panel, "account CUST9999", 999_999, action="customer.delete")
            await entry(panel, "source 203.0.113.9", action="ban.add", login="night_shift")
            await panel.signed_in()
            found = {query: shown((await panel.get(f"/audit-log?{query}")).text) for query in counts}
            assert found == counts

        play(scenario)

    def test_times_are_those_of_the_reader_s_zone(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            for number, at in enumerate(("2026-07-01 21:59+00", "2026-07-01 22:00+00", "2026-07-02 21:59+00")):
                await entry(panel, f"object {number}", at=at)
            await panel.signed_in(zone="Europe/Berlin")
            query = "since=2026-07-02T00:00&until=2026-07-03T00:00"
            text = (await panel.get(f"/audit-log?{query}")).text
            assert re.findall(r"object (\d)", text) == ["2", "1"]
            assert "From (Europe/Berlin)</label>" in text
            assert 'value="2026-07-03T00:00"' in text
            assert "Until (Europe/Berlin) 2026-07-03 00:00" in text
            rows = list(csv.reader(io.StringIO((await panel.get(f"/audit-log/export?format=csv&{query}")).text)))
            assert [row[6] for row in rows[1:]] == ["object 2", "object 1"]
            exported = words((await panel.get("/audit-log?what=file.export")).text)
            assert "Time zone Europe/Berlin" in exported

        play(scenario)

    def test_pages_follow_each_other_both_ways(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.data.connection.execute(
                """
                INSERT INTO audit_entry (login, role, action, object)
                SELECT 'root', 'administrator', 'customer.change', 'object ' || lpad(number::text, 3, '0')
                FROM generate_series(1, 120) AS number
                """
            )
            await panel.signed_in()

            async def objects(address: str | None) -> tuple[list[str], str | None, str | None]:
                assert address is not None
                answer = await panel.get(address)
                return re.findall(r"object (\d{3})", answer.text), answer.next_page(), answer.next_page("Previous")

            first, onward, none = await objects("/audit-log")
            assert (first[0], first[-1], none) == ("120", "071", None)
            second, onward, back = await objects(onward)
            assert (second[0], second[-1]) == ("070", "021")
            third, end, _ = await objects(onward)
            assert (third[0], third[-1], end) == ("020", "001", None)
            assert (await objects(back))[0] == first

        play(scenario)

    def test_empty_lists_say_why(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await panel.signed_in()
            assert "No changes yet" in (await panel.get("/audit-log")).text
            part = (await panel.get("/audit-log?login=x", {"HX-Request-Type": "partial"})).text
            assert "No entry matches" in part
            assert "<html" not in part

        play(scenario)


class TestFile:
    def test_file_holds_what_is_listed_on_all_pages(self, play: Play) -> None:
        async def scenario(panel: Panel) -> None:
            await stock(panel)
            await panel.data.connection.execute(
                """
                INSERT INTO audit_entry (login, role, action, object, new)
                SELECT '=1+1', 'administrator', 'customer.change', number::text, '{"name": "b", "company": "c"}'
                FROM generate_series(1, 620) AS number
                """
            )
            await entry(panel, "not listed", login="other")
            await panel.signed_in()
            answer = await panel.get("/audit-log/export?login=%3D&format=csv")
            heads, *rows = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")))
            assert heads[:5] == ["Time (UTC)", "Login", "Role", "Working as", "Action"]
            assert [row[6] for row in rows] == [str(number) for number in range(620, 0, -1)]
            assert {row[1] for row in rows} == {"'=1+1"}
            assert rows[0][7] == "Name: b\nCompany: c"
            assert (await panel.get("/audit-log/export?format=doc")).status == 404

        play(scenario)


def test_every_action_that_is_kept_has_a_name() -> None:
    code = "".join(path.read_text() for path in Path(admin.views.__file__).parent.glob("*.py"))
    writes = re.findall(r'audit\.write\(\s*connection,\s*request,\s*"([a-z_.]+)"', code)
    assert len(writes) >= 8
    assert set(writes) <= set(ACTIONS)
    for name in ("set_status", "delete"):
        assert {f"customer.{name}", f"reseller.{name}"} <= set(ACTIONS)
    assert {"call.hang_up", "account_call.hang_up", "file.export", "session.refused", "session.locked"} <= set(ACTIONS)


def test_acts_that_change_no_table_are_kept_in_words_too(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        data = panel.data
        first, second = (f"0191b2c3-0000-7000-8000-00000000000{number}" for number in (1, 2))
        panel.worker.add_call(first, data.chains[accounts["own"]], account="CUST0101")
        panel.worker.add_call(second, data.chains[accounts["own"]], account="CUST0101")
        panel.worker.add_ban("203.0.113.9")
        await data.user("anna", "customer", accounts["own"])
        for _ in range(2):
            await panel.sign_in("anna", "Wrong-horse-7")
        await panel.sign_in("nobody", "Wrong-horse-7")
        assert (await panel.sign_in("anna")).status == 422  # while it is locked, which adds nothing
        await panel.signed_in()
        await panel.post(f"/live-calls/{first}/hang-up", {}, form="/live-calls")
        page = "/customers/CUST0101"
        await panel.post(f"{page}/hang-up", {}, form=page)
        assert "1 call of Own customer hung up" in (await panel.get(page)).text
        await panel.post(f"{page}/hang-up", {}, form=page)
        assert "There was no call to hang up" in (await panel.get(page)).text
        await panel.post("/bans/lift?source=203.0.113.9", {}, form="/bans")
        await panel.post(f"{page}/switch", {}, form=page)
        await panel.post("/switch-back", {}, form="/")
        await panel.get("/customers/export?format=csv&q=Own")
        kept = await data.connection.fetch("SELECT action, object, account_id FROM audit_entry ORDER BY id")
        own = accounts["own"]
        assert [tuple(row) for row in kept] == [
            ("session.refused", "login anna", own),
            ("session.locked", "login anna", own),
            ("call.hang_up", f"call {first}", own),
            ("account_call.hang_up", "account CUST0101", own),
            ("ban.lift", "source 203.0.113.9", None),
            ("switch.begin", "account CUST0101", own),
            ("switch.end", "account CUST0101", own),
            ("file.export", "file customers.csv", None),
        ]
        text = words((await panel.get("/audit-log")).text)
        for line in (
            "Sign-in refused, login locked",
            "All calls of an account hung up",
            "Ban lifted",
            "Switched back",
            "File exported",
            "Q Own",
        ):
            assert line in text, line

    play(scenario, lock_after=2)
