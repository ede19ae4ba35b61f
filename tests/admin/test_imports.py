"""Files of rates: looked through, imported, undone and written, each by a job."""

import asyncio
import io
import re
import time
import zipfile
from typing import Any

import openpyxl
from aiohttp import FormData

from tests.admin.conftest import Play
from tests.admin.panel import Answer, Panel
from tests.admin.test_customer_form import entries, stock
from tests.admin.test_tariffs import made

DECK = "Code,Description,Price,Note\n44,United Kingdom,0.02,\n49,Germany,0.03,new\n33,France,0.01,\n"


async def send(panel: Panel, card: int, content: str | bytes, name: str = "deck.csv", **fields: str) -> Answer:
    """Send a file as a browser does, the token first."""
    form = FormData()
    form.add_field("csrf_token", await panel.token(f"/ratecards/{card}/import"))
    for field, value in fields.items():
        form.add_field(field, value)
    form.add_field("file", content, filename=name, content_type="application/octet-stream")
    response = await panel.client.post(f"/ratecards/{card}/import", data=form, allow_redirects=False)
    return Answer(response, await response.text())


async def ended(panel: Panel, answer: Answer) -> str:
    """The page of a job that an answer leads to, once it has ended."""
    assert answer.status == 303, answer.text
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        text = (await panel.get(answer.location)).text
        if "hx-get" not in text.partition('<div id="job">')[2]:
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"{answer.location} does not end")


def tiles(text: str) -> dict[str, str]:
    return dict(re.findall(r'<span class="sw-muted">(\w+)</span>\s*<strong class="sw-number">([0-9,]+)</strong>', text))


async def prices(panel: Panel) -> dict[str, str]:
    rows = await panel.data.connection.fetch("SELECT prefix, trim_scale(rate_per_minute)::text FROM rate")
    return {row[0]: row[1] for row in rows}


async def card_with_rates(panel: Panel) -> int:
    card = await made(panel, "ratecard", "retail")
    await panel.data.connection.execute(
        """
        INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute)
        VALUES ($1, '44', 'United Kingdom', 0.01), ($1, '33', 'France', 0.01)
        """,
        card,
    )
    return card


