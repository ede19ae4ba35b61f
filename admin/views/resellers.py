"""Resellers: the list, adding one, and changing the one there is, with the routes that are permitted to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms import customer as layout
from admin.forms.field import Filled, Input, Section, context, faults, typed, without_secrets
from admin.keys import PASSWORDS, POOL, USER
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores import accounts, resellers
from admin.stores.accounts import Account
from admin.stores.resellers import Permit
from admin.views.customer_frame import address, find, find_open, frame
from b2bua.account import customer as form_model
from b2bua.account.errors import Refused
from b2bua.account.registry import add_customer, change_customer

_OF_CUSTOMERS: Final = frozenset({"media"})
"""Sections that only customers have: what a telephone sends."""
_CARE: Final = "What the reseller's own logins may change of the customers below it; they see all of it."
_NOT_ASKED: Final = {"customer_type": "live", "cli_by_destination": "no"}
"""Fields that only customers have, with what a new reseller gets: it pays, and has no telephones."""


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the resellers below this login."""
    search = request.query.get("q", "").strip()[:100]
    asked = page_request(request.query, (str,))
    page = await resellers.list_resellers(request.app[POOL], request[USER].scope, search, asked)
    return await render.page(request, "resellers/list", {"page": page, "search": search})


def _sections(request: web.Request, routes: list[Permit], *, is_new: bool) -> list[Section]:
    user = request[USER]
    sections = [
        replace(section, inputs=tuple(each for each in section.inputs if each.name not in _NOT_ASKED))
        for section in layout.SECTIONS
        if section.name not in _OF_CUSTOMERS and (not section.needs or user.may(Permission(section.needs)))
    ]
    sections = [replace(section, purpose=_CARE) if section.name == "care" else section for section in sections]
    above = (layout.RESELLER,) if is_new else ()
    sections[0] = replace(sections[0], title="Reseller", purpose="Who it is.", inputs=(*sections[0].inputs, *above))
    if is_new:
        sections.insert(1, layout.LOGIN)
    switches = tuple(Input(f"route_{route.route_id}", route.name, kind="switch") for route in routes)
    purpose = "Calls of the accounts below it take no others." if routes else "There is no route that you may permit."
    return [*sections, Section("routes", "Permitted routes", purpose, switches)]


def _inputs(sections: list[Section]) -> list[Input]:
    return [each for section in sections for each in section.inputs]


def _split(values: Mapping[str, str], routes: list[Permit]) -> tuple[dict[str, str], set[int]]:
    """The fields of the form itself, and the routes that are switched on."""
    names = {f"route_{route.route_id}": route.route_id for route in routes}
    fields = {name: value for name, value in values.items() if name not in names}
    return fields, {route_id for name, route_id in names.items() if values.get(name) == "yes"}


