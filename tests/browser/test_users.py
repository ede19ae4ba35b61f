"""Logins, second factors and several customers at once in a real browser: on a phone in the dark, then on a desk."""

import time

import pyotp
from playwright.async_api import expect

from admin.second_factor import STEP
from tests.admin.panel import Panel
from tests.admin.test_customer_form import stock
from tests.browser.browsing import WIDE, Browser
from tests.browser.conftest import Browse

PAGES = (
    "/users",
    "/users/helper",
    "/roles",
    "/my-login",
    "/customers/CUST0101/logins",
    "/resellers/RESE0001",
)


def test_logins_and_selections_are_usable_on_a_phone_and_on_a_desk(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        accounts = await stock(panel)
        await panel.data.user("root")
        await panel.data.user("helper", "support")
        await panel.data.user("anna", "customer", accounts["own"])
        await browser.sign_in("root")
        for path in PAGES:
            await browser.open(path)
            assert not await browser.has_sideways_scroll(), path
            assert await browser.accessibility_faults() == [], path
        await set_up_and_sign_in(panel, browser)
        await browser.page.set_viewport_size({"width": WIDE["width"], "height": WIDE["height"]})
        await select_and_undo(browser)
        assert browser.faults == []

    browse(scenario, dark=True, narrow=True)


async def set_up_and_sign_in(panel: Panel, browser: Browser) -> None:
    """Set up a second factor, and prove it at the next sign-in."""
    page = browser.page
    await browser.open("/second-factor")
    await page.click("main >> text=Set up")
    await expect(page.locator(".sw-qr")).to_be_visible()
    assert await browser.accessibility_faults() == []
    assert not await browser.has_sideways_scroll()
    telephone = pyotp.TOTP((await page.inner_text("#secret-text")).replace(" ", ""))
    await page.fill("#code", telephone.generate_otp(int(time.time() // STEP)))
    await page.click("text=Switch on")
    await expect(page.locator("#secret-text")).to_contain_text("-")
    assert await browser.accessibility_faults() == []
    await page.click("text=I have kept them")
    await expect(page.locator("h1")).to_have_text("Overview")
    await browser.open("/my-login")  # which has no stream to be told that the session is over
    await page.context.clear_cookies()
    await browser.open("/sign-in")
    await page.fill("#login", "root")
    await page.fill("#password", "Correct-horse-7")
    await page.click("main >> text=Sign in >> nth=-1")
    await expect(page.locator("#code")).to_be_focused()
    assert await browser.accessibility_faults() == []
    await panel.data.connection.execute("UPDATE panel_user SET totp_step = totp_step - 3")
    await page.fill("#code", telephone.generate_otp(int(time.time() // STEP)))
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Overview")


async def select_and_undo(browser: Browser) -> None:
    """Suspend what is selected after a question, and take it back."""
    page = browser.page
    await browser.open("/customers")
    bar = page.locator("#chosen")
    await expect(bar).to_be_hidden()
    await page.check("tr:has-text('Own customer') >> [data-choose]")
    await expect(bar).to_contain_text("1 selected")
    await page.check("[data-choose-all]")
    await expect(bar).to_contain_text("2 selected")
    await page.uncheck("tr:has-text('Foreign customer') >> [data-choose]")
    await expect(bar).to_contain_text("1 selected")
    assert await browser.accessibility_faults() == []
    await bar.locator("text=Suspend").click()
    await expect(page.locator("#confirm-title")).to_have_text("Suspend the selected customers?")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("1 customer suspended")
    await expect(page.locator("tr:has-text('Own customer')")).to_contain_text("Suspended")
    await page.click(".sw-flash >> text=Undo")
    await expect(page.locator(".sw-flash")).to_contain_text("1 customer is as before")
    await expect(page.locator("tr:has-text('Own customer')")).to_contain_text("Active")
    await page.check("tr:has-text('Own customer') >> [data-choose]")
    await page.click("text=Export selected")
    async with page.expect_download() as download:
        await bar.locator("text=CSV").click()
    assert (await download.value).suggested_filename.endswith(".csv")
