"""Rates of a ratecard, and those that a customer or reseller pays."""

from decimal import Decimal

from tests.admin.conftest import Play
from tests.admin.panel import Panel
from tests.admin.test_call_effect import snapshot
from tests.admin.test_customer_form import entries, errors, stock
from tests.admin.test_items import plain
from tests.admin.test_tariffs import made

RATE = {"prefix": "44", "destination": "United Kingdom", "rate_per_minute": "0.0125", "minimum": "1", "resolution": "1"}
MORE = {"blocks_mode": "from_zero", "status": "active"}


async def card_in_tariff(panel: Panel, account: int, owner: int | None = None) -> int:
    """A ratecard in the tariff of an account."""
    card, tariff = await made(panel, "ratecard", "card", owner), await made(panel, "tariff", "its tariff", owner)
    row = panel.data.connection
    await row.execute("INSERT INTO tariff_ratecard (tariff_id, ratecard_id) VALUES ($1, $2)", tariff, card)
    await row.execute("UPDATE account SET tariff_id = $1 WHERE id = $2", tariff, account)
    return card


def test_rate_is_added_changed_and_removed_and_counts_at_once(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        card = await card_in_tariff(panel, accounts["own"])
        page = f"/ratecards/{card}"
        await panel.signed_in()
        assert (await panel.post(page, {**RATE, **MORE}, form=page)).location == f"{page}?q=44"
        tariff = (await snapshot(panel)).tariffs[await panel.data.connection.fetchval("SELECT max(id) FROM tariff")]
        from datetime import UTC, datetime

        now = datetime.now(UTC)
        rate = tariff.find("442079460000", now)
        assert rate is not None
        assert (rate.prefix, rate.rate_per_minute) == ("44", Decimal("0.0125"))
        changed = {**RATE, **MORE, "status": "blocked", "rate_per_minute": "0.02"}
        assert 'value="United Kingdom"' in (await panel.get(f"{page}/rates/{rate.id}")).text
        await panel.post(f"{page}/rates/{rate.id}", changed, form=page)
        assert "Blocked" in (await panel.get(page)).text
        later = {**RATE, **MORE, "rate_per_minute": "0.03", "valid_from": "2099-01-31 08:00"}
        await panel.post(page, later, form=page)
        text = (await panel.get(f"{page}?when=later")).text
        assert ("0.0300" in text, "0.0200" in text, "31 Jan 2099 08:00:00" in text) == (True, False, True)
        await panel.post(f"{page}/rates/{rate.id}/remove", {}, form=page)
        assert await panel.data.connection.fetchval("SELECT count(*) FROM rate") == 1
        (change,) = await entries(panel, "rate.change")
        assert (change["old"], change["new"]) == (
            {"status": "active", "rate_per_minute": 0.0125},
            {"status": "blocked", "rate_per_minute": 0.02},
        )

    play(scenario)


def test_times_of_a_rate_are_in_the_zone_that_the_list_names(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        page = f"/ratecards/{await made(panel, 'ratecard', 'card')}"
        await panel.signed_in(zone="Asia/Tokyo")
        await panel.post(page, {**RATE, **MORE, "valid_from": "2099-01-31 08:00"}, form=page)
        text = (await panel.get(f"{page}?when=later")).text
        assert "31 Jan 2099 17:00:00" in text
        assert "times in Asia/Tokyo" in text

    play(scenario)


def test_wrong_rate_is_refused_with_everything_typed_kept(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        page = f"/ratecards/{await made(panel, 'ratecard', 'card')}"
        await panel.signed_in()
        typed = {**RATE, **MORE, "prefix": "4x", "rate_per_minute": "0,1", "valid_from": "soon", "resolution": "0"}
        answer = await panel.post(page, typed, form=page)
        assert (answer.status, len(errors(answer))) == (422, 4)
        assert 'value="0,1"' in answer.text
        await panel.post(page, {**RATE, **MORE}, form=page)
        answer = await panel.post(page, {**RATE, **MORE}, form=page)
        assert "Prefix 44 has a rate that was always valid already: change that, or begin later" in errors(answer)

    play(scenario)


def test_list_finds_prefix_number_and_destination_and_is_paged(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await made(panel, "ratecard", "card")
        await panel.data.connection.execute(
            """
            INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute)
            SELECT $1, number::text, 'Place ' || number, 0.01 FROM generate_series(400, 519) AS number
            """,
            card,
        )
        page = f"/ratecards/{card}"
        await panel.signed_in()
        first = await panel.get(page)
        assert "120 rates" in first.text
        second = await panel.get(first.next_page() or "")
        assert ("Place 450" in second.text, "Place 449" in second.text) == (True, False)
        assert "Place 400" in (await panel.get(second.next_page("Previous") or "")).text
        for search, count in (("41", 10), ("4199999", 1), ("50%25", 0), ("nowhere", 0)):
            text = (await panel.get(f"{page}?q={search.replace(' ', '%20')}")).text
            assert (f"{count} rate" in text) if count else ("No rate matches" in text), search
        assert "10 on this page" in (await panel.get(f"{page}?q=place%2041")).text
        assert (await panel.get(f"{page}?after=nonsense")).status == 200
        part = await panel.get(f"{page}?q=41", {"HX-Request-Type": "partial", "HX-Request": "true"})
        assert (part.status, "Remove" in part.text, "<h1" in part.text) == (200, True, False)

    play(scenario)


def test_customer_sees_what_it_pays_now_where_its_account_lets_it(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        card = await card_in_tariff(panel, accounts["own"], accounts["reseller"])
        await panel.data.connection.execute(
            """
            INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute, valid_from) VALUES
            ($1, '44', 'old', 0.011, '-infinity'), ($1, '44', 'new', 0.022, '2020-01-01'),
            ($1, '44', 'later', 0.033, '2099-01-01')
            """,
            card,
        )
        await panel.signed_in("customer", accounts["own"])
        assert 'href="/rates"' in (await panel.get("/")).text
        assert (await panel.get("/rates")).location == "/customers/CUST0101/rates"
        text = (await panel.get("/customers/CUST0101/rates?q=442079")).text
        assert ("0.0220" in text, "0.0110" in text, "0.0330" in text, "its tariff" in text) == (True, *[False] * 3)
        assert (await panel.get("/customers/CUST0102/rates")).status == 404
        assert (await panel.get(f"/ratecards/{card}")).status == 404
        await panel.data.connection.execute("UPDATE account SET own_rates = false")
        assert (await panel.get("/customers/CUST0101/rates")).status == 404
        assert 'href="/rates"' not in (await panel.get("/")).text
        panel.forget()
        await panel.signed_in("support", login="helper")
        assert (await panel.get("/customers/CUST0101/rates")).status == 404

    play(scenario)


def test_reseller_sees_what_it_pays_and_what_those_below_it_pay(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        card = await card_in_tariff(panel, accounts["reseller"])
        await panel.data.connection.execute(
            "INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute) VALUES ($1, '44', 'UK', 0.011)", card
        )
        await panel.signed_in("reseller", accounts["reseller"])
        assert 'href="/rates"' in (await panel.get("/")).text
        own = "/resellers/RESE0001/rates"
        assert (await panel.get("/rates")).location == own
        answer = await panel.get(own)
        assert ("0.0110" in answer.text, "cost you now" in plain(answer), "its tariff" in answer.text) == (
            True,
            True,
            False,
        )
        assert 'href="/rates" aria-current="page"' in " ".join(answer.text.split())
        assert "No rates" in (await panel.get("/customers/CUST0101/rates")).text
        assert "No rate matches" in (await panel.get(f"{own}?q=33")).text
        assert (await panel.get("/resellers/RESE0002/rates")).status == 404
        panel.forget()
        await panel.signed_in(login="boss")
        assert "tariff its tariff" in plain(await panel.get(own))

    play(scenario)
