"""The number rules of a carrier, on calls to it and on calls from it, with their tester."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms.carrier import RULE_TABS
from admin.forms.field import Filled, faults, typed
from admin.forms.tab import Rule, Tab
from admin.keys import POOL
from admin.rules import Trial, try_number
from admin.stores import carriers
from admin.stores.carriers import Carrier
from admin.views.carrier_frame import find, frame, number_in
from admin.views.customer_frame import address
from b2bua.account.errors import Refused


def _tab(request: web.Request) -> Tab:
    tab = RULE_TABS.get(request.match_info["tab"])
    if tab is None:
        raise NotFound
    return tab


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show the rules with an empty form."""
    tab = _tab(request)
    return await _page(request, await find(request), tab, {}, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Add a rule."""
    tab, carrier = _tab(request), await find(request)
    values = typed(await request.post(), tab.inputs)
    try:
        rule = Rule.model_validate(values).rule
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await carriers.add_rule(connection, carrier, tab.kind, rule)
            await audit.write(connection, request, "carrier_rule.add", _title(carrier, tab, rule), new={"rule": rule})
    except (ValidationError, Refused) as error:
        return await _page(request, carrier, tab, values, faults(error))
    return await _back(request, carrier, tab, f"Rule {rule} added: it counts from the next call on")


async def edit_form(request: web.Request) -> web.StreamResponse:
    """Show one rule in its form."""
    tab, carrier, row = await _find(request)
    return await _page(request, carrier, tab, {"rule": row["rule"]}, {}, row=row)


async def _find(request: web.Request) -> tuple[Tab, Carrier, dict[str, Any]]:
    tab, carrier = _tab(request), await find(request)
    row = await carriers.find_rule(request.app[POOL], carrier, tab.kind, number_in(request, "rule"))
    return tab, carrier, row


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed rule."""
    tab, carrier, row = await _find(request)
    values = typed(await request.post(), tab.inputs)
    try:
        rule = Rule.model_validate(values).rule
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await carriers.change_rule(connection, row["id"], rule)
            if rule != row["rule"]:
                old, new, title = {"rule": row["rule"]}, {"rule": rule}, _title(carrier, tab, row["rule"])
                await audit.write(connection, request, "carrier_rule.change", title, old=old, new=new)
    except (ValidationError, Refused) as error:
        return await _page(request, carrier, tab, values, faults(error), row=row)
    return await _back(request, carrier, tab, f"Rule {rule} saved" if rule != row["rule"] else "Nothing was changed")


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a rule."""
    tab, carrier, row = await _find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await carriers.remove_rule(connection, row["id"])
        title = _title(carrier, tab, row["rule"])
        await audit.write(connection, request, "carrier_rule.remove", title, old={"rule": row["rule"]})
    text = f"Rule {row['rule']} removed"
    if not await carriers.list_rules(request.app[POOL], carrier, tab.kind):
        text += ": no rule is left, so no such call is let through"
    return await _back(request, carrier, tab, text)


async def _back(request: web.Request, carrier: Carrier, tab: Tab, text: str) -> web.StreamResponse:
    await render.flash(request, text)
    return render.see_other(address(request, "carrier_rule.list", carrier=carrier.code, tab=tab.name))


def _title(carrier: Carrier, tab: Tab, rule: str) -> str:
    return f"{tab.title} rule {rule} of {carrier.code}"


async def try_rules(request: web.Request) -> web.StreamResponse:
    """Say what becomes of a number, while it is typed."""
    tab, carrier = _tab(request), await find(request)
    rules = await carriers.list_rules(request.app[POOL], carrier, tab.kind)
    text = render.part(request, "items/_trial", {"trial": _trial(request, tab, rules)})
    return web.Response(text=text, content_type="text/html")


def _trial(request: web.Request, tab: Tab, rules: list[dict[str, Any]]) -> Trial | None:
    number = request.query.get("number", "").strip()[:64]
    return try_number([rule["rule"] for rule in rules], tab.kind, number) if number else None


async def _page(
    request: web.Request,
    carrier: Carrier,
    tab: Tab,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    row: Mapping[str, Any] | None = None,
) -> web.StreamResponse:
    rules = await carriers.list_rules(request.app[POOL], carrier, tab.kind)
    page = {
        **frame(request, carrier, tab.name),
        "tab": tab,
        "rules": rules,
        "form": Filled(values, errors),
        "row": row,
        "trial": _trial(request, tab, rules),
        "query": request.query,
    }
    return await render.page(request, "carriers/rules", page, status=422 if errors else 200)
