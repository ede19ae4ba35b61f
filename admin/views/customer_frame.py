"""What every page of a customer has around it, and how it is found."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from admin.errors import NotFound
from admin.forms.tab import TABS, Tab
from admin.keys import POOL, USER
from admin.permissions import Permission
from admin.stores.accounts import Account, find_customer


@dataclass(frozen=True, slots=True)
class TabLink:
    """A tab in the list of tabs."""

    title: str
    address: str
    is_current: bool


async def find(request: web.Request) -> Account:
    """The customer that the address names.

    Raises:
        NotFound: there is none in the scope of the login.
    """
    return await find_customer(request.app[POOL], request[USER].scope, request.match_info["code"])


async def find_open(request: web.Request) -> Account:
    """The same for a change: a customer that was deleted takes none.

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


def is_shown(request: web.Request, account: Account, tab: Tab) -> bool:
    """Whether a login sees a tab: a customer those that its account lets it change."""
    user = request[USER]
    return user.may(Permission.CONFIGURATION_READ) and (user.may(Permission.CUSTOMERS_READ) or tab.own in account.own)


def frame(request: web.Request, account: Account, current: str) -> dict[str, Any]:
    """The values that `customers/frame.html` takes."""
    user = request[USER]
    pages = []
    if user.may(Permission.CUSTOMERS_READ):
        pages.append(("Details", "details", address(request, "customer.details", code=account.code)))
    pages += [
        (tab.title, tab.name, address(request, "item.list", code=account.code, tab=tab.name))
        for tab in TABS.values()
        if is_shown(request, account, tab)
    ]
    if user.may(Permission.MONEY_READ):
        if user.may(Permission.CUSTOMERS_READ) or "own_rates" in account.own:
            pages.append(("Rates", "rates", address(request, "customer_rate.list", code=account.code)))
        pages.append(("Payments", "payments", address(request, "payment.list", code=account.code)))
        pages.append(("Statement", "statement", address(request, "statement.list", code=account.code)))
    links = [TabLink(title, place, name == current) for title, name, place in pages]
    return {"account": account, "tabs": links}
