"""The operator's pages in a real browser: no fault on the console, none of accessibility, no sideways scroll."""

import time

from playwright.async_api import expect

from tests.admin.answers import answer
from tests.admin.panel import Panel
from tests.admin.test_audit_log import entry
from tests.admin.test_customer_form import stock
from tests.admin.test_gateway_states import four_gateways, registration
from tests.browser.browsing import Browser
from tests.browser.conftest import Browse

QUESTION = "source=442079460001&destination=4930901820&account=CUST0101"
ANSWER = f"/explain?{QUESTION}"
PAGES = ("/audit-log", "/bans", "/gateway-states", "/health", "/settings", ANSWER)


async def busy_switch(panel: Panel) -> None:
    """A switch about which every page has something to say."""
    accounts, ids = await stock(panel), await four_gateways(panel)
    await panel.data.beat()
    changed = {"company": "Example & Sons of the long name", "max_sessions": 30, "cps": 5, "email": "a@example.com"}
    await entry(panel, "account CUST0101", accounts["own"], old=dict.fromkeys(changed), new=changed)
    await entry(panel, "account CUST0101", accounts["own"], old={"status": "active"}, new={"status": "suspended"})
    panel.worker.add_ban("203.0.113.9", reason="failed authentications")
    panel.worker.add_ban("alice@2001:db8:0:1::9", by="command line: root")
    panel.worker.gateways = {
        "down": {str(ids["south"]): 4000.0},
        "servers": {"named": ["udp:192.0.2.8:5060"]},
        "sessions": {str(ids["north"]): 17},
    }
    panel.worker.carrier_registrations = [
        registration("north", ids["north"], "registered"),
        registration("south", ids["south"], "failed", reason="403 Forbidden"),
    ]
    panel.worker.facts = {"started_at": time.time() - 9000, "instance": "sip-1:019abc", "journal_waiting": 1200}
    panel.worker.explanation = answer()


async def heard_calls(panel: Panel) -> tuple[str, ...]:
    """Engines, a live call and a record of whose audio there is something to say; returns their pages."""
    name = "01890000-0000-7000-8000-000000000001"
    up = {"up": True, "reason": "", "sessions": 3, "ports": 12, "kernel_streams": 2, "plays": 1}
    figures = {"packets_per_second": 150, "path": "user space: Operation not permitted"}
    silent = {"name": "udp://[2001:db8::7:1]:22222", "up": False, "reason": "it does not answer"}
    panel.worker.engines = [{"name": "own", **up, **figures}, silent]
    panel.worker.add_call(name, [1])
    side = {"packets": 50, "lost": 0, "jitter_ms": 1.0, "round_trip_ms": None, "mos": 3.1, "in_kernel": True}
    panel.worker.quality = {name: {"engine": "own", "audio": "one-way", "a": side, "b": None}}
    record = await panel.data.record(None)
    await panel.data.connection.execute(
        "UPDATE cdr SET media_mode = 'anchored', a_packets = 3000, a_mos = 3.1, audio = 'silent' WHERE call_id = $1",
        record,
    )
    return "/live-calls", f"/call-records/{record}/1"


def test_pages_are_without_fault_on_a_phone_in_the_dark(browse: Browse) -> None:
    async def scenario(panel: Panel, browser: Browser) -> None:
        await busy_switch(panel)
        heard = await heard_calls(panel)
        await panel.data.user("root")
        await browser.sign_in("root")
        for path in (*heard, *PAGES):
            await browser.open(path)
            assert not await browser.has_sideways_scroll(), path
            if path in heard:
                assert await browser.accessibility_faults() == [], path
        assert await browser.accessibility_faults() == []  # the answer has tables, lists, badges and a form
        await ban_and_lift(panel, browser)
        assert browser.faults == []

    browse(scenario, dark=True, narrow=True)


async def ban_and_lift(panel: Panel, browser: Browser) -> None:
    """Ban a source and lift the ban, each after a question that may be answered with no."""
    page = browser.page
    panel.worker.bans.clear()
    await browser.open("/bans")
    await page.fill("#source", "198.51.100.3")
    await page.click("form.sw-item-form >> text=Ban source >> nth=-1")
    await page.click("#confirm >> text=Cancel")
    assert panel.worker.bans == []
    await page.click("form.sw-item-form >> text=Ban source >> nth=-1")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("198.51.100.3 is banned")
    await page.click("tbody button")
    await expect(page.locator("#confirm-title")).to_have_text("Lift this ban?")
    await page.click("#confirm-yes")
    await expect(page.locator(".sw-flash")).to_contain_text("Ban of 198.51.100.3 lifted")
    assert panel.worker.bans == []
