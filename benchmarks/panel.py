"""What each list page of the panel costs the server: `python -m benchmarks.panel`.

    python -m benchmarks.panel                                      100,000 customers, 1,000,000 call records
    python -m benchmarks.panel --customers 10000 --records 50000

Starts a PostgreSQL of its own, fills it, and a panel on it. As an administrator, a reseller with half of the customers
and its busiest customer it asks for every page of `admin.routes` that lists: the first page, the third one, each search
with a text that is there, one that is everywhere and one that is nowhere, and each filter with its first choice. Where
an address has parts, a link to such a page is taken from the pages before. CPU is that of the panel and of PostgreSQL's
backends, as the kernel counts it; a figure is the median of some requests after one that does not count. Prints a table
and, last, one line of JSON; ends with 1 where a page takes more than WANTED.
"""

import argparse
import asyncio
import contextlib
import html
import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp
import asyncpg
from yarl import URL

from admin.permissions import Permission, has_permission
from admin.routes import ROUTES, Route
from benchmarks.panel_data import CUSTOMER, RESELLER, be_quiet, fill
from conf.embedded.location import postgresql_url
from tests.admin.data import PASSWORD
from tests.support.servers import running_servers
from tests.support.switch import free_port

WANTED: Final = 150.0
"""Milliseconds of CPU that a page may take."""
PAGE: Final = 3
"""Which page by key is asked for besides the first."""
NOWHERE: Final = "qzxj77"
FAILED: Final = 99_999.0
"""Stands for a page that did not come."""
TICK: Final = 1000 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """What one address costs."""

    role: str
    page: str
    what: str
    address: str
    cpu: float
    """Milliseconds, of which `database` are PostgreSQL's."""
    database: float
    wall: float


@dataclass(frozen=True, slots=True)
class Browser:
    """A signed-in login."""

    role: str
    session: aiohttp.ClientSession
    base: str

    async def get(self, address: str) -> str:
        """The page at an address."""
        return (await self.follow(address))[1]

    async def follow(self, address: str) -> tuple[str, str]:
        """Where an address leads, and the page there."""
        async with self.session.get(URL(self.base + address, encoded=True)) as response:
            text = await response.text()
            assert response.status == 200, f"{self.role} {address}: {response.status}"
            return response.url.raw_path_qs, text


class Clock:
    """CPU of the panel and the backends since it was made.

    Args:
        panel: The panel's process.
        postmaster: PostgreSQL's first process, whose children the backends are.
    """

    def __init__(self, panel: int, postmaster: int) -> None:
        self._panel, self._postmaster = panel, postmaster
        self._began = self._look()

    def spent(self) -> tuple[float, float]:
        """Milliseconds of the panel and of PostgreSQL."""
        return tuple(now - then for now, then in zip(self._look(), self._began, strict=True))  # type: ignore[return-value]

    def _look(self) -> tuple[float, float]:
        panel = sum(_nanoseconds(task) for task in Path(f"/proc/{self._panel}/task").iterdir())
        children = Path(f"/proc/{self._postmaster}/task/{self._postmaster}/children").read_text().split()
        backends = sum(_nanoseconds(Path(f"/proc/{child}")) for child in children if _is_backend(child))
        # Those that helped and have ended are in their parent's figures.
        fields = Path(f"/proc/{self._postmaster}/stat").read_text().rpartition(")")[2].split()
        return panel / 1e6, backends / 1e6 + (int(fields[13]) + int(fields[14])) * TICK


def _nanoseconds(directory: Path) -> int:
    try:
        return int((directory / "schedstat").read_text().split()[0])
    except FileNotFoundError:
        return 0


def _is_backend(process: str) -> bool:
    try:
        return "softswitch" in Path(f"/proc/{process}/cmdline").read_text()
    except FileNotFoundError:
        return False


def is_list(route: Route) -> bool:
    """Whether a route is a page that lists or adds up; other pages show one thing."""
    name = route.name.partition(".")[2]
    return (
        route.method == "GET"
        and route.permission is not Permission.PUBLIC
        and (name == "list" or route.name in {"overview.show", "analysis.show"})
    )


