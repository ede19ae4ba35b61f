"""Adding a customer, and changing the one there is."""

from typing import Any

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.forms import customer as layout
from admin.forms.field import Filled, Section, context, faults, typed, without_secrets
from admin.keys import PASSWORDS, POOL, USER
from admin.permissions import Permission
from admin.stores import accounts
from admin.stores.accounts import Account
from admin.views.customer_frame import address, find, find_open, frame
from b2bua.account import customer as form_model
from b2bua.account.errors import Refused
from b2bua.account.registry import add_customer, change_customer


def _sections(request: web.Request, *, is_new: bool) -> list[Section]:
    user = request[USER]
    sections = [section for section in layout.SECTIONS if not section.needs or user.may(Permission(section.needs))]
    if is_new:
        first = sections[0]
        sections[0] = Section(first.name, first.title, first.purpose, (*first.inputs, layout.RESELLER))
        sections.insert(1, layout.LOGIN)
    return sections


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _new(request, form_model.START, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Make a customer with the login that it opens with, and go on to it."""
    sections = _sections(request, is_new=True)
    inputs = [each for section in sections for each in section.inputs]
    values = typed(await request.post(), inputs)
    try:
        form = form_model.NewCustomer.model_validate(values, context=context(request))
        await _refuse_foreign_reseller(request, form.parent)
        password_hash = await request.app[PASSWORDS].hash(form.password)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            code = await add_customer(connection, form, password_hash)
            account = await accounts.find_customer(connection, request[USER].scope, code)
            new = form.columns() | {"tariff": form.tariff, "parent": form.parent, "login": form.login}
            await audit.write(
                connection, request, "customer.add", account.title, account_id=account.account_id, new=new
            )
    except (ValidationError, Refused) as error:
        return await _new(request, without_secrets(values, inputs), faults(error))
    await render.flash(request, f"Customer {account.name} added with the code {code}")
    return render.see_other(address(request, "customer.details", code=code))


async def _refuse_foreign_reseller(request: web.Request, code: str) -> None:
    """A reseller makes customers of its own or below; the operator, of anybody or nobody."""
    scope = request[USER].scope
    known = [each for each, _name, _currency in await accounts.resellers(request.app[POOL], scope)]
    if code not in known and (code or scope.top is not None):
        raise Refused("parent", "Reseller must be one of the list")


async def _new(request: web.Request, values: Any, errors: dict[str, str]) -> web.StreamResponse:  # noqa: ANN401
    pool, scope = request.app[POOL], request[USER].scope
    resellers = await accounts.resellers(pool, scope)
    currency = resellers[0][2] if scope.top is not None and resellers else None
    tariffs = {name: f"{name} ({money})" for name, money in await accounts.tariff_names(pool, currency, scope)}
    parents = {code: f"{code} {name}" for code, name, _money in resellers}
    if scope.top is None:
        parents = {"": "None: our own customer", **parents}
    filled = Filled(values, errors, {"tariff": tariffs, "parent": parents})
    page = {"form": filled, "sections": _sections(request, is_new=True)}
    return await render.page(request, "customers/new", page, status=422 if errors else 200)


async def details(request: web.Request) -> web.StreamResponse:
    """Show a customer in its form, and what it lacks before it can call."""
    account = await find(request)
    row = await accounts.read_form(request.app[POOL], account)
    return await _details(request, account, form_model.texts_of(row), {})


async def change(request: web.Request) -> web.StreamResponse:
    """Store what was changed."""
    account = await find_open(request)
    inputs = [each for section in _sections(request, is_new=False) for each in section.inputs]
    values = typed(await request.post(), inputs)
    try:
        form = form_model.Customer.model_validate(values, context=context(request))
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            old, new = await change_customer(connection, account.code, form)
            if new:
                await audit.write(
                    connection,
                    request,
                    "customer.change",
                    account.title,
                    account_id=account.account_id,
                    old=old,
                    new=new,
                )
    except (ValidationError, Refused) as error:
        return await _details(request, account, values, faults(error))
    await render.flash(request, "Changes saved: they hold from the next call on" if new else "Nothing was changed")
    return render.see_other(address(request, "customer.details", code=account.code))


async def _tariff_names(request: web.Request, account: Account) -> list[tuple[str, str]]:
    parent = account.parent or "-"
    return await accounts.tariff_names(request.app[POOL], account.currency, request[USER].scope, parent)


async def _details(
    request: web.Request, account: Account, values: dict[str, str], errors: dict[str, str]
) -> web.StreamResponse:
    names = {name for name, _money in await _tariff_names(request, account)}
    if values.get("tariff"):
        names.add(values["tariff"])
    tariffs = {name: name for name in sorted(names, key=str.lower)}
    page = {
        **frame(request, account, "details"),
        "form": Filled(values, errors, {"tariff": tariffs}),
        "sections": _sections(request, is_new=False),
        "may_change": request[USER].may(Permission.CUSTOMERS_WRITE) and account.status != "closed",
        "steps": await _steps(request, account),
    }
    return await render.page(request, "customers/details", page, status=422 if errors else 200)


async def _steps(request: web.Request, account: Account) -> list[dict[str, str]]:
    """What a new customer still needs."""
    user, parts = request[USER], await accounts.count_parts(request.app[POOL], account)
    if account.status == "closed" or not user.may(Permission.CONFIGURATION_WRITE):
        return []
    steps = []
    if not parts["ip_devices"] and not parts["sip_users"]:
        for tab, title in (("ip-devices", "Add an IP device"), ("sip-users", "or a SIP user")):
            place = address(request, "item.list", code=account.code, tab=tab)
            why = "what its calls come from" if tab == "ip-devices" else "a telephone that signs in"
            steps.append({"title": title, "address": place, "why": why})
    if not parts["dialing_routes"]:
        place = address(request, "item.list", code=account.code, tab="dialing-routes")
        steps.append({"title": "Add a dialing route", "address": place, "why": "which route its calls take"})
    if account.balance + account.credit <= 0 and user.may(Permission.PAYMENTS_WRITE):
        title = "Add test credit" if account.is_demo else "Add balance or credit"
        place = address(request, "payment.list", code=account.code)
        steps.append({"title": title, "address": place, "why": "what its calls are paid from"})
    return steps
