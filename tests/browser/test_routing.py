"""Carriers, gateways, routes and DIDs in a real browser: set up on a desk, and used on a phone in the dark."""

import re

from playwright.async_api import expect

from tests.admin.answers import candidate
from tests.admin.panel import Panel
from tests.browser.browsing import Browser, expected
from tests.browser.conftest import Browse


async def stock(panel: Panel) -> list[str]:
    """A carrier with a gateway, a route with an entry, DIDs; the pages that the others are like."""
    data, row = panel.data, panel.data.connection
    await row.execute("INSERT INTO tariff (name, kind, currency) VALUES ('atlantic', 'carrier', 'EUR')")
    carrier = await data.carrier("CARR0001", "Atlantic Voice of the long name")
    gateway = await data.gateway(carrier, "london-1")
    route = await row.fetchval("INSERT INTO route (name) VALUES ('europe') RETURNING id")
    await row.execute(
        "INSERT INTO route_entry (route_id, prefix, carrier_id, days) VALUES ($1, '44', $2, 62)", route, carrier
    )
    account = await data.account("CUST0001", name="Ready Ltd")
    await row.execute(
        """
        INSERT INTO did (number, account_id, carrier_id) VALUES ('442079460001', $1, $2), ('442079460002', NULL, NULL)
        """,
        account,
        carrier,
    )
    panel.worker.explanation = {
        "decision": {"code": ""},
        "candidates": [candidate("CARR0002", [], "0.09"), candidate("CARR0001", [1], "0.03")],
        "reference_seconds": 60,
    }
    await data.user("root")
    return [f"/carriers/CARR0001/gateways/{gateway}", f"/routes/{route}/entries?number=4420", "/dids"]


def test_pages_are_usable_on_a_phone_in_the_dark(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        pages = await stock(panel)
        await browser.sign_in("root")
        for path in pages:
            await browser.open(path)
            assert not await browser.has_sideways_scroll(), path
            assert await browser.accessibility_faults() == [], path
        await try_a_route(browser)
        await assign_and_lead(browser)
        assert expected(browser.faults, 422) == []

    browse(scenario, narrow=True, dark=True)


async def try_a_route(browser: Browser) -> None:
    page = browser.page
    await browser.open("/routes")
    assert not await browser.has_sideways_scroll()
    await page.click("text=europe")
    await page.locator("#number").type("4420")
    await expect(page.locator("#trial tbody tr").first).to_contain_text("CARR0001")
    await page.click("text=Remove >> nth=0")
    await expect(page.locator("#confirm")).to_contain_text("CARR0001 no longer takes 44")
    await page.click("#confirm >> text=Cancel")


async def assign_and_lead(browser: Browser) -> None:
    page = browser.page
    await browser.open("/dids")
    await page.fill("#q", "460002")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.check("[data-tick-all]")
    await expect(page.locator("[data-ticked]")).to_have_text("1 ticked")
    assert await page.is_checked("[name=number]")
    await page.click("#many >> text=Assign >> nth=-1")
    await page.click("#confirm-yes")
    await expect(page.locator("#summary")).to_contain_text("Account is needed")
    await page.fill("#numbers", "442079460002")
    await page.fill("#account", "CUST0001")
    await page.click("#many >> text=Assign >> nth=-1")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("1 DID number assigned")
    await page.click("text=442079460002")
    await page.wait_for_url(re.compile("/dids/442079460002$"))
    assert not await browser.has_sideways_scroll()
    await page.select_option("#kind", "number")
    await page.fill("#target", "4420")
    await page.click("text=Save destinations")
    await expect(page.locator(".sw-flash")).to_contain_text("Calls go there")
