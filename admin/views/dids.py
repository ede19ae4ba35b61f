"""DIDs: the list, adding many, assigning, leading and removing them, one or many at a time."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin.errors import NotFound
from admin.forms import did as layout
from admin.forms.field import Filled, Input, faults, typed
from admin.keys import POOL, USER
from admin.paging import COUNT_LIMIT, page_request
from admin.permissions import Permission
from admin.stores import dids
from admin.stores.dids import DID, STATES, DIDFilter
from admin.stores.routes import carrier_names
from admin.views.customer_frame import address
from b2bua.account.errors import Refused
from b2bua.account.field import Fault
from b2bua.routing import did as form_model
from b2bua.routing import store
from b2bua.routing.numbering import add_dids, carrier_id, set_destinations
from rating.ledger import Connection

_NAMED: Final = 100
"""Characters of the numbers that a message names."""


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the DIDs in scope."""
    return await _list(request, {}, {})


async def _list(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    chosen = DIDFilter.read(request.query)
    page, total = await dids.list_dids(
        request.app[POOL], request[USER].scope, chosen, page_request(request.query, (str,))
    )
    context = {
        "page": page,
        "total": total,
        "count_limit": COUNT_LIMIT,
        "filter": chosen,
        "states": STATES,
        "kinds": form_model.KINDS,
        "numbers_input": replace(layout.NUMBERS, is_needed=False),
        "account_input": _account_input(request),
        "form": Filled(values, errors),
        "is_own": request[USER].scope.exact is not None,
        "back": values.get("next") or request.path_qs,
    }
    return await render.page(request, "dids/list", context, status=422 if errors else 200)


def _account_input(request: web.Request) -> Input:
    """A reseller's numbers stay its own until somebody below has them."""
    if request[USER].scope.account_id is None:
        return layout.ACCOUNT
    return Input("account", "Account", "Code, like CUST0007. Empty: yours.", is_needed=False, is_code=True, most=30)


# Adding


async def new_form(request: web.Request) -> web.StreamResponse:
    """Show an empty form."""
    return await _new(request, form_model.START, {})


def _new_inputs() -> tuple[Input, ...]:
    return layout.NUMBERS, layout.ACCOUNT, layout.CARRIER, layout.CHANNELS, layout.STATUS


async def add(request: web.Request) -> web.StreamResponse:
    """Make DIDs, all of them or none."""
    values = typed(await request.post(), _new_inputs())
    try:
        form = form_model.NewDIDs.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            account = await dids.account_id(connection, request[USER].scope, form.account)
            await add_dids(connection, form, account)
            shown = form_model.in_ranges(form.numbers)
            new = {"numbers": shown, "account": form.account, "channels": form.channels, "status": form.status}
            await audit.write(connection, request, "did.add", _named(shown), account_id=account, new=new)
            await _audit_carrier(connection, request, _named(shown), "", form.carrier)
    except (ValidationError, Refused) as error:
        return await _new(request, values, faults(error))
    await render.flash(request, f"{_count(len(form.numbers))} added")
    if len(form.numbers) == 1:
        return render.see_other(address(request, "did.details", number=form.numbers[0]))
    return render.see_other(address(request, "did.list"))


async def _audit_carrier(connection: Connection, request: web.Request, subject: str, old: str, new: str) -> None:
    """Who brings the calls stands in an entry of its own: it is not for those who read their accounts' entries."""
    if old != new:
        await audit.write(connection, request, "did.carrier", subject, old={"carrier": old}, new={"carrier": new})


def _named(numbers: str) -> str:
    return f"DID {numbers if len(numbers) <= _NAMED else numbers[:_NAMED] + '…'}"


def _count(number: int) -> str:
    return "1 DID number" if number == 1 else f"{number:,} DID numbers"


async def _choices(request: web.Request) -> dict[str, Mapping[str, str]]:
    if not request[USER].may(Permission.DIDS_MANAGE):
        return {}
    return {"carrier": {"": "Any carrier", **await carrier_names(request.app[POOL])}}


async def _new(request: web.Request, values: Mapping[str, str], errors: Mapping[str, str]) -> web.StreamResponse:
    page = {"form": Filled(values, errors, await _choices(request)), "inputs": _new_inputs()}
    return await render.page(request, "dids/new", page, status=422 if errors else 200)


# One


async def _find(request: web.Request) -> DID:
    return await dids.find_did(request.app[POOL], request[USER].scope, request.match_info["number"])


async def details(request: web.Request) -> web.StreamResponse:
    """Show a DID: whose it is, and where calls to it go."""
    did = await _find(request)
    return await _details(request, did, {**form_model.texts_of(asdict(did)), **did.destinations()}, {})


def _inputs(request: web.Request) -> tuple[Input, ...]:
    user = request[USER]
    if not user.may(Permission.DIDS_ASSIGN):
        return ()
    carrier = (layout.CARRIER,) if user.may(Permission.DIDS_MANAGE) else ()
    return _account_input(request), *carrier, layout.CHANNELS, layout.STATUS


async def _may_lead(request: web.Request, did: DID) -> bool:
    """Whether the login may say where calls go: a customer where its account lets it change what its DIDs do."""
    user = request[USER]
    if not user.may(Permission.DIDS_ROUTE) or did.account_id is None:
        return False
    if user.scope.exact is None:
        return True
    is_let: bool = await request.app[POOL].fetchval(
        "SELECT own_did_destination_rules FROM account WHERE id = $1", user.scope.exact
    )
    return is_let


async def _details(
    request: web.Request, did: DID, values: Mapping[str, str], errors: Mapping[str, str]
) -> web.StreamResponse:
    page: dict[str, Any] = {
        "did": did,
        "form": Filled(values, errors, await _choices(request)),
        "inputs": _inputs(request),
        "destinations": layout.DESTINATIONS,
        "kinds": form_model.KINDS,
        "may_lead": await _may_lead(request, did),
    }
    return await render.page(request, "dids/details", page, status=422 if errors else 200)


async def change(request: web.Request) -> web.StreamResponse:
    """Store whose it is, its channels and its status; one that changes hands forgets where its calls went."""
    did, scope = await _find(request), request[USER].scope
    kept = form_model.texts_of(asdict(did))
    values = kept | typed(await request.post(), _inputs(request))
    try:
        form = form_model.DID.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            account = await dids.account_id(connection, scope, form.account)
            columns = {"account_id": account, "channels": form.channels, "status": form.status}
            await store.set_did(
                connection, did.number, columns | {"carrier_id": await carrier_id(connection, form.carrier)}
            )
            now = await dids.find_did(connection, scope, did.number)
            changed = await _audit_change(connection, request, did, now)
    except (ValidationError, Refused) as error:
        return await _details(request, did, {**values, **did.destinations()}, faults(error))
    text = "Changes saved: they hold from the next call on" if changed else "Nothing was changed"
    if did.kind and not now.kind:
        text += ". Calls to it go nowhere now: say where"
    await render.flash(request, text)
    return render.see_other(address(request, "did.details", number=did.number))


async def _audit_change(connection: Connection, request: web.Request, before: DID, now: DID) -> bool:
    names = [name for name in ("account", "channels", "status") if getattr(before, name) != getattr(now, name)]
    if names:
        old, new = ({name: getattr(state, name) for name in names} for state in (before, now))
        account = now.account_id or before.account_id
        await audit.write(connection, request, "did.change", before.title, account_id=account, old=old, new=new)
    await _audit_carrier(connection, request, before.title, before.carrier or "", now.carrier or "")
    return bool(names) or before.carrier != now.carrier


async def lead(request: web.Request) -> web.StreamResponse:
    """Say where calls to a DID go."""
    did = await _find(request)
    if not await _may_lead(request, did):
        raise NotFound
    values = typed(await request.post(), layout.DESTINATIONS)
    try:
        form = form_model.Destinations.model_validate(values)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await set_destinations(connection, did.did_id, did.account_id, form)
            now = await dids.find_did(connection, request[USER].scope, did.number)
            old, new = _where(did), _where(now)
            if old != new:
                await audit.write(
                    connection, request, "did.lead", did.title, account_id=did.account_id, old=old, new=new
                )
    except (ValidationError, Refused) as error:
        shown = {**form_model.texts_of(asdict(did)), **values}
        return await _details(request, did, shown, faults(error))
    await render.flash(request, "Calls go there from the next one on" if old != new else "Nothing was changed")
    return render.see_other(address(request, "did.details", number=did.number))


def _where(did: DID) -> dict[str, str]:
    pairs = (("destination", did.kind, did.target), ("failover", did.failover_kind, did.failover_target))
    return {name: f"{form_model.KINDS.get(kind or '', kind)} {target or ''}".strip() for name, kind, target in pairs}


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a DID; calls in progress go on."""
    did = await _find(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await store.remove_did(connection, did.number)
        old = {"account": did.account, "channels": did.channels, "status": did.status, **_where(did)}
        await audit.write(connection, request, "did.remove", did.title, account_id=did.account_id, old=old)
    await render.flash(request, f"{did.title} removed: calls to it are refused")
    return render.see_other(address(request, "did.list"))


# Many


async def change_many(request: web.Request) -> web.StreamResponse:
    """Assign, release, suspend or activate those that are chosen in the list or typed."""
    fields = await request.post()
    back = render.own_address(str(fields.get("next", "")), address(request, "did.list"))
    act, values = str(fields.get("act", "")), typed(fields, (layout.NUMBERS, layout.ACCOUNT)) | {"next": back}
    if act not in layout.ACTS:
        raise NotFound
    chosen = [str(number) for number in fields.getall("number", [])]
    try:
        numbers = form_model.number_list("Numbers")("\n".join([*chosen, values["numbers"]]))
        if act == "assign" and not values["account"].strip():
            raise Refused("account", "Account is needed: the code of who gets them, like CUST0007")
        done = await _change_many(request, act, numbers, values["account"].strip().upper() if act == "assign" else "")
    except Fault as fault:
        return await _list(request, values, {"numbers": str(fault)})
    except Refused as refused:
        return await _list(request, values, faults(refused))
    word = {"assign": "assigned", "release": "released", "active": "activated", "inactive": "suspended"}[act]
    await render.flash(request, f"{_count(done)} {word}" if done else "Nothing was changed")
    return render.see_other(back)


async def _change_many(request: web.Request, act: str, numbers: tuple[str, ...], code: str) -> int:
    scope = request[USER].scope
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        ids = await dids.find_many(connection, scope, numbers)
        shown = form_model.in_ranges(numbers)
        if act in {"assign", "release"}:
            account = await dids.account_id(connection, scope, code)
            done = await dids.assign_many(connection, ids, account)
            new: dict[str, Any] = {"numbers": shown, "account": code}
        else:
            account = scope.account_id
            done = await dids.set_status_of_many(connection, ids, act)
            new = {"numbers": shown, "status": act}
        if done:
            subject = _named(shown)
            await audit.write(connection, request, "did.change_many", subject, account_id=account, new=new)
    return done
