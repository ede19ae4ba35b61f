"""Requests and answers of the control interface.

One request is one JSON object on one line, `{"verb": …, …arguments}`; its answer is one line,
`{"ok": true, …}` or `{"ok": false, "error": "…"}`. A worker's socket is `<data directory>/run/<worker>.sock`.

Verbs of a SIP worker:

    ping                                        -> worker, instance, started_at, revision, calls, draining
    calls     account_ids?, call_id?, limit?    -> total, calls: [live call, …]  (oldest first)
    hangup    call_id                           -> ended: 0 or 1
    hangup    account_id                        -> ended: how many
    trace     name                              -> trace: {call_id, received_at, messages} or null
    registrations  account_ids?, limit?, …      -> total, registrations: [registration, …]  (by name)
    remove_registration  sip_user_id, contact   -> removed: 0 or 1
    unregister     sip_user_id                  -> removed: how many contacts the worker forgot
    bans      search?, limit?                   -> total, bans: [ban, …]  (the latest first)
    ban       address, seconds, by?, reason?    -> address: as it is banned everywhere
    unban     address                           -> lifted: 0 or 1
    carrier_registrations                       -> worker, registrations: [carrier registration, …]  (by gateway)
    metrics                                     -> samples: [[name, {label: value}, number], …]
    drain     seconds                           -> calls: how many are still up
    gateways                                    -> down: {gateway id: seconds for which it has been down},
                                                   servers: {name of a gateway that has a host name: [where it is]},
                                                   sessions: {gateway id: how many this worker has taken}
    quality   call_ids                          -> calls: {call id: quality} of those that an engine carries now
    play      call_id, side, prompt, times?     -> seconds: how long it lasts; null: until it is stopped (times 0)
    stop_playing   call_id, side                -> (nothing)
    engines                                     -> engines: [media engine, …]
    explain   source, destination, …            -> worker, draining, revision, at, steps, candidates, decision, …

A live call is an object with: call_id (UUID), worker, account (code), account_id, account_chain ([ids], the account
first), device, source, destination (as received), carrier, gateway (name), attempt, state (`trying`, `ringing`,
`answered`), received_at and answered_at (seconds since 1970, UTC; answered_at may be null).

A quality is an object with: engine (name), audio (`one-way`, `silent`, or empty), and of what the caller's side (`a`)
and the callee's (`b`) sent: packets, lost, jitter_ms, round_trip_ms, mos (1 to 4.5), in_kernel. What nobody measured is
null, never 0. Engines are asked when somebody asks, of at most 100 calls at a time.

A media engine is an object with: name, up, reason (why it is not), and while it answers sessions, ports,
kernel_streams, plays (prompts and tones), packets_per_second, path (`kernel`, or why user space is used); null: it does
not say.

`explain` asks what would become of a call, and changes nothing. `source` and `destination` are the numbers as an
INVITE would have them; `account` (code), `address` (IP) and `user` (a SIP user that has proved its secret) say whose it
is: at least one of them; an account alone calls without a device. `route` (name) instead asks what that route would
choose for anybody: no account's rules, prices or loss guard count. `codecs` is a list of names, `at` a time in ISO 8601
with its zone (absent: now). Amounts in the answer are texts with all their digits. It has:

    revision, at, reference_seconds             the configuration, the moment, the seconds that costs are compared for
    steps        check, looked_at, outcome      each check in its order; `ok`, or code and object
    candidates   carrier, gateways: [{name, state: `up`, `down` or `inactive`}], prefix, priority, weight, number (as
                 sent), cost, price, margin, currency, order (places among the attempts), dropped (why; empty: tried).
                 Amounts are those of the reference call, in the account's currency; null: not known
    decision     code (empty: allowed; AUTHENTICATE: a challenge), object, sip_status, q850_cause, kind, account,
                 device, did, from_carrier, from_gateway, route, source, destination, sent_destination, max_duration
                 (seconds; null: never cut, or not come to), levels, attempts, limits
    levels       account, kind, reference_price, and of the rate: tariff, currency, prefix, prefix_name,
                 rate_per_minute, connection_charge, addition, multiplier, minimum, resolution, grace (seconds),
                 blocks_mode
    attempts     in their order: kind (`gateway`, `device`, `user`, `forward`), gateway, carrier, host, port, transport,
                 source, destination, codecs (null: any), max_duration, rate (as a level's; null: none)
    limits       name, max_sessions, cps: what a call takes of, which is not looked at

`trace` takes the id of a call that is up or just over, or the SIP Call-ID of one of its legs; `cdr.trace` says what its
messages are.

A registration is an object with: username, sip_user_id, account (code), account_id, contact (URI), source (host and
port), transport, q, user_agent, path ([route]), registered_at, expires_at (seconds since 1970, UTC), worker (that the
REGISTER came to: each worker lists its own), behind_nat, keep_alive (what keeps the way to it open: `options`, `crlf`,
`ping`, or empty), last_seen (when it answered last; seconds since 1970, null: never), unanswered (OPTIONS in a row).
`search` narrows the list to what has a text in its username, account, contact, source or user_agent; `after` or
`before`, a pair of username and contact, is where it goes on or ends; total is of what matches.

`unregister` is for whoever has removed contacts from the live store. `remove_registration` removes one from there, and
has to be said to every worker, since each remembers where registrations came from.

A ban is an object with: address, since and until (seconds since 1970, UTC), by and reason. An address `user@address`
is a user that is refused where the address itself cannot be banned. `search` is a text in the address; of more bans
than the limit, those that last longest are told. One worker does all three for all workers.

A carrier registration, ours at a gateway, is an object with: gateway (name), gateway_id, user, state (`registered`,
`trying`, `failed`, or `elsewhere`: another worker has it), registered_until and next_at (seconds since 1970, UTC, or
null), reason (why the last request failed; empty: it did not).
"""

from typing import Any, Final

Message = dict[str, Any]

SIZE_LIMIT: Final = 8 * 1024 * 1024
"""Longest line either side accepts, in bytes."""

CALLS_LIMIT: Final = 1000
"""Most live calls in one answer."""


REGISTRATIONS_LIMIT: Final = 1000
"""Most registrations in one answer."""

QUALITY_LIMIT: Final = 100
"""Most calls whose quality is told at a time."""

BANS_LIMIT: Final = 1000
"""Most bans in one answer."""


class ControlError(Exception):
    """The worker did not answer, or answered that it could not do what was asked."""


class Refused(ControlError):
    """The worker answered that it could not do what was asked.

    Args:
        worker: Its name.
        reason: What it said.
    """

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(f"worker {worker}: {reason}")
        self.reason = reason
