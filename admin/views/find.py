"""The search box of the top bar: sends what was typed to the list that knows it."""

import re
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from admin import render
from admin.keys import USER
from admin.permissions import Permission

NUMBER: Final = re.compile(r"[+(]?[0-9][0-9 ()/.-]*")


async def find(request: web.Request) -> web.StreamResponse:
    """Numbers are looked for in call records, anything else among customers."""
    text = request.query.get("q", "").strip()[:100]
    is_number = NUMBER.fullmatch(text) is not None and text.count(".") != 3  # an address has three dots
    router = request.app.router
    if is_number or not request[USER].may(Permission.CUSTOMERS_READ):
        return render.see_other(f"{router['record.list'].url_for()}?{urlencode({'number': text})}")
    return render.see_other(f"{router['customer.list'].url_for()}?{urlencode({'q': text})}")
