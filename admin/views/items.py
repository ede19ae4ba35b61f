"""The tabs of a customer: what it has of a kind, the form of one entry in place, and the tester of number rules."""

from collections import Counter
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup
from pydantic import ValidationError

from admin import audit, qr_code, render
from admin.errors import NotFound
from admin.forms.field import Filled, faults, typed
from admin.forms.tab import TABS, Tab
from admin.keys import CONTROL, POOL, SETTINGS, USER
from admin.paging import page_request
from admin.permissions import STAFF, Permission
from admin.rules import Trial, try_number
from admin.stores import items
from admin.stores.accounts import Account, own_switches
from admin.views.customer_frame import address, find, find_open, frame, is_shown
from b2bua.account.device import IPDevice, ha1_md5, make_secret
from b2bua.account.errors import Refused
from b2bua.account.field import Form
from b2bua.control.messages import REGISTRATIONS_LIMIT


def _tab(request: web.Request, account: Account) -> Tab:
    tab = TABS.get(request.match_info["tab"])
    if tab is None or not is_shown(request, account, tab):
        raise NotFound
    return tab


async def _may_change(request: web.Request, account: Account, tab: Tab) -> bool:
    """Whether the login may change a tab: a reseller what its self-care switches let it change below it."""
    user = request[USER]
    if not user.may(Permission.CONFIGURATION_WRITE) or account.status == "closed":
        return False
    if user.role != "reseller" or not tab.own or user.account_id is None:
        return True
    return tab.own in await own_switches(request.app[POOL], user.account_id)


async def _changeable(request: web.Request) -> tuple[Account, Tab]:
    account = await find_open(request)
    tab = _tab(request, account)
    if not await _may_change(request, account, tab):
        raise NotFound
    return account, tab


async def _item(request: web.Request, account: Account, tab: Tab) -> dict[str, Any]:
    text = request.match_info["item"]
    row = None
    if text.isascii() and text.isdigit() and len(text) < 19:
        row = await items.find_item(request.app[POOL], account, tab.name, int(text))
    if row is None:
        raise NotFound
    return row


def _own_values(request: web.Request, values: dict[str, str], is_trusted: str) -> dict[str, str]:
    """Whom we trust to name the caller is not for a customer to say."""
    if "is_trusted" in values and not request[USER].may(Permission.CUSTOMERS_READ):
        values["is_trusted"] = is_trusted
    return values


def _refuse_wide(request: web.Request, form: Form) -> None:
    """Only the operator claims large networks: what comes from there is that account's, and is never banned."""
    if not isinstance(form, IPDevice) or request[USER].role in STAFF:
        return
    network = ip_network(form.address)
    if network.prefixlen < (24 if network.version == 4 else 48):
        raise Refused(
            "address", "IP address must be one address or a network no larger than 192.0.2.0/24 or 2001:db8::/48"
        )


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show what there is, with an empty form."""
    account = await find(request)
    tab = _tab(request, account)
    return await _page(request, account, tab, _start(tab), {})


async def add(request: web.Request) -> web.StreamResponse:
    """Add an entry; the secret of a SIP user is shown in the answer, and never again."""
    account, tab = await _changeable(request)
    values = _own_values(request, typed(await request.post(), tab.inputs), "no")
    secret: Mapping[str, str | Markup] = {}
    try:
        form = tab.form.model_validate(values)
        _refuse_wide(request, form)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            if tab.name == "sip-users":
                secret = await _make_secret(request, values["username"].strip())
            added = await items.STORES[tab.name].add(connection, account, form, {"ha1_md5": secret.get("ha1_md5")})
            row = await items.find_item(connection, account, tab.name, added)
            await _audit(connection, request, account, tab, "add", new=row)
    except (ValidationError, Refused) as error:
        return await _page(request, account, tab, values, faults(error))
    if secret:
        return await _page(request, account, tab, _start(tab), {}, secret=secret)
    await render.flash(request, f"{_title(tab, row or {})} added: it counts from the next call on")
    return render.see_other(address(request, "item.list", code=account.code, tab=tab.name))


async def edit_form(request: web.Request) -> web.StreamResponse:
    """Show one entry in its form."""
    account = await find(request)
    tab = _tab(request, account)
    row = await _item(request, account, tab)
    return await _page(request, account, tab, _texts(row), {}, row=row)


async def change(request: web.Request) -> web.StreamResponse:
    """Store a changed entry."""
    account, tab = await _changeable(request)
    row = await _item(request, account, tab)
    values = _own_values(request, typed(await request.post(), tab.inputs), _texts(row).get("is_trusted", "no"))
    if tab.name == "sip-users":
        values["username"] = row["username"]  # the hash of its secret holds the name
    try:
        form = tab.form.model_validate(values)
        _refuse_wide(request, form)
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await items.STORES[tab.name].change(connection, account, row, form)
            now = await items.find_item(connection, account, tab.name, row["id"]) or {}
            changed = [name for name in row if row[name] != now.get(name)]
            if changed:
                old, new = ({name: state.get(name) for name in changed} for state in (row, now))
                await _audit(connection, request, account, tab, "change", old=old, new=new, subject=row)
    except (ValidationError, Refused) as error:
        return await _page(request, account, tab, values, faults(error), row=row)
    await render.flash(request, f"{_title(tab, now)} saved" if changed else "Nothing was changed")
    return render.see_other(address(request, "item.list", code=account.code, tab=tab.name))


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove an entry."""
    account, tab = await _changeable(request)
    row = await _item(request, account, tab)
    try:
        async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
            await items.STORES[tab.name].remove(connection, account, row)
            await _audit(connection, request, account, tab, "remove", old=row)
    except Refused as error:
        return await _page(request, account, tab, _start(tab), {"": str(error)})
    text = f"{_title(tab, row)} removed"
    if tab.kind and tab.kind != "cli" and not await items.rule_texts(request.app[POOL], account, tab.kind):
        text += ": no rule is left, so no such call is let through"
    await render.flash(request, text)
    return render.see_other(address(request, "item.list", code=account.code, tab=tab.name))


