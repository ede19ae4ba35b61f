"""The search box of the top bar: sends what was typed to the list that knows it."""

import contextlib
import re
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from admin import render
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.permissions import Permission
from admin.stores.dids import find_did
from admin.stores.logins import is_staff
from admin.stores.tariffs import named
from admin.views.customer_frame import address

NUMBER: Final = re.compile(r"[+(]?[0-9][0-9 ()/.-]*")


async def _named(request: web.Request, text: str) -> str:
    """The page of a DID, carrier, gateway, route or user of just this number, code or name; empty: there is none."""
    user, pool = request[USER], request.app[POOL]
    if user.may(Permission.DIDS_READ) and NUMBER.fullmatch(text):
        number = re.sub(r"[^0-9]", "", text)
        with contextlib.suppress(NotFound):
            did = await find_did(pool, user.scope, number)
            return address(request, "did.details", number=did.number)
    if user.may(Permission.CARRIERS_MANAGE):
        found = await pool.fetchrow(
            """
            SELECT carrier.code, NULL AS gateway FROM carrier WHERE carrier.code = upper($1)
            UNION ALL
            SELECT carrier.code, gateway.id FROM gateway JOIN carrier ON carrier.id = gateway.carrier_id
            WHERE gateway.name = $1
            LIMIT 1
            """,
            text,
        )
        if found is not None and found["gateway"] is not None:
            return address(request, "carrier_gateway.details", carrier=found["code"], gateway=found["gateway"])
        if found is not None:
            return address(request, "carrier.details", carrier=found["code"])
    if user.may(Permission.ROUTES_MANAGE):
        route_id = await pool.fetchval("SELECT id FROM route WHERE name = $1", text)
        if route_id is not None:
            return address(request, "route_entry.list", route=route_id)
    if user.may(Permission.USERS_MANAGE) and await is_staff(pool, text):
        return address(request, "user.details", login=text)
    return ""


async def find(request: web.Request) -> web.StreamResponse:
    """What is named in full is opened; numbers are looked for in call records, anything else among customers."""
    text = request.query.get("q", "").strip()[:100]
    if place := await _named(request, text):
        return render.see_other(place)
    is_number = NUMBER.fullmatch(text) is not None and text.count(".") != 3  # an address has three dots
    router = request.app.router
    if is_number or not request[USER].may(Permission.CUSTOMERS_READ):
        return render.see_other(f"{router['record.list'].url_for()}?{urlencode({'number': text})}")
    if place := await _prices(request, text):
        return render.see_other(place)
    return render.see_other(f"{router['customer.list'].url_for()}?{urlencode({'q': text})}")


async def _prices(request: web.Request, name: str) -> str:
    """The page of the tariff or ratecard of this very name; empty: there is none."""
    user, router = request[USER], request.app.router
    if not name or not user.may(Permission.TARIFFS_READ):
        return ""
    kind, found = await named(request.app[POOL], user.scope, name)
    if kind == "tariff":
        return str(router["tariff.details"].url_for(tariff=str(found)))
    return str(router["rate.list"].url_for(ratecard=str(found))) if kind else ""
