"""Suspending, activating and deleting a customer or reseller."""

from aiohttp import web

from admin import audit, render
from admin.errors import NotFound
from admin.forms.field import Filled
from admin.keys import CONTROL, POOL
from admin.stores import accounts
from admin.stores.accounts import Account
from admin.views.customer_frame import address, find_open, frame, place
from rating.ledger import Connection


async def set_status(request: web.Request) -> web.StreamResponse:
    """Suspend or activate; the workers end the calls of who is suspended and of those below, if the setting says so."""
    account = await find_open(request)
    status = str((await request.post()).get("status", ""))
    if status not in {"active", "suspended"}:
        raise NotFound
    if status != account.status:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await accounts.set_status(connection, account, status)
            await audit.write(
                connection,
                request,
                f"{account.kind}.set_status",
                account.title,
                account_id=account.account_id,
                old={"status": account.status},
                new={"status": status},
            )
    await render.flash(request, f"{account.name} is {status}")
    return render.see_other(place(request, account, "customer.details"))


async def delete_form(request: web.Request) -> web.StreamResponse:
    """Ask for the name, or say what stands against it."""
    account = await find_open(request)
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await _reasons(request, connection, account)
    return await _delete_form(request, account, reasons, {})


async def _reasons(request: web.Request, connection: Connection, account: Account) -> list[str]:
    reasons = await accounts.reasons_against_deletion(connection, account)
    total, _calls = await request.app[CONTROL].calls([account.account_id], limit=1)
    if total:
        calls = "1 call" if total == 1 else f"{total} calls"
        reasons.insert(0, f"It has {calls} in progress: suspend it, or hang up under Live calls")
    return reasons


async def _delete_form(
    request: web.Request, account: Account, reasons: list[str], errors: dict[str, str]
) -> web.StreamResponse:
    page = {**frame(request, account, ""), "reasons": reasons, "form": Filled({}, errors)}
    return await render.page(request, "customers/delete", page, status=422 if errors or reasons else 200)


async def delete(request: web.Request) -> web.StreamResponse:
    """Delete an account whose name was typed and that nothing is open of."""
    account = await find_open(request)
    typed = str((await request.post()).get("typed_name", "")).strip()
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        reasons = await _reasons(request, connection, account)
        if typed != account.name and not reasons:
            return await _delete_form(request, account, [], {"typed_name": f"Type the name as it is: {account.name}"})
        if not reasons:
            is_gone = await accounts.delete(connection, account)
            old = {"name": account.name, "company": account.company, "status": account.status}
            await audit.write(
                connection,
                request,
                f"{account.kind}.delete",
                account.title,
                account_id=account.account_id,
                old=old,
                new=None if is_gone else {"status": "closed"},
            )
    if reasons:
        return await _delete_form(request, account, reasons, {})
    await render.flash(request, f"{account.kind.capitalize()} {account.name} ({account.code}) deleted")
    return render.see_other(address(request, f"{account.kind}.list"))
