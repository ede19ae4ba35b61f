"""Pictures of the panel for docs/panel.md: `make screenshots`.

Each page in light and dark, by the system's Chromium, on data like the benchmark's and a worker that says what a busy
one would. The files are small: few colours, no more than LARGEST bytes.
"""

import asyncio
import io
import random
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import orjson
from PIL import Image

from benchmarks.panel_data import CUSTOMER, fill
from conf.settings import Settings, SystemSettings
from tests.admin.answers import answer
from tests.admin.panel import Panel, open_panel
from tests.browser.browsing import open_page
from tests.support.servers import data_directory, running_servers

DIRECTORY: Final = Path(__file__).parents[2] / "docs" / "screenshots"
LARGEST: Final = 120 * 1024
CUSTOMERS: Final = 200
RECORDS: Final = 60_000
QUESTION: Final = f"source=442079460001&destination=4930901820&account={CUSTOMER}"

PAGES: Final = {
    "overview": "/",
    "live-calls": "/live-calls",
    "call-records": "/call-records",
    "call-record": "/call-records/{call}/1",
    "call-analysis": "/call-analysis?period=30-days",
    "explain": f"/explain?{QUESTION}",
    "customers": "/customers",
    "customer": f"/customers/{CUSTOMER}",
    "number-rules": f"/customers/{CUSTOMER}/destination-rules?number=442079460000",
    "carriers": "/carriers",
}
"""Name of the file and address; `{call}` is a call whose messages are kept."""

NUMBERS: Final = ("4930901820", "33142685300", "12125550142", "442079460300")
INVITE: Final = "INVITE sip:{number}@{host} SIP/2.0\nFrom: <sip:442079460001@{host}>;tag=1\nTo: <sip:{number}@{host}>"
CALLER: Final = "udp:192.0.2.10:5060"
CARRIER: Final = "udp:198.51.100.9:5060"


def _messages() -> list[tuple[float, str, bool, str, str]]:
    """An answered call: seconds, leg, whether we sent it, peer, text."""

    def answered(status: str, method: str = "INVITE") -> str:
        return f"SIP/2.0 {status}\nCSeq: 1 {method}"

    caller = INVITE.format(number="4930901820", host="198.51.100.1")
    carrier = INVITE.format(number="99#4930901820", host="198.51.100.9")
    return [
        (0.0, "a", False, CALLER, caller),
        (0.001, "a", True, CALLER, answered("100 Trying")),
        (0.004, "b", True, CARRIER, carrier),
        (0.021, "b", False, CARRIER, answered("100 Trying")),
        (1.812, "b", False, CARRIER, answered("180 Ringing")),
        (1.813, "a", True, CALLER, answered("180 Ringing")),
        (6.870, "b", False, CARRIER, answered("200 OK")),
        (6.871, "a", True, CALLER, answered("200 OK")),
        (6.889, "a", False, CALLER, "ACK sip:198.51.100.1 SIP/2.0\nCSeq: 1 ACK"),
        (6.890, "b", True, CARRIER, "ACK sip:198.51.100.9 SIP/2.0\nCSeq: 1 ACK"),
        (191.38, "a", False, CALLER, "BYE sip:198.51.100.1 SIP/2.0\nCSeq: 2 BYE"),
        (191.381, "a", True, CALLER, answered("200 OK", "BYE")),
        (191.382, "b", True, CARRIER, "BYE sip:198.51.100.9 SIP/2.0\nCSeq: 2 BYE"),
        (191.401, "b", False, CARRIER, answered("200 OK", "BYE")),
    ]


