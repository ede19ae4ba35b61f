"""Calls that a dead predecessor left up: recorded as WORKER_LOST and ended on both legs (docs/behaviour.md §7).

Their sound, which never passed through the worker, may still flow between the two ends; so they end when the successor
says so, and no later than their deadline.
"""

import asyncio
import time
from typing import Any, Final

import structlog

from b2bua.call.leg import next_hop
from b2bua.sip.dialog import Dialog
from b2bua.sip.reason import format_reason
from b2bua.transport.endpoint import Endpoint
from cdr.journal import JournalWriter
from cdr.record import AttemptRecord, Level, finish
from media.client import MediaClient
from media.errors import MediaError
from media.report import CallReport

log = structlog.get_logger()

_CSEQ_GAP: Final = 1 << 20
_BATCH: Final = 100
"""Calls ended in one turn, so that a burst of BYEs fits into the sockets' buffers."""


def record_lost(journal: JournalWriter, lines: list[dict[str, Any]]) -> None:
    """Write the records of calls that were up; from then on they are over, whatever happens."""
    now = time.time()
    for line in lines:
        record = AttemptRecord(**line["record"])
        record.ended_by, record.reason, record.q850_cause = "system", "WORKER_LOST", 41
        levels = [Level.from_json(level) for level in line["levels"]]
        charges = finish(record, levels, min(now, line["deadline"]))
        journal.append({"kind": "cdr", "record": record, "charges": charges})
    journal.flush(now)


async def end_lost(endpoint: Endpoint, lines: list[dict[str, Any]], media: MediaClient | None = None) -> None:
    """Send BYE on both legs of calls that were up, and let engines forget them."""
    for start in range(0, len(lines), _BATCH):
        for line in lines[start : start + _BATCH]:
            for data in line["dialogs"]:
                _send_bye(endpoint, Dialog.from_record(data))
            for name in line.get("media", ()):
                if media is not None:
                    media.delete(name, _whatever)
        endpoint.end_of_turn()
        await asyncio.sleep(0.02)
    if lines:
        log.warning("calls of a lost worker ended", calls=len(lines))


def _send_bye(endpoint: Endpoint, dialog: Dialog) -> None:
    last = dialog.flow
    flow = endpoint.flow_to(last.transport, last.host, last.port, trust=last.trust, prefers_tcp=last.large is not None)
    if flow is None:
        return
    # Later requests of the dialog are not on record; numbers may be left out (RFC 3261 §12.2.2).
    dialog.local_cseq += _CSEQ_GAP
    bye = dialog.request("BYE")
    bye.headers["reason"] = [format_reason(41, "WORKER_LOST")]
    endpoint.transactions.send_request(bye, next_hop(endpoint, flow, bye), endpoint.now(), None)


def _whatever(_: CallReport | MediaError) -> None:
    """What it says of a call whose record is written changes nothing."""
