"""Money in and back, credit granted and reduced, and mistakes taken back by a second entry."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web
from pydantic import ValidationError

from admin import audit, render
from admin import format as formats
from admin.errors import NotFound
from admin.forms.field import Filled, faults, typed
from admin.forms.payment import INPUTS
from admin.keys import POOL, USER
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores import ledger
from admin.stores.accounts import Account
from admin.views.customer_frame import find, find_open, frame, place
from b2bua.account.payment import KINDS, METHODS, OPTIONS, Payment
from rating.errors import RatingError
from rating.ledger import Origin, Posting, post_payment, revert_entry


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show what was booked by hand, with an empty form."""
    account = await find(request, takes_own=True)
    return await _page(request, account, {"option": "add_credit" if account.is_demo else "add_balance"}, {})


async def add(request: web.Request) -> web.StreamResponse:
    """Book an entry, once per form that was shown."""
    account, user = await find_open(request), request[USER]
    fields = await request.post()
    values = typed(fields, INPUTS)
    try:
        form = Payment.model_validate({**values, "request_key": str(fields.get("request_key", ""))})
    except ValidationError as error:
        return await _page(request, account, values, faults(error))
    kind, reduces = KINDS[form.option]
    origin = Origin(
        form.paid_by if kind in {"payment", "refund"} else "", user.switched_by or user.login, form.request_key
    )
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            posting = await post_payment(
                connection,
                account.code,
                form.amount,
                kind=kind,
                reference=form.reference or None,
                note=form.note,
                reduces=reduces,
                expires_at=datetime.now(UTC) + form.lasts if form.lasts else None,
                origin=origin,
            )
            if not posting.repeated:
                new = {"option": form.option, "amount": str(posting.amount), "reference": form.reference}
                await audit.write(
                    connection, request, "payment.add", account.title, account_id=account.account_id, new=new
                )
    except RatingError as error:
        text = str(error)
        return await _page(request, account, values, {"amount": text[0].upper() + text[1:]})
    if posting.repeated and posting.amount.copy_abs() != form.amount:
        words = f"Reference {form.reference} was booked before with {formats.number(posting.amount, account.decimals)}"
        return await _page(request, account, values, {"reference": words})
    await render.flash(request, _told(account, posting, OPTIONS[form.option]))
    return render.see_other(place(request, account, "payment.list"))


def _told(account: Account, posting: Posting, what: str) -> str:
    if posting.repeated:
        return "It was booked before: nothing was booked now"
    amount = formats.money(posting.amount, account.currency, account.decimals)
    if posting.kind == "credit":
        return f"{what}: {amount}. Calls in progress can spend it"
    before, after = (formats.number(each, account.decimals) for each in (account.balance, posting.balance))
    return f"{what}: {amount}. Balance {before} → {after}"


async def reverse(request: web.Request) -> web.StreamResponse:
    """Take an entry back by a second one."""
    account, user = await find_open(request), request[USER]
    entry = request.match_info["entry"]
    if not (entry.isascii() and entry.isdigit() and len(entry) < 19):
        raise NotFound
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            posting = await revert_entry(
                connection,
                account.code,
                int(entry),
                note=f"takes back entry {entry}",
                by_whom=user.switched_by or user.login,
            )
            if not posting.repeated:
                new = {"reverts": int(entry), "amount": str(posting.amount)}
                await audit.write(
                    connection, request, "payment.reverse", account.title, account_id=account.account_id, new=new
                )
    except RatingError as error:
        text = str(error)
        return await _page(request, account, {}, {"": text[0].upper() + text[1:]})
    await render.flash(request, _told(account, posting, f"Entry {entry} taken back"))
    return render.see_other(place(request, account, "payment.list"))


async def _page(
    request: web.Request, account: Account, values: dict[str, str], errors: dict[str, str]
) -> web.StreamResponse:
    pool = request.app[POOL]
    options = dict(OPTIONS)
    if account.is_demo:
        options.pop("add_balance")
    page: dict[str, Any] = {
        **frame(request, account, "payments"),
        "page": await ledger.list_bookings(pool, account, page_request(request.query, ledger.PAYMENT_KEY)),
        "form": Filled(values, errors, {"option": options}),
        "inputs": INPUTS,
        "methods": METHODS,
        "request_key": str(uuid4()),
        "may_change": request[USER].may(Permission.PAYMENTS_WRITE)
        and account.status != "closed"
        and account.account_id != request[USER].account_id,
    }
    return await render.page(request, "payments/list", page, status=422 if errors else 200)
