"""Call records: the list and one record."""

from datetime import UTC
from typing import Final
from uuid import UUID

from aiohttp import web

from admin import export, render, signalling
from admin.errors import NotFound
from admin.keys import POOL, USER
from admin.ladder import make_ladder
from admin.paging import page_request
from admin.permissions import Permission
from admin.stores.record_filter import FIELDS, RecordFilter
from admin.stores.records import KEY, Record, all_records, find_record, list_records
from admin.views import explain

HEADS: Final = (
    *("Time (UTC)", "Call", "Account", "Name", "Direction", "Device", "From", "To", "Caller's address"),
    *("Code", "Refused by", "SIP", "Q.850", "Ended by", "Calls", "Post-dial delay (s)", "Duration (s)"),
)
HEADS_OF_AUDIO: Final = (
    *(
        "Packets from caller",
        "Lost from caller",
        "Jitter from caller (ms)",
        "Round trip from caller (ms)",
        "MOS from caller",
    ),
    *("Packets to caller", "Lost to caller", "Jitter to caller (ms)", "Round trip to caller (ms)", "MOS to caller"),
    "Audio",
)
"""Of what the caller's side sent, and the callee's; empty: nobody measured it."""
HEADS_OF_MONEY: Final = ("Price", "Currency")
HEADS_OF_CARRIERS: Final = (*("Attempt", "Last", "Carrier", "Gateway", "From, sent", "To, sent", "Carrier's address"),)
ON_PAPER: Final = {
    **{"Time (UTC)": 31, "Account": 22, "Direction": 16, "From": 24, "To": 24, "Code": 29, "SIP": 8, "Q.850": 11},
    **{"Calls": 9, "Duration (s)": 18, "Price": 18, "Currency": 15, "Carrier": 24, "Gateway": 24},
}
"""Columns of a PDF, which has no room for more, with their widths."""
FORMATS: Final = {**export.NOTES, "pdf": f"{export.NOTES['pdf']}, the main columns"}


def _chosen(request: web.Request) -> RecordFilter:
    """What the address narrows the records to.

    Raises:
        NotFound: it asks for something of the carriers' side, which this login does not see.
    """
    chosen = RecordFilter.read(request.query, request[USER].zone)
    if chosen.names_carriers and not request[USER].may(Permission.CARRIERS_READ):
        raise NotFound
    return chosen


async def show_list(request: web.Request) -> web.StreamResponse:
    """Show a page of the records in scope, newest first."""
    user, chosen = request[USER], _chosen(request)
    page = await list_records(request.app[POOL], user.scope, chosen, page_request(request.query, KEY))
    sees_carriers = user.may(Permission.CARRIERS_READ)
    context = {
        "page": page,
        "filter": chosen,
        "fields": {name: each for name, each in FIELDS.items() if sees_carriers or not each.is_of_carrier},
        "codes": list(signalling.CODES)[1:],
        "formats": FORMATS,
    }
    return await render.page(request, "call_records/list", context)


async def write_file(request: web.Request) -> web.StreamResponse:
    """Send everything that is listed, all pages, as a file."""
    kind = request.query.get("format", "csv")
    if kind not in FORMATS:
        raise NotFound
    user, chosen = request[USER], _chosen(request)
    sees_money, sees_carriers = user.may(Permission.MONEY_READ), user.may(Permission.CARRIERS_READ)
    heads = [
        *HEADS,
        *HEADS_OF_AUDIO,
        *(HEADS_OF_MONEY if sees_money else ()),
        *(HEADS_OF_CARRIERS if sees_carriers else ()),
    ]
    shown = [place for place, head in enumerate(heads) if kind != "pdf" or head in ON_PAPER]
    columns = [heads[place] for place in shown]
    sheet = export.Sheet("Call records", "call-records", columns, [ON_PAPER.get(head, 20) for head in columns])

    async def rows() -> export.Rows:
        async for record in all_records(request.app[POOL], user.scope, chosen):
            row = _row(record, sees_money=sees_money, sees_carriers=sees_carriers)
            yield [row[place] for place in shown]

    return await export.send(request, kind, sheet, rows(), has_times=True)


def _row(record: Record, *, sees_money: bool, sees_carriers: bool) -> list[export.Value]:
    money: list[export.Value] = [record.gross, record.currency]
    carriers: list[export.Value] = [
        *(record.attempt, "yes" if record.is_last else "no", record.carrier, record.gateway),
        *(record.source_sent, record.destination_sent, record.b_address),
    ]
    is_caller_shown = sees_carriers or record.kind != "incoming"
    return [
        f"{record.received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        str(record.call_id),
        *(record.account, record.account_name, record.kind, record.device, record.source, record.destination),
        record.a_address if is_caller_shown else "",
        *(record.code, record.refused_by, record.sip_code, record.q850_cause, record.ended_by, record.calls),
        *(record.post_dial_delay, record.duration),
        *(record.a_packets, record.a_lost, record.a_jitter_ms, record.a_round_trip_ms, record.a_mos),
        *(record.b_packets, record.b_lost, record.b_jitter_ms, record.b_round_trip_ms, record.b_mos),
        record.audio,
        *(money if sees_money else ()),
        *(carriers if sees_carriers else ()),
    ]


async def show_detail(request: web.Request) -> web.StreamResponse:
    """Show one record with its charges and messages."""
    user = request[USER]
    try:
        call_id, attempt = UUID(request.match_info["call_id"]), int(request.match_info["attempt"])
    except ValueError:
        raise NotFound from None
    record = await find_record(
        request.app[POOL],
        user.scope,
        call_id,
        attempt,
        money=user.may(Permission.MONEY_READ),
        carrier_cost=user.may(Permission.CARRIER_COST_READ),
        carriers=user.may(Permission.CARRIERS_READ),
    )
    context = {
        "record": record.fields,
        "charges": record.charges,
        "attempts": record.attempts,
        "ladder": make_ladder(record.messages),
        "explain_address": explain.address_for(request, record.fields),
    }
    return await render.page(request, "call_records/detail", context)
