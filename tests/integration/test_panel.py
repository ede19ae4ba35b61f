"""The life of a customer from the panel's form to a real call, in a real browser on a whole switch."""

import asyncio
import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.async_api import Page, expect

from b2bua.agent.user_agent import Caller
from tests.admin.data import HASH
from tests.browser.browsing import Browser, open_page
from tests.support.calls import agents, carrier_on, dial, within
from tests.support.servers import Run
from tests.support.switch import NUMBER, Switch, free_port

ADDRESS = "127.0.0.87"
NAME = "Browser Ltd"
PRICE = Decimal("1.25")
"""A charge for the connection that no other rate has."""


@pytest.fixture
def operator(switch: Switch) -> Iterator[str]:
    """A login of an administrator; afterwards the device of the test is gone, so that no other test is its customer."""
    switch.query("INSERT INTO panel_user (login, password_hash, role) VALUES ('operator', $1, 'administrator')", HASH)
    yield "operator"
    switch.query("DELETE FROM panel_user WHERE login IN ('operator', 'browserltd')")
    switch.query("DELETE FROM ip_device WHERE address = $1::text::cidr", f"{ADDRESS}/32")
    switch.query("UPDATE rate SET connection_charge = 0 WHERE connection_charge = $1", PRICE)
    switch.wait_for_configuration()


def test_new_customer_calls_is_seen_hung_up_and_charged(switch: Switch, run: Run, operator: str) -> None:
    async def scenario() -> None:
        async with open_page(f"http://127.0.0.1:{switch.panel_port}") as browser:
            await browser.sign_in(operator)
            code = await make_customer(browser)
            await set_price(browser)
            await asyncio.to_thread(switch.wait_for_configuration)
            await call_and_hang_up(switch, browser, code)
            await asyncio.to_thread(switch.wait_for_records, 1)
            await find_it_in_the_books(browser, code)
            await limit_calls(browser, code)
            await asyncio.to_thread(switch.wait_for_configuration)
            await be_refused(switch)
            assert browser.faults == []

    run(scenario())
    [record, refused] = switch.wait_for_records(2)
    assert (record["code"], record["reason"], record["ended_by"]) == ("ANSWERED", "HANGUP_BY_OPERATOR", "system")
    # The rest is talk, which lasts as long as the browser takes to hang up.
    assert PRICE < record["gross"] < 2 * PRICE
    assert (refused["code"], refused["sip_code"]) == ("SESSION_LIMIT", 503)


async def make_customer(browser: Browser) -> str:
    page = browser.page
    await browser.open("/customers/new")
    for name, value in {
        "name": NAME,
        "company": "Browser",
        "phone": "3090182000",
        "login": "browserltd",
        "password": "Correct-horse-8",
    }.items():
        await page.fill(f"#{name}", value)
    await page.select_option("#tariff", "demo retail")
    await page.click("text=Add customer >> nth=-1")
    await page.wait_for_url(re.compile(r"/customers/CUST\d+$"))
    code = page.url.rpartition("/")[2]
    await page.click("text=Add an IP device")
    await page.fill("#address", ADDRESS)
    await page.click("text=Add IP device >> nth=-1")
    await page.click(".sw-tabs >> text=Dialing routes")
    await page.select_option("#route", "demo")
    await page.click("text=Add dialing route >> nth=-1")
    await page.click(".sw-tabs >> text=Payments")
    await page.fill("#amount", "10")
    await page.select_option("#paid_by", "cash")
    await page.click("text=Book entry")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("→ 10.0000")
    return code


async def set_price(browser: Browser) -> None:
    """Change the rate that the next call takes."""
    page = browser.page
    await browser.open("/ratecards?q=demo+retail")
    await page.click("tbody th a")
    await page.fill("#q", NUMBER)
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(2)
    await rows.last.locator("text=Edit").click()  # the longer prefix
    await page.fill("#connection_charge", str(PRICE))
    await page.click("text=Save changes")
    await expect(page.locator(".sw-flash")).to_contain_text("it counts from the next call on")


async def call_and_hang_up(switch: Switch, browser: Browser, code: str) -> None:
    page = browser.page
    caller = Caller(ADDRESS, free_port())
    async with agents(carrier_on(switch), caller):
        dial(caller, switch)
        await within(caller.is_answered)
        await browser.open("/live-calls")
        row = page.locator(f"tbody tr:has-text('{code}')")
        await expect(row).to_contain_text("Talking")
        await expect(row).to_contain_text(NUMBER)
        await row.locator("text=Hang up").click()
        await page.click("#confirm-yes")
        await within(caller.is_ended)


async def find_it_in_the_books(browser: Browser, code: str) -> None:
    page: Page = browser.page
    await browser.open(f"/call-records?account={code}")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await browser.open(f"/customers/{code}/statement")
    line = page.locator("tbody tr:has-text('Calls')")
    for _ in range(50):
        if await line.count():
            break
        await page.reload()
    await expect(line).to_contain_text("Calls 1")
    await expect(page.locator("tbody tr:has-text('Payment')")).to_contain_text("10.0000")


async def limit_calls(browser: Browser, code: str) -> None:
    page = browser.page
    await browser.open(f"/customers/{code}")
    await page.fill("#max_sessions", "0")
    await page.fill("#cps", "10")  # else that would refuse it, the call before being just over
    await page.click("text=Save changes")
    await expect(page.locator(".sw-flash")).to_contain_text("they hold from the next call on")


async def be_refused(switch: Switch) -> None:
    caller = Caller(ADDRESS, free_port())
    async with agents(carrier_on(switch), caller):
        dial(caller, switch)
        await within(caller.is_ended)
        assert caller.status == 503