def _route_names(routes: list[Permit], wanted: set[int]) -> list[str]:
    return [route.name for route in routes if route.route_id in wanted]


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _new(request, form_model.START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a reseller with the login that it opens with, and go on to it."""
    pool, scope = request.app[POOL], request[USER].scope
    routes = await resellers.permits(pool, scope, None)
    inputs = _inputs(_sections(request, routes, is_new=True))
    values = typed(await request.post(), inputs)
    fields, wanted = _split(values, routes)
    try:
        form = form_model.NewCustomer.model_validate(_NOT_ASKED | fields, context=context(request))
        if form.parent not in await _parents(request):
            raise Refused("parent", "Reseller must be one of the list")
        password_hash = await request.app[PASSWORDS].hash(form.password)
        async with pool.acquire(timeout=5) as connection, connection.transaction():
            code = await add_customer(connection, form, password_hash, "reseller")
            account = await accounts.find_reseller(connection, scope, code)
            await resellers.set_permits(connection, account.account_id, routes, wanted)
            new = form.columns() | {"tariff": form.tariff, "parent": form.parent, "login": form.login}
            new["routes"] = _route_names(routes, wanted)
            await audit.write(
                connection, request, "reseller.add", account.title, account_id=account.account_id, new=new
            )
    except (ValidationError, Refused) as error:
        return await _new(request, without_secrets(values, inputs), faults(error))
    await render.flash(request, f"Reseller {account.name} added with the code {code}")
    return render.see_other(address(request, "reseller.details", code=code))


async def _parents(request: web.Request) -> dict[str, str]:
    """What a new reseller may stand below: the operator makes some of its own, a reseller only below itself."""
    scope = request[USER].scope
    found = await accounts.resellers(request.app[POOL], scope)
    parents = {code: f"{code} {name}" for code, name, _currency in found}
    return parents if scope.top is not None else {"": "None: our own reseller", **parents}


async def _new(request: web.Request, values: Mapping[str, str], errors: dict[str, str]) -> web.StreamResponse:
    pool, scope = request.app[POOL], request[USER].scope
    known = await accounts.resellers(pool, scope)
    currency = known[0][2] if scope.top is not None and known else None
    tariffs = {name: f"{name} ({money})" for name, money in await accounts.tariff_names(pool, currency, scope)}
    routes = await resellers.permits(pool, scope, None)
    page = {
        "form": Filled(values, errors, {"tariff": tariffs, "parent": await _parents(request)}),
        "sections": _sections(request, routes, is_new=True),
    }
    return await render.page(request, "resellers/new", page, status=422 if errors else 200)


async def details(request: web.Request) -> web.StreamResponse:
    """Show a reseller in its form."""
    account = await find(request)
    routes = await resellers.permits(request.app[POOL], request[USER].scope, account.account_id)
    values = form_model.texts_of(await accounts.read_form(request.app[POOL], account))
    values |= {f"route_{route.route_id}": "yes" for route in routes if route.is_permitted}
    return await _details(request, account, routes, values, {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store what was changed; what the form does not show stays as it is."""
    account, pool = await find_open(request), request.app[POOL]
    routes = await resellers.permits(pool, request[USER].scope, account.account_id)
    values = typed(await request.post(), _inputs(_sections(request, routes, is_new=False)))
    fields, wanted = _split(values, routes)
    before = {route.route_id for route in routes if route.is_permitted}
    try:
        kept = form_model.texts_of(await accounts.read_form(pool, account))
        form = form_model.Customer.model_validate(kept | fields, context=context(request))
        async with pool.acquire(timeout=5) as connection, connection.transaction():
            old, new = await change_customer(connection, account.code, form)
            await resellers.set_permits(connection, account.account_id, routes, wanted)
            if wanted != before:
                old["routes"], new["routes"] = _route_names(routes, before), _route_names(routes, wanted)
            if new:
                await audit.write(
                    connection,
                    request,
                    "reseller.change",
                    account.title,
                    account_id=account.account_id,
                    old=old,
                    new=new,
                )
    except (ValidationError, Refused) as error:
        return await _details(request, account, routes, values, faults(error))
    await render.flash(request, "Changes saved: they hold from the next call on" if new else "Nothing was changed")
    return render.see_other(address(request, "reseller.details", code=account.code))


async def _tariff_names(request: web.Request, account: Account) -> list[tuple[str, str]]:
    parent = account.parent or "-"
    return await accounts.tariff_names(request.app[POOL], account.currency, request[USER].scope, parent)


async def _details(
    request: web.Request, account: Account, routes: list[Permit], values: dict[str, str], errors: dict[str, str]
) -> web.StreamResponse:
    names = {name for name, _money in await _tariff_names(request, account)}
    if values.get("tariff"):
        names.add(values["tariff"])
    page = {
        **frame(request, account, "details"),
        "form": Filled(values, errors, {"tariff": {name: name for name in sorted(names, key=str.lower)}}),
        "sections": _sections(request, routes, is_new=False),
        "may_change": request[USER].may(Permission.RESELLERS_WRITE) and account.status != "closed",
    }
    return await render.page(request, "resellers/details", page, status=422 if errors else 200)
