"""Tariffs, ratecards, rates and imports in a real browser, on a phone and on a desk."""

import re

from playwright.async_api import FilePayload, expect

from tests.admin.panel import Panel
from tests.admin.test_imports import DECK, card_with_rates, prices
from tests.admin.test_tariffs import made
from tests.browser.browsing import Browser, expected
from tests.browser.conftest import Browse


async def stock(panel: Panel) -> tuple[int, int]:
    """A tariff with a ratecard, and a customer that has it."""
    tariff, card = await made(panel, "tariff", "retail"), await card_with_rates(panel)
    row = panel.data.connection
    await row.execute("INSERT INTO tariff_ratecard (tariff_id, ratecard_id) VALUES ($1, $2)", tariff, card)
    account = await panel.data.account("CUST0001", name="Ready Ltd")
    await row.execute("UPDATE account SET tariff_id = $1 WHERE id = $2", tariff, account)
    await panel.data.user("root")
    return tariff, card


def test_pages_are_usable_on_a_phone_in_the_dark(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        tariff, card = await stock(panel)
        await browser.sign_in("root")
        for path in ("/tariffs", "/ratecards", f"/ratecards/{card}/import", "/customers/CUST0001/rates", "/jobs"):
            await browser.open(path)
            assert not await browser.has_sideways_scroll(), path
        for path in (f"/tariffs/{tariff}", f"/ratecards/{card}"):
            await look_at(browser, path)
        await change_rate(browser, card)
        await import_and_undo(browser, card)
        assert await prices(panel) == {"44": "0.5", "33": "0.01"}
        assert expected(browser.faults, 422) == []

    browse(scenario, narrow=True, dark=True)


async def look_at(browser: Browser, path: str) -> None:
    await browser.open(path)
    assert not await browser.has_sideways_scroll(), path
    assert await browser.accessibility_faults() == [], path


async def change_rate(browser: Browser, card: int) -> None:
    page = browser.page
    await browser.open(f"/ratecards/{card}")
    await page.fill("#q", "united")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.click("tbody >> text=Edit")
    await page.fill("#rate_per_minute", "0,5")
    await page.click("text=Save changes")
    await expect(page.locator("#summary")).to_be_focused()
    await page.fill("#rate_per_minute", "0.5")
    await page.click("text=Save changes")
    await expect(page.locator("tbody tr")).to_contain_text("0.5000")


async def look_through(browser: Browser, card: int) -> None:
    await browser.open(f"/ratecards/{card}/import")
    file: FilePayload = {"name": "deck.csv", "mimeType": "text/csv", "buffer": DECK.encode()}
    await browser.page.set_input_files("#file", file)
    await browser.page.click("text=Look through file")
    await browser.page.wait_for_url(re.compile(r"/jobs/\d+$"))


async def import_and_undo(browser: Browser, card: int) -> None:
    page = browser.page
    await look_through(browser, card)
    # The page asks by itself until the job has ended.
    await expect(page.locator("text=Import rates")).to_be_visible(timeout=15_000)
    await expect(page.locator("#open-jobs a")).to_have_count(0)
    assert not await browser.has_sideways_scroll()
    assert await browser.accessibility_faults() == []
    await page.click("text=Import rates")
    await page.click("#confirm-yes")
    await page.click("text=Undo import")
    await page.click("#confirm-yes")
    await expect(page.locator("#job")).to_contain_text("The rates are again what they were", timeout=15_000)
    assert await page.locator("[hx-trigger='every 1s']").count() == 0
