"""Customers in a real browser: from the form to the statement, on a wide page and on a phone, light and dark."""

import re

from playwright.async_api import Dialog, expect

from tests.admin.panel import Panel
from tests.browser.browsing import Browser, expected
from tests.browser.conftest import Browse


async def stock(panel: Panel) -> None:
    """A tariff, a route, and a customer with a device, rules and entries in the books."""
    data = panel.data
    await data.connection.execute(
        "INSERT INTO tariff (name, kind, currency) VALUES ('retail', 'customer', 'EUR');"
        "INSERT INTO route (name) VALUES ('standard')"
    )
    account = await data.account("CUST0001", name="Ready Ltd", company="Ready", max_sessions=30)
    await data.connection.execute("UPDATE account SET customer_type = 'demo' WHERE id = $1", account)
    for statement in (
        "INSERT INTO ip_device (account_id, address, description) VALUES ($1, '192.0.2.10', 'Office')",
        "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, 'anna', repeat('0', 32))",
        "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, 'destination', '44|%=>0044%')",
        "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, 'cli', '1%=>2')",
        "INSERT INTO dialing_route (account_id, route_id) SELECT $1, id FROM route",
        "INSERT INTO ledger_entry (account_id, kind, amount, currency) VALUES ($1, 'credit', 5, 'EUR')",
    ):
        await data.connection.execute(statement, account)
    await data.user("root")


def test_customer_is_added_set_up_paid_for_and_deleted(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        await stock(panel)
        await browser.sign_in("root")
        await add_customer(browser)
        await set_up(browser)
        await pay_and_take_back(browser)
        await switch_and_return(browser)
        assert expected(browser.faults, 422) == []

    browse(scenario)


async def add_customer(browser: Browser) -> None:
    page = browser.page
    await browser.open("/customers")
    await page.click("text=Add customer")
    await page.fill("#name", "Anna Example")
    await page.fill("#password", "weak")
    await page.select_option("#tariff", "retail")
    codecs = page.locator(".ts-wrapper.multi")
    await expect(codecs.locator(".item")).to_have_count(4)
    await codecs.locator("input").type("opus")
    await page.keyboard.press("Enter")
    await expect(codecs.locator(".item")).to_have_count(5)
    await page.click("text=Add customer >> nth=-1")
    await expect(page.locator("#summary")).to_be_focused()
    await expect(page.locator("#summary")).to_contain_text("4 fields need your attention")
    await page.click("#summary >> text=Company is needed")
    await expect(page.locator("#company")).to_be_in_viewport()
    assert await page.input_value("#name") == "Anna Example"
    assert await page.input_value("#password") == ""
    assert await page.input_value("#codecs") == "G729,PCMU,PCMA,G722,opus"
    for name, value in {
        "company": "Example",
        "phone": "3090182000",
        "login": "anna1",
        "password": "Correct-horse-8",
        "max_credit_limit": "100",
    }.items():
        await page.fill(f"#{name}", value)
    await page.click("text=Add customer >> nth=-1")
    await page.wait_for_url(re.compile(r"/customers/CUST\d+$"))
    await expect(page.locator(".sw-flash")).to_contain_text("Anna Example added with the code CUST")
    await expect(page.locator(".sw-steps-next")).to_contain_text("Add a dialing route")


async def set_up(browser: Browser) -> None:
    page = browser.page
    await page.click("text=or a SIP user")
    await page.fill("#username", "anna.desk")
    await page.fill("#extension", "1001")
    await page.click("text=Add SIP user >> nth=-1")
    secret = page.locator("#secret-text")
    await expect(secret).to_contain_text("Password")
    await page.click(".sw-tabs >> text=SIP users")
    await expect(secret).to_have_count(0)
    await page.click(".sw-tabs >> text=Destination rules")
    await page.fill("#rule", "44|%=>0044%")
    await page.click("text=Add destination rule >> nth=-1")
    await page.locator("#number").type("442079460000")
    await expect(page.locator("#trial")).to_contain_text("442079460000 becomes 00442079460000, by rule 1: 44|%=>0044%")
    await page.click("tr:has-text('44|%') >> text=Remove")
    await expect(page.locator("#confirm")).to_contain_text("Remove this destination rule?")
    await page.click("#confirm >> text=Cancel")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await page.click("tr:has-text('44|%') >> text=Remove")
    await page.click("#confirm-yes")
    await expect(page.locator("tbody tr")).to_have_count(1)


async def pay_and_take_back(browser: Browser) -> None:
    page = browser.page
    await page.click(".sw-tabs >> text=Payments")
    await page.select_option("#paid_by", "cash")
    await page.fill("#amount", "25.50")
    # Typed text is not lost by a wrong click.
    asked: list[str] = []

    async def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await dialog.dismiss()

    page.once("dialog", stay)
    await page.click(".sw-tabs >> text=Details", no_wait_after=True)
    await expect(page.locator("#amount")).to_have_value("25.50")
    assert asked == ["beforeunload"]
    await page.click("text=Book entry")
    await expect(page.locator("#confirm")).to_contain_text("Book it for Anna Example?")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("Balance 0.0000 → 25.5000")
    await page.click("text=Take back")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("Balance 25.5000 → 0.0000")
    await page.click(".sw-tabs >> text=Statement")
    await expect(page.locator("tbody tr")).to_have_count(2)


async def switch_and_return(browser: Browser) -> None:
    page = browser.page
    await page.click("text=Switch to this login")
    await expect(page.locator(".sw-switched")).to_contain_text("You work as anna1")
    await expect(page.locator("nav[aria-label=Main]")).not_to_contain_text("Customers")
    await page.click("nav[aria-label=Main] >> text=My account")
    await expect(page.locator("h1")).to_contain_text("Anna Example")
    await page.click("text=Back to root")
    await page.wait_for_url(re.compile(r"/customers/CUST\d+$"))
    await expect(page.locator(".sw-switched")).to_have_count(0)
    await browser.open("/customers")
    await page.fill("#q", "anna1")
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert "q=anna1" in page.url
    await page.click("[aria-label='Actions for Anna Example']")
    await page.click("tbody .dropdown-menu.show >> text=Delete")
    await expect(page.locator("h2:has-text('Delete Anna Example')")).to_be_visible()
    await page.fill("#typed_name", "Anna Example")
    await page.click("text=Delete customer")
    await expect(page.locator(".sw-flash")).to_contain_text("Customer Anna Example")