def test_file_is_looked_through_imported_and_undone(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        looked = await send(panel, card, DECK)
        text = await ended(panel, looked)
        assert tiles(text) == {"New": "1", "Changed": "1", "Unchanged": "1", "Closed": "0", "Errors": "0"}
        assert re.search(r"<span>Price</span><small>Rate per minute</small>", text)
        assert re.search(r"<span>Note</span><small>not read</small>", text)
        assert ("0.01 → 0.02" in text, "Germany" in text) == (True, True)
        assert await prices(panel) == {"44": "0.01", "33": "0.01"}
        assert (await panel.get(f"{looked.location}/file")).status == 404
        done = await panel.post(f"{looked.location}/import", {}, form="/jobs")
        assert "Undo import" in await ended(panel, done)
        assert await prices(panel) == {"44": "0.02", "33": "0.01", "49": "0.03"}
        undone = await panel.post(f"{done.location}/undo", {}, form="/jobs")
        assert "The rates are again what they were" in await ended(panel, undone)
        assert await prices(panel) == {"44": "0.01", "33": "0.01"}
        again = await ended(panel, await panel.post(f"{done.location}/undo", {}, form="/jobs"))
        assert "was undone before" in again
        assert [row["object"] for row in await entries(panel, "rate.import")] == ["ratecard retail"]
        assert len(await entries(panel, "rate.undo")) == 2
        assert "somebody" in (await panel.get("/jobs")).text

    play(scenario)


def test_faults_are_told_by_line_and_given_as_a_file(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        bad = "".join(f"4x{number},=1+1,0.0{number}\n" for number in range(200))
        looked = await send(panel, card, f"Code,Description,Price\n{bad}44,,free\n")
        text = await ended(panel, looked)
        assert tiles(text)["Errors"] == "201"
        assert "the first 20 of 201" in text
        file = await panel.get(f"{looked.location}/file")
        assert file.header("Content-Disposition").endswith('.csv"')
        assert len(file.text.splitlines()) == 202
        assert "202,Price,free,a number such as 0.06" in file.text
        assert (await panel.post(f"{looked.location}/import", {}, form="/jobs")).status == 404

    play(scenario)


def test_columns_are_mapped_by_hand_and_the_file_read_again(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        book = openpyxl.Workbook()
        assert book.active is not None
        for line in (["Code", "Our price"], ["44", 0.05], ["7", 0.5]):
            book.active.append(line)
        file = io.BytesIO()
        book.save(file)
        looked = await send(panel, card, file.getvalue(), "deck.xlsx")
        text = await ended(panel, looked)
        assert "No header means rate_per_minute; map one of Code, Our price" in text
        fields = {"map_rate_per_minute": "=Our price", "factor": "1.1", "effective": "2099-01-01", "replace": "yes"}
        again = await panel.post(f"{looked.location}/again", fields, form="/jobs")
        text = await ended(panel, again)
        assert tiles(text) == {"New": "1", "Changed": "1", "Unchanged": "0", "Closed": "1", "Errors": "0"}
        await ended(panel, await panel.post(f"{again.location}/import", {}, form="/jobs"))
        rows = await panel.data.connection.fetch(
            "SELECT prefix, trim_scale(rate_per_minute)::text FROM rate WHERE isfinite(valid_from) ORDER BY prefix"
        )
        assert [tuple(row) for row in rows] == [("44", "0.055"), ("7", "0.55")]

    play(scenario)


def test_file_that_is_no_deck_fails_in_words(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        bomb = io.BytesIO()
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/workbook.xml", b"<" * 1000)
        text = await ended(panel, await send(panel, card, bomb.getvalue(), "deck.xlsx"))
        assert "The file is not XLSX" in text
        assert "Read it in another way" not in text

    play(scenario)


def test_form_without_a_file_or_with_a_wrong_date_is_shown_again(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card = await card_with_rates(panel)
        await panel.signed_in()
        for content, fields in (("", {}), (DECK, {"effective": "soon"}), (DECK, {"factor": "0"})):
            answer = await send(panel, card, content, **fields)
            assert (answer.status, "needs your attention" in answer.text) == (422, True), fields
        form = FormData({"csrf_token": "wrong"})
        form.add_field("file", DECK, filename="deck.csv")
        response = await panel.client.post(f"/ratecards/{card}/import", data=form, allow_redirects=False)
        assert response.status == 403
        assert await panel.data.connection.fetchval("SELECT count(*) FROM job") == 0

    play(scenario)


def test_reseller_imports_into_its_own_ratecard_only(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        accounts = await stock(panel)
        own, foreign = [await made(panel, "ratecard", name, accounts[name]) for name in ("reseller", "other")]
        await panel.signed_in("reseller", accounts["reseller"])
        text = await ended(panel, await send(panel, own, DECK))
        assert "Import rates" in text
        form = FormData({"csrf_token": await panel.token("/ratecards")})
        form.add_field("file", DECK, filename="deck.csv")
        response = await panel.client.post(f"/ratecards/{foreign}/import", data=form, allow_redirects=False)
        assert response.status == 404

    play(scenario)


def test_ratecard_is_written_at_once_or_by_a_job_where_it_is_large(play: Play) -> None:
    async def scenario(panel: Panel) -> None:
        card: Any = await card_with_rates(panel)
        await panel.signed_in("accounts")
        page = f"/ratecards/{card}"
        answer = await panel.post(f"{page}/export", {"format": "csv"}, form=page)
        assert answer.text.splitlines()[1].startswith("33,France,0.01,")
        await panel.data.connection.execute(
            """
            INSERT INTO rate (ratecard_id, prefix, rate_per_minute)
            SELECT $1, '9' || number, 0.01 FROM generate_series(10001, 20000) AS number
            """,
            card,
        )
        job = await panel.post(f"{page}/export", {"format": "csv"}, form=page)
        assert "10,002 rows" in await ended(panel, job)
        file = await panel.get(f"{job.location}/file")
        assert len(file.text.splitlines()) == 10_003
        panel.forget()
        await panel.signed_in("accounts", login="another")
        assert (await panel.get(job.location)).status == 404

    play(scenario)