async def stage(panel: Panel) -> str:
    """Let every page have something to say; returns the call whose messages are kept."""
    rows, worker = panel.data.connection, panel.worker
    await panel.data.beat()
    accounts = await rows.fetch("SELECT id, code, parent_id FROM account WHERE kind = 'customer' ORDER BY id LIMIT 14")
    own = accounts[0]["id"]
    for rule in ("44|%=>0044%", "4420%=>%", "900%", "%=>%"):
        await rows.execute(
            "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, 'destination', $2) ON CONFLICT DO NOTHING",
            own,
            rule,
        )
    await rows.execute(
        "UPDATE account_balance SET balance = round(balance * (account_id * 7919 % 23 - 2) / 7, 4) FROM account"
        " WHERE account.id = account_id AND kind = 'customer'"
    )
    await rows.execute("UPDATE account SET customer_type = 'demo' WHERE id = $1", accounts[3]["id"])
    await rows.execute("UPDATE account SET status = 'suspended' WHERE id = $1", accounts[5]["id"])
    for number, account in enumerate(accounts):
        chain = panel.data.chains[account["id"]] = [each for each in (account["id"], account["parent_id"]) if each]
        call = worker.add_call(
            f"019abcde-0000-7000-8000-{number:012x}", chain, account=account["code"],
            state="answered" if number % 4 else "ringing", age=3 + 47 * number,
        )  # fmt: skip
        call |= {"carrier": f"Carrier {1 + number % 5}", "gateway": f"gateway-{1 + number % 5}"}
        call |= {"destination": NUMBERS[number % 4], "source": f"44207946{number * 37 % 1000:04}"}
        worker.calls[number] = call
    await rows.execute(
        "INSERT INTO tariff (name, kind, currency) SELECT 'carrier tariff ' || n, 'carrier', 'EUR'"
        " FROM generate_series(1, 5) AS n;"
        "UPDATE carrier SET tariff_id = tariff.id, max_sessions = 100 * (carrier.id % 7 + 1),"
        " cps = 10 * (carrier.id % 4 + 1) FROM tariff WHERE tariff.name = 'carrier tariff ' || (1 + carrier.id % 5);"
        "INSERT INTO route_entry (route_id, prefix, carrier_id)"
        " SELECT route.id, '', carrier.id FROM route, carrier WHERE route.id % 9 = carrier.id % 5"
    )
    gateways = await rows.fetch("SELECT id FROM gateway ORDER BY id LIMIT 40")
    worker.gateways = {
        "down": {str(gateways[2]["id"]): 4000.0},
        "servers": {},
        "sessions": {str(each["id"]): 3 + 7 * place % 40 for place, each in enumerate(gateways)},
    }
    worker.facts = {"started_at": time.time() - 9000, "instance": "sip-1", "journal_waiting": 1200}
    worker.explanation = orjson.loads(orjson.dumps(answer()).replace(b"CUST0101", CUSTOMER.encode()))
    worker.explanation["candidates"][0]["margin"] = "-0.0187"
    return await _last_hour(panel, [account["id"] for account in accounts])


async def _last_hour(panel: Panel, accounts: list[int]) -> str:
    """Calls of the last hour, more and more of them; returns one whose messages are kept."""
    chance, now = random.Random(1), datetime.now(UTC)
    gateways = await panel.data.connection.fetch("SELECT id, carrier_id FROM gateway ORDER BY id LIMIT 6")
    for number in range(1200):
        gateway = gateways[int(6 * chance.random() ** 2)]
        codes = ("ANSWERED", "BUSY", "NO_FUNDS", "SESSION_LIMIT", "CARRIER_FAILURE")
        code = chance.choices(codes, (60, 20, 5, 5, 10))[0] if number else "ANSWERED"
        seconds = 184.51 if number == 0 else chance.randrange(400_000) / 1000
        call_id = await panel.data.record(
            accounts[0] if number == 0 else chance.choice(accounts),
            received_at=now - timedelta(minutes=59 * chance.random() ** 1.4, seconds=40) if number else now,
            code=code,
            sip_code={"ANSWERED": 200, "BUSY": 486, "NO_FUNDS": 402}.get(code, 503),
            gateway_id=gateway["id"],
            carrier_id=gateway["carrier_id"],
            duration=f"{seconds:.3f}",
            gross=Decimal(f"{seconds * 0.0012:.4f}") if code == "ANSWERED" else None,
            source="442079460001" if number == 0 else f"44207946{chance.randrange(1000):04}",
            destination="4930901820" if number == 0 else chance.choice(NUMBERS),
        )
        if number == 0:
            kept = call_id
    await panel.data.trace(kept, *_messages())
    return str(kept)


def _save(name: str, data: bytes) -> int:
    """Write a picture with as many colours as its bytes allow; returns its size."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in (256, 128, 64, 32):
        small = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
        if small.tell() <= LARGEST:
            break
    (DIRECTORY / f"{name}.png").write_bytes(small.getvalue())
    return small.tell()


async def _take(settings: Settings, only: list[str]) -> None:
    async with open_panel(settings) as panel:
        call = await stage(panel)
        base = str(panel.client.make_url("")).rstrip("/")
        for dark in (False, True):
            async with open_page(base, dark=dark) as browser:
                await browser.page.set_viewport_size({"width": 1440, "height": 900})
                await panel.data.beat()
                await browser.sign_in("admin")
                for name, address in PAGES.items():
                    if only and name not in only:
                        continue
                    await panel.data.beat()
                    await browser.open(address.format(call=call))
                    await browser.page.evaluate("document.fonts.ready")
                    if address == "/" or "analysis" in address:
                        await browser.page.wait_for_selector("canvas")
                    shot: Any = await browser.page.screenshot()
                    size = _save(f"{name}-{'dark' if dark else 'light'}", shot)
                    sys.stdout.write(f"{name} {'dark' if dark else 'light'} {size // 1024} KB\n")


def main(only: list[str]) -> None:
    """Take all pictures, or those of some names."""
    DIRECTORY.mkdir(exist_ok=True)
    with running_servers() as servers, data_directory() as directory:
        url = servers.make_database()
        settings = Settings(system=SystemSettings(directory=str(directory)))
        settings = replace(settings, database=replace(settings.database, url=url))
        asyncio.run(fill(url, CUSTOMERS, RECORDS))
        asyncio.run(_take(settings, only))


if __name__ == "__main__":
    main(sys.argv[1:])
