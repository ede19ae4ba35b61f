"""Several customers at once: suspended, activated or given a tariff, all or none, and taken back."""

from typing import Any, Final

from aiohttp import web
from aiohttp_session import get_session

from admin import audit, render
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.permissions import Permission
from admin.stores import accounts
from admin.stores.accounts import Account
from admin.views.customer_frame import address
from admin.views.customers import MOST_CHOSEN
from b2bua.account.errors import Refused
from b2bua.account.registry import set_tariff
from rating.ledger import Connection

UNDO: Final = "undo_customers"
"""In the data of a session: what the last change of several customers was, with the values before."""
_STATUSES: Final = {"suspend": "suspended", "activate": "active"}


async def change(request: web.Request) -> web.StreamResponse:
    """Change the selected customers; what has the value already is left alone."""
    fields = await request.post()
    act, tariff = str(fields.get("act", "")), str(fields.get("tariff", ""))
    back = render.own_address(str(fields.get("next", "")), address(request, "customer.list"))
    codes = sorted({str(code) for code in fields.getall("code", [])})[:MOST_CHOSEN]
    if act not in {*_STATUSES, "tariff"} or (act == "tariff" and not request[USER].may(Permission.MONEY_READ)):
        raise NotFound
    if not codes or (act == "tariff" and not tariff):
        text = "Select customers first" if not codes else "Choose the tariff that the selected customers get"
        await render.flash(request, text, is_fault=True)
        return render.see_other(back)
    value = tariff if act == "tariff" else _STATUSES[act]
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            before = [await _change(connection, request, code, act, value) for code in codes]
    except Refused as error:
        await render.flash(request, f"Nothing was changed: {error}", is_fault=True)
        return render.see_other(back)
    changed = [[code, old] for code, old in zip(codes, before, strict=True) if old is not None]
    (await get_session(request))[UNDO] = {"act": act, "value": value, "before": changed}
    # Back to none cannot be done: a customer always has a tariff from then on.
    can_undo = changed and all(old for _code, old in changed)
    undo = address(request, "customer.undo") if can_undo else ""
    await render.flash(request, _told(len(changed), act, value), undo=undo)
    return render.see_other(back)


def _told(count: int, act: str, value: str) -> str:
    if not count:
        return "Nothing was changed: it is so already"
    who = "1 customer" if count == 1 else f"{count} customers"
    if act == "tariff":
        return f"{who} now on tariff {value}"
    return f"{who} {value if value == 'suspended' else 'activated'}"


async def _change(connection: Connection, request: web.Request, code: str, act: str, value: str) -> str | None:
    """Change one and return what it was before; None: it has the value already.

    Raises:
        NotFound: it is not in the scope of the login, or closed.
        Refused: it cannot have the tariff.
    """
    account = await accounts.find_customer(connection, request[USER].scope, code)
    if account.status == "closed":
        raise NotFound
    if act == "tariff":
        old = await set_tariff(connection, code, value) or ""
        action, name = "customer.set_tariff", "tariff"
    else:
        old, action, name = account.status, "customer.set_status", "status"
        await accounts.set_status(connection, account, value)
    if old == value:
        return None
    await _audit(connection, request, account, action, {name: old}, {name: value})
    return old


async def _audit(
    connection: Connection,
    request: web.Request,
    account: Account,
    action: str,
    old: dict[str, Any],
    new: dict[str, Any],
) -> None:
    await audit.write(connection, request, action, account.title, account_id=account.account_id, old=old, new=new)


async def undo(request: web.Request) -> web.StreamResponse:
    """Give the customers of the last change their values back, but for those that were changed again since."""
    back = render.own_address(str((await request.post()).get("next", "")), address(request, "customer.list"))
    session = await get_session(request)
    last: dict[str, Any] = session.pop(UNDO, {})
    taken_back = 0
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            for code, old in last.get("before", []):
                if await _value(connection, request, code, last["act"]) == last["value"]:
                    taken_back += await _change(connection, request, code, last["act"], old) is not None
    except Refused as error:
        await render.flash(request, f"Nothing was taken back: {error}", is_fault=True)
        return render.see_other(back)
    who = "1 customer is" if taken_back == 1 else f"{taken_back} customers are"
    await render.flash(request, f"{who} as before" if taken_back else "There is nothing to take back")
    return render.see_other(back)


async def _value(connection: Connection, request: web.Request, code: str, act: str) -> str:
    account = await accounts.find_customer(connection, request[USER].scope, code)
    if act != "tariff":
        return account.status
    return str((await accounts.read_form(connection, account))["tariff"])