def match(route: Route, address: str) -> re.Match[str] | None:
    """Whether an address is one of a route's."""
    pattern = re.sub(r"\\\{(\w+)(?::[^}]*)?\\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
    return re.fullmatch(pattern, urlsplit(address).path)


def list_name(address: str) -> str | None:
    """The name of the list at an address, with that of its tab; None for any other page."""
    for route in ROUTES:
        if route.method == "GET" and (parts := match(route, address)):
            tab = parts.groupdict().get("tab")
            return (f"{route.name} {tab}" if tab else route.name) if is_list(route) else None
    return None


async def addresses(browser: Browser) -> dict[str, tuple[str, str]]:
    """Address and text of every list that a login may open, by its name; parts of an address come from links."""
    lists = [route for route in ROUTES if is_list(route) and has_permission(browser.role, route.permission)]
    found: dict[str, tuple[str, str]] = {}
    waiting = [route.path for route in lists if "{" not in route.path] + ["/statement"]
    seen = {route.name for route in lists if "{" not in route.path}
    while waiting:
        try:
            address, text = await browser.follow(waiting.pop(0))
        except AssertionError:
            continue  # a page that this login may not open after all
        if (name := list_name(address)) is not None:
            found.setdefault(name, (address, text))
        for link in _links(text):
            name = list_name(link)
            if name is not None and name not in seen:
                seen.add(name)
                waiting.append(link)
    return found


def _links(text: str) -> list[str]:
    """Addresses of a page, without what is asked of them; one customer's lists are reached by way of its own page."""
    links = [urlsplit(html.unescape(link)).path for link in re.findall(r'href="(/[^"]*)"', text)]
    customers = [link for link in links if re.fullmatch(r"/customers/CUST\d+", link)]
    return [*links, *(f"{link}/ip-devices" for link in customers[:1])]


def variants(address: str, text: str) -> Iterator[tuple[str, str]]:
    """What else of a list is asked for: its searches and filters as its own form has them."""
    yield "first page", address
    form = re.search(r'<form[^>]+id="filters".*?</form>', text, re.DOTALL)
    if form is None:
        return
    words = re.findall(r"<t[dh][^>]*>\s*(?:<[^>]+>\s*)*([^<\s][^<]*?)\s*<", text[text.find("<tbody") :])
    there = html.unescape(words[-1] if words else "CUST0000007")
    for name in re.findall(r'<input[^>]*\sname="([a-z_]+)"[^>]*data-search', form[0]):
        texts = {"found": re.sub(r"\s.*", "", there), "everywhere": "a", "two letters": "zq", "nowhere": NOWHERE}
        if name == "number":
            texts = {"found": "4930123", "everywhere": "44", "nowhere": "99887766"}
        for what, typed in texts.items():
            yield f"{name}: {what}", f"{address}?{urlencode({name: typed})}"
    for field in re.findall(r"<input[^>]*>", form[0]):
        name, kind = re.search(r'\sname="([a-z_]+)"', field), re.search(r'\stype="([a-z-]+)"', field)
        if name and "data-search" not in field and (kind is None or kind[1] in {"text", "number"}):
            hint = re.search(r'\splaceholder="([^"]*)"', field)
            typed = "77" if kind and kind[1] == "number" else html.unescape(hint[1]) if hint and hint[1] else NOWHERE
            yield f"{name[1]}={typed}", f"{address}?{urlencode({name[1]: typed})}"
    for order in sorted(set(re.findall(r"[?&;]sort=(-?[a-z_]+)", text))):
        yield f"sort={order}", f"{address}?{urlencode({'sort': order})}"
    for name, choices in re.findall(r'<select[^>]*\sname="([a-z_]+)"[^>]*>(.*?)</select>', form[0], re.DOTALL):
        values = [value for value in re.findall(r'<option[^>]*value="([^"]*)"', choices) if value]
        if values:
            yield f"{name}={values[-1]}", f"{address}?{urlencode({name: html.unescape(values[-1])})}"


async def later_page(browser: Browser, text: str) -> str | None:
    """The address of a later page by key; None where there are not so many."""
    address = None
    for _ in range(PAGE - 1):
        found = re.search(r'<a class="btn"\s+href="([^"]+)"[^>]*>Next</a>', text)
        if found is None:
            return None
        address = html.unescape(found[1])
        text = await browser.get(address)
    return address


async def measure(
    browser: Browser, panel: int, postmaster: int, page: str, what: str, address: str, rounds: int
) -> Figure:
    """The median of some requests."""
    try:
        await browser.get(address)
    except AssertionError:
        return Figure(browser.role, page, what, address, FAILED, FAILED, FAILED)
    costs = []
    for _ in range(rounds):
        clock, began = Clock(panel, postmaster), time.perf_counter()
        await browser.get(address)
        wall = (time.perf_counter() - began) * 1000
        costs.append((*clock.spent(), wall))
    own, database, wall = (statistics.median(column) for column in zip(*costs, strict=True))
    return Figure(browser.role, page, what, address, own + database, database, wall)


@contextlib.asynccontextmanager
async def signed_in(role: str, login: str, base: str) -> AsyncIterator[Browser]:
    """A browser with a session."""
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), timeout=timeout) as session:
        browser = Browser(role, session, base)
        found = re.search(r'name="csrf-token" content="([^"]+)"', await browser.get("/sign-in"))
        assert found
        fields = {"csrf_token": found[1], "login": login, "password": PASSWORD}
        async with session.post(f"{base}/sign-in", data=fields) as response:
            assert response.status == 200, f"{login} cannot sign in"
        yield browser


