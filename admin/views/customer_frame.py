"""What every page of a customer or reseller has around it, and how it is found."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from admin.errors import NotFound
from admin.forms.tab import TABS, Tab
from admin.keys import POOL, SETTINGS, USER
from admin.permissions import Permission
from admin.stores.accounts import Account, find_customer, find_reseller


@dataclass(frozen=True, slots=True)
class TabLink:
    """A tab in the list of tabs."""

    title: str
    address: str
    is_current: bool


async def find(request: web.Request, *, takes_own: bool = False) -> Account:
    """The customer or reseller that the address names.

    Args:
        request: What is answered.
        takes_own: Whether a reseller sees this page of itself.

    Raises:
        NotFound: there is none in the scope of the login.
    """
    pool, scope, code = request.app[POOL], request[USER].scope, request.match_info["code"]
    if request.path.startswith("/resellers/"):
        return await find_reseller(pool, scope, code, takes_own=takes_own)
    return await find_customer(pool, scope, code)


async def find_open(request: web.Request) -> Account:
    """The same for a change: an account that was deleted takes none, nor does that of a reseller's own login.

    Raises:
        NotFound: there is none, or it is closed.
    """
    account = await find(request)
    if account.status == "closed":
        raise NotFound
    return account


def address(request: web.Request, route: str, /, **parts: object) -> str:
    """The address of a route."""
    return str(request.app.router[route].url_for(**{name: str(part) for name, part in parts.items()}))


def place(request: web.Request, account: Account, route: str, **parts: object) -> str:
    """The address of a page of an account: `payment.list` of a reseller is `reseller_payment.list`."""
    if account.kind == "reseller":
        route = f"reseller{route.removeprefix('customer')}" if route.startswith("customer.") else f"reseller_{route}"
    return address(request, route, code=account.code, **parts)


def is_shown(request: web.Request, account: Account, tab: Tab) -> bool:
    """Whether a login sees a tab: a customer those that its account lets it change."""
    user = request[USER]
    return user.may(Permission.CONFIGURATION_READ) and (user.may(Permission.CUSTOMERS_READ) or tab.own in account.own)


def sees_rates(request: web.Request, account: Account) -> bool:
    """Whether a login sees what an account pays: a customer where its account lets it, a reseller also its own."""
    return request[USER].may(Permission.CUSTOMERS_READ) or "own_rates" in account.own


def frame(request: web.Request, account: Account, current: str) -> dict[str, Any]:
    """The values that `customers/frame.html` takes."""
    links = [TabLink(title, link, name == current) for title, name, link in _pages(request, account)]
    return {
        "account": account,
        "tabs": links,
        "is_own": request[USER].account_id == account.account_id,
        "place": lambda route, **parts: place(request, account, route, **parts),
        "ends_calls": request.app[SETTINGS].call.ends_suspended,
    }


def _pages(request: web.Request, account: Account) -> list[tuple[str, str, str]]:
    """Title, name and address of each tab."""
    user, pages = request[USER], []
    is_own = user.account_id == account.account_id
    if not is_own:
        pages.append(("Details", "details", place(request, account, "customer.details")))
    if account.kind == "customer":
        pages += [
            (tab.title, tab.name, address(request, "item.list", code=account.code, tab=tab.name))
            for tab in TABS.values()
            if is_shown(request, account, tab)
        ]
    if user.may(Permission.LOGINS_MANAGE) and not is_own:
        pages.append(("Logins", "logins", place(request, account, "login.list")))
    if user.may(Permission.MONEY_READ):
        if sees_rates(request, account):
            pages.append(("Rates", "rates", place(request, account, "account_rate.list")))
        pages.append(("Payments", "payments", place(request, account, "payment.list")))
        pages.append(("Statement", "statement", place(request, account, "statement.list")))
    return pages
