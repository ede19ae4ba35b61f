"""Call analysis, what it leads to, and a reseller in a real browser."""

import re
from datetime import UTC, datetime, timedelta

from tests.admin.panel import Panel
from tests.browser.browsing import Browser
from tests.browser.conftest import Browse


async def stock(panel: Panel) -> None:
    """A reseller, its customer, and calls of the last days."""
    data = panel.data
    reseller = await data.account("RESE0001", kind="reseller", name="Reseller one")
    account = await data.account("CUST0001", parent=reseller, name="Ready Ltd")
    carrier = await data.carrier("CARR0001", "Carrier one")
    await data.connection.execute("INSERT INTO route (name) VALUES ('standard')")
    now = datetime.now(UTC)
    for number in range(40):
        code = ("ANSWERED", "BUSY", "NO_FUNDS", "CARRIER_FAILURE")[number % 4]
        received = now - timedelta(hours=2 * number)
        await data.record(account, received_at=received, code=code, carrier_id=carrier, q850_cause=17)
    await data.user("root")


def test_pages_of_calls_and_resellers_are_usable_on_a_phone_in_the_dark(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        await stock(panel)
        await browser.sign_in("root")
        for path in ("/call-analysis?period=30-days&account=CUST0001", "/resellers/RESE0001"):
            await browser.open(path)
            if "analysis" in path:
                await browser.page.wait_for_selector(".sw-chart canvas")
                await browser.page.click("text=Show as table")
            assert not await browser.has_sideways_scroll(), path
            assert await browser.accessibility_faults() == [], path
        await browser.open("/call-analysis?period=7-days")
        await browser.page.click("text=Not enough money")
        await browser.page.wait_for_url(re.compile(r"/call-records\?.*failure=balance"))
        assert await browser.page.locator("#list tbody tr").count() == 10
        assert browser.faults == []

    browse(scenario, narrow=True, dark=True)
