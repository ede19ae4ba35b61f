"""What every page of a carrier has around it, how it is found, and what it has in progress."""

from typing import Any

from aiohttp import web

from admin.errors import NotFound
from admin.forms.carrier import RULE_TABS
from admin.keys import CONTROL, POOL
from admin.stores.carriers import Carrier, find_carrier
from admin.views.customer_frame import TabLink, address


async def find(request: web.Request) -> Carrier:
    """The carrier that the address names.

    Raises:
        NotFound: there is none.
    """
    return await find_carrier(request.app[POOL], request.match_info["carrier"])


def number_in(request: web.Request, name: str) -> int:
    """A number of the address.

    Raises:
        NotFound: it is none.
    """
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound
    return int(text)


def frame(request: web.Request, carrier: Carrier, current: str) -> dict[str, Any]:
    """The values that `carriers/frame.html` takes."""
    pages = [
        ("Details", "details", address(request, "carrier.details", carrier=carrier.code)),
        ("Gateways", "gateways", address(request, "carrier_gateway.list", carrier=carrier.code)),
    ]
    pages += [
        (tab.title, tab.name, address(request, "carrier_rule.list", carrier=carrier.code, tab=tab.name))
        for tab in RULE_TABS.values()
    ]
    return {"carrier": carrier, "tabs": [TabLink(title, place, name == current) for title, name, place in pages]}


async def sessions(request: web.Request, gateways: list[int]) -> int:
    """How many calls are in progress over gateways, as the workers of this machine know."""
    wanted = {str(gateway) for gateway in gateways}
    answers = await request.app[CONTROL].request_all("gateways")
    return sum(
        count for answer in answers for gateway, count in answer.get("sessions", {}).items() if gateway in wanted
    )


def in_progress(calls: int) -> list[str]:
    """What calls in progress say against a deletion."""
    if not calls:
        return []
    return [f"It has {'1 call' if calls == 1 else f'{calls} calls'} in progress: wait, or hang up under Live calls"]