async def measure_all(url: str, base: str, panel: int, postmaster: int, rounds: int, only: str) -> list[Figure]:
    """Every list as every role."""
    connection = await asyncpg.connect(url)
    login = "SELECT login FROM panel_user JOIN account ON account.id = account_id WHERE code = $1"
    logins = {
        "administrator": "admin",
        "reseller": await connection.fetchval(login, RESELLER),
        "customer": await connection.fetchval(login, CUSTOMER),
    }
    await connection.close()
    figures = []
    for role, name in logins.items():
        async with signed_in(role, name, base) as browser:
            for page, (address, text) in (await addresses(browser)).items():
                asked = list(variants(address, text))
                if page == "analysis.show":
                    asked += [(period, f"{address}?period={period}") for period in ("7-days", "30-days")]
                    asked += [("30 days of a reseller", f"{address}?period=30-days&account={RESELLER}")]
                    asked += [("30 days of a customer", f"{address}?period=30-days&account={CUSTOMER}")]
                    asked = asked if role != "customer" else asked[:-2]
                if later := await later_page(browser, text):
                    asked.append((f"page {PAGE}", later))
                for what, each in asked:
                    if only in page:
                        figures.append(await measure(browser, panel, postmaster, page, what, each, rounds))
                        _print(figures[-1])
    return figures


def _print(figure: Figure) -> None:
    mark = "  too much" if figure.cpu > WANTED else ""
    columns = f"{figure.cpu:8.1f} {figure.database:8.1f} {figure.wall:8.1f}"
    print(f"{figure.role:14} {figure.page:28} {figure.what:28} {columns}{mark}", flush=True)


async def run(arguments: argparse.Namespace, url: str, superuser: str, postmaster: int) -> list[Figure]:
    """Fill the database, start the panel, measure."""
    began = time.perf_counter()
    await be_quiet(superuser)
    await fill(url, arguments.customers, arguments.records)
    print(f"filled in {time.perf_counter() - began:.0f} s", flush=True)
    port = free_port()
    environ = {**os.environ, "SOFTSWITCH_DATABASE__URL": url, "SOFTSWITCH_PANEL__LISTEN": f"127.0.0.1:{port}"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "admin", env=environ)
    try:
        base = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{base}/sign-in"):
                        break
                await asyncio.sleep(0.1)
        print(f"{'role':14} {'page':28} {'what':28} {'CPU ms':>8} {'database':>8} {'wall':>8}", flush=True)
        return await measure_all(url, base, process.pid, postmaster, arguments.rounds, arguments.only)
    finally:
        process.terminate()
        await process.wait()


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description="What each list page of the panel costs the server.")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="pages whose name has this part")
    parser.add_argument("--keep", action="store_true", help="wait for Enter before the database is removed")
    arguments = parser.parse_args()
    with running_servers() as servers:
        url = servers.make_database()
        postmaster = int((servers.settings.system.path / "postgresql" / "postmaster.pid").read_text().split()[0])
        superuser = postgresql_url(replace(servers.settings), "postgres", "postgres")
        figures = asyncio.run(run(arguments, url, superuser, postmaster))
        if arguments.keep:
            input(f"{url} ")
    slowest = max(figures, key=lambda figure: figure.cpu)
    report = {
        "benchmark": "panel",
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "customers": arguments.customers,
        "records": arguments.records,
        "asked": len(figures),
        "slowest": f"{slowest.role} {slowest.page} {slowest.what}",
        "ms": round(slowest.cpu, 1),
        "too_much": sum(figure.cpu > WANTED for figure in figures),
    }
    print(json.dumps(report))
    return 1 if slowest.cpu > WANTED else 0


if __name__ == "__main__":
    sys.exit(main())
