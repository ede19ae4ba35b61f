"""Requests and answers of the control interface.

One request is one JSON object on one line, `{"verb": …, …arguments}`; its answer is one line,
`{"ok": true, …}` or `{"ok": false, "error": "…"}`. A worker's socket is `<data directory>/run/<worker>.sock`.

Verbs of a SIP worker:

    ping                                        -> worker, instance, started_at, revision, calls, draining
    calls     account_ids?, limit?              -> total, calls: [live call, …]  (oldest first)
    hangup    call_id                           -> ended: 0 or 1
    hangup    account_id                        -> ended: how many
    metrics                                     -> samples: [[name, {label: value}, number], …]
    drain     seconds                           -> calls: how many are still up

A live call is an object with: call_id (UUID), worker, account (code), account_id, account_chain ([ids], the account
first), device, source, destination (as received), carrier, gateway (name), attempt, state (`trying`, `ringing`,
`answered`), received_at and answered_at (seconds since 1970, UTC; answered_at may be null).
"""

from typing import Any, Final

Message = dict[str, Any]

SIZE_LIMIT: Final = 8 * 1024 * 1024
"""Longest line either side accepts, in bytes."""

CALLS_LIMIT: Final = 1000
"""Most live calls in one answer."""


class ControlError(Exception):
    """The worker did not answer, or answered that it could not do what was asked."""