async def new_secret(request: web.Request) -> web.StreamResponse:
    """Give a SIP user another secret and show it once."""
    account, tab = await _changeable(request)
    if tab.name != "sip-users":
        raise NotFound
    row = await _item(request, account, tab)
    secret = await _make_secret(request, row["username"])
    async with request.app[POOL].acquire(timeout=5) as connection, connection.transaction():
        await items.set_secret(connection, row, secret["ha1_md5"])
        hidden = {"ha1_md5": ""}
        await _audit(connection, request, account, tab, "new_secret", old=hidden, new=hidden, subject=row)
    return await _page(request, account, tab, _start(tab), {}, secret=secret)


async def try_rules(request: web.Request) -> web.StreamResponse:
    """Say what becomes of a number, while it is typed."""
    account = await find(request)
    tab = _tab(request, account)
    if not tab.kind:
        raise NotFound
    text = render.part(request, "items/_trial", {"trial": await _trial(request, account, tab)})
    return web.Response(text=text, content_type="text/html")


async def _trial(request: web.Request, account: Account, tab: Tab) -> Trial | None:
    number = request.query.get("number", "").strip()[:64]
    destination = request.query.get("destination", "").strip()[:64]
    if not tab.kind or not number or (tab.kind == "cli" and not destination):
        return None
    texts = await items.rule_texts(request.app[POOL], account, tab.kind)
    return try_number(texts, tab.kind, number, destination)


async def _make_secret(request: web.Request, username: str) -> dict[str, str | Markup]:
    settings = request.app[SETTINGS]
    realm: str | None = await request.app[POOL].fetchval("SELECT value FROM system_value WHERE name = 'realm'")
    realm, secret = realm or settings.sip.realm, make_secret()
    server = settings.sip.advertise or (request.url.host or "")
    return {
        "username": username,
        "realm": realm,
        "secret": secret,
        "server": server,
        "drawing": qr_code.svg(_telephone_address(username, secret, server)),
        "ha1_md5": ha1_md5(username, realm, secret),
    }


def _telephone_address(username: str, secret: str, server: str) -> str:
    """What a telephone reads to set itself up: a SIP URI with the password in it (RFC 3261 §19.1.1)."""
    host = f"[{server}]" if ":" in server and not server.startswith("[") and server.count(":") > 1 else server
    return f"sip:{quote(username, safe='')}:{quote(secret, safe='')}@{host}"


async def _registered(request: web.Request, account: Account) -> Counter[int] | None:
    """How many telephones of each SIP user are there now; None when they are more than one answer holds."""
    total, found = await request.app[CONTROL].registrations([account.account_id], REGISTRATIONS_LIMIT)
    return Counter(each["sip_user_id"] for each in found) if total <= len(found) else None


async def _audit(
    connection: Any,  # noqa: ANN401
    request: web.Request,
    account: Account,
    tab: Tab,
    act: str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    subject: Mapping[str, Any] | None = None,
) -> None:
    what = f"{_title(tab, subject or old or new or {})} of {account.code}"
    await audit.write(connection, request, f"item.{act}", what, account_id=account.account_id, old=old, new=new)


def _title(tab: Tab, row: Mapping[str, Any]) -> str:
    name = row.get(tab.columns[0].name, "")
    return f"{tab.one[0].upper()}{tab.one[1:]} {name}"


def _start(tab: Tab) -> dict[str, str]:
    usual = {"status": "active", "transport": "udp", "port": "5060", "pattern": "%"}
    return {each.name: usual.get(each.name, "") for each in tab.inputs}


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: "" if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)
        for name, value in row.items()
    }


async def _page(
    request: web.Request,
    account: Account,
    tab: Tab,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    *,
    row: Mapping[str, Any] | None = None,
    secret: Mapping[str, str | Markup] | None = None,
) -> web.StreamResponse:
    pool = request.app[POOL]
    choices = {}
    if tab.name == "dialing-routes":
        choices["route"] = {name: name for name in await items.permitted_routes(pool, account)}
        if row is not None:
            choices["route"].setdefault(row["route"], row["route"])
    is_on = True
    if tab.setting:
        is_on = bool(await pool.fetchval("SELECT cli_by_destination FROM account WHERE id = $1", account.account_id))
    hidden = {"username"} if row is not None else set()
    if not request[USER].may(Permission.CUSTOMERS_READ):
        hidden.add("is_trusted")
    inputs = [each for each in tab.inputs if each.name not in hidden]
    page = {
        **frame(request, account, tab.name),
        "tab": tab,
        "registered": await _registered(request, account) if tab.name == "sip-users" else {},
        "inputs": inputs,
        "page": await items.list_items(pool, account, tab.name, page_request(request.query, (int,))),
        "form": Filled(values, errors, choices),
        "row": row,
        "secret": secret,
        "is_on": is_on,
        "trial": await _trial(request, account, tab),
        "query": request.query,
        "may_change": await _may_change(request, account, tab),
    }
    return await render.page(request, "items/list", page, status=422 if errors else 200)
