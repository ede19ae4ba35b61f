"""Explain a call: asks a worker what would become of it, and why. Nothing is changed by asking."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from admin import render
from admin.errors import NotFound
from admin.explanation import AUTHENTICATE, Explanation, View, cut
from admin.forms.explain import INPUTS, MOST, read_question
from admin.forms.field import Filled
from admin.keys import CONTROL, POOL, USER
from admin.permissions import Permission
from admin.stores.accounts import find_chain, has_sip_user
from b2bua.control.messages import ControlError, Message, Refused

NOT_YOURS = {
    "account": "No account of yours has this code",
    "user": "No SIP user of yours has this name",
    "address": "No device of yours calls so from this address",
}
"""What is said of what there is not, and of what is somebody else's."""


class _NotYours(Exception):
    """The question is about nobody's call, or about one of somebody else's account.

    Args:
        field: What says so.
    """

    def __init__(self, field: str) -> None:
        super().__init__(NOT_YOURS[field])
        self.field = field


async def show(request: web.Request) -> web.StreamResponse:
    """Show the form, and the answer when a call is asked about."""
    values = {each.name: request.query.get(each.name, "").strip()[: each.most] for each in INPUTS}
    if "destination" not in request.query:
        return await _page(request, values, {})
    question, errors = read_question(values)
    if errors:
        return await _page(request, values, errors, status=422)
    try:
        found = await _explain(request, question)
    except _NotYours as error:
        return await _page(request, values, {error.field: str(error)}, status=404)
    except Refused as refused:
        text = refused.reason
        return await _page(request, values, {"": text[:1].upper() + text[1:]}, status=422)
    except ControlError as error:
        return await _page(request, values, {"": f"Nobody can tell: {error}"}, status=503)
    return await _page(request, values, {}, found)


async def _explain(request: web.Request, question: Mapping[str, Any]) -> Explanation:
    """Ask, and cut the answer to what the login may see.

    Raises:
        _NotYours: of what is not in the scope of the login, and of what there is not.
        ControlError: no worker answers.
    """
    user, control = request[USER], request.app[CONTROL]
    if user.scope.account_id is None:
        return cut(await control.explain(**question), _view(request, None))
    await _require_own(request, question)
    try:
        answer = await control.explain(**question)
    except Refused:
        # What else is wrong with a question about one's own account is of another's device.
        raise _NotYours("address" if question["address"] else "account") from None
    return cut(answer, _view(request, await _chain_of_answer(request, question, answer)))


async def _require_own(request: web.Request, question: Mapping[str, Any]) -> None:
    pool, scope = request.app[POOL], request[USER].scope
    if question["account"]:
        try:
            await find_chain(pool, scope, question["account"])
        except NotFound:
            raise _NotYours("account") from None
    if question["user"] and not await has_sip_user(pool, scope, question["user"]):
        raise _NotYours("user")


async def _chain_of_answer(request: web.Request, question: Mapping[str, Any], answer: Message) -> tuple[str, ...]:
    """Codes of the account of the call and those above it, up to the login's own.

    Raises:
        _NotYours: it is nobody's call, or somebody else's, or a carrier's.
    """
    decision = answer["decision"]
    if decision["account"] is None:
        if question["user"] and decision["code"] == "ADDRESS_NOT_ALLOWED":
            return (question["account"],) if question["account"] else ()
        raise _NotYours("address")
    if decision["from_carrier"] is not None:
        raise _NotYours("address")
    try:
        return await find_chain(request.app[POOL], request[USER].scope, decision["account"])
    except NotFound:
        raise _NotYours("address") from None


def _view(request: web.Request, accounts: tuple[str, ...] | None) -> View:
    may = request[USER].may
    return View(may(Permission.CARRIERS_READ), may(Permission.CARRIER_COST_READ), may(Permission.MONEY_READ), accounts)


async def _page(
    request: web.Request,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    found: Explanation | None = None,
    *,
    status: int = 200,
) -> web.StreamResponse:
    context = {"form": Filled(values, errors), "inputs": INPUTS, "found": found, "authenticate": AUTHENTICATE}
    return await render.page(request, "explain/show", context, status=status)


def address_for(request: web.Request, record: Mapping[str, Any]) -> str:
    """The address that asks about the call of a record again; empty: where it came from is not to be seen."""
    user = request[USER]
    is_incoming = record["kind"] == "incoming"
    if not user.may(Permission.CALLS_EXPLAIN) or (is_incoming and not user.may(Permission.CARRIERS_READ)):
        return ""
    has_device = bool(record["device"]) or is_incoming or not record["account"]
    query = {
        "source": record["source_received"],
        "destination": record["destination_received"],
        "account": "" if is_incoming else record["account"],
        "address": _host(record["a_address"]) if has_device else "",
        "user": record["sip_user"],
        "codecs": ", ".join(record["codecs_offered"] or ()),
    }
    given = {name: str(value)[:MOST] for name, value in query.items() if value}
    return f"{request.app.router['explain.show'].url_for()}?{urlencode({'destination': '', **given})}"


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
