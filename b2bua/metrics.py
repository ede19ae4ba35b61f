"""Every metric of a SIP worker in one table: name -> what it says. Names that end in `_total` are counters."""

import resource
from typing import Final

METRICS: Final = {
    "softswitch_calls": "Calls in progress",
    "softswitch_calls_received_total": "INVITEs that began a call, refused ones included",
    "softswitch_attempts_total": "Finished attempts by the code of their record",
    "softswitch_registrations": "Contacts of SIP users that this worker knows of",
    "softswitch_nat_keep_alives_total": "Messages that keep the way to a registered telephone open",
    "softswitch_subscriptions": "Subscriptions of SIP users to their mailboxes",
    "softswitch_transactions": "SIP transactions, lingering ones included",
    "softswitch_dialogs": "Dialogs of answered calls, two each",
    "softswitch_timers": "Deadlines that calls, gateways and registrations wait for, those of transactions aside",
    "softswitch_sip_malformed_total": "Messages that could not be parsed",
    "softswitch_sip_retransmitted_total": "Messages sent again",
    "softswitch_sip_banned_total": "Messages dropped since their source is banned",
    "softswitch_bans": "Sources that are banned",
    "softswitch_live_up": "Whether the live store answers",
    "softswitch_live_operations_total": "Operations sent to the live store",
    "softswitch_sessions_taken": "Sessions that this worker holds in the live store, summed over all levels",
    "softswitch_snapshot_revision": "Revision of the configuration in use",
    "softswitch_journal_bytes": "Size of the journal on disk",
    "softswitch_journal_waiting_bytes": "What of it is not in the database yet",
    "softswitch_traces_total": "Calls whose messages were written",
    "softswitch_traces_dropped_total": "Calls whose messages there was no room for",
    "softswitch_hep_sent_total": "Copies of messages sent to the capture server",
    "softswitch_hep_dropped_total": "Copies that it did not take, or was not there for",
    "softswitch_dns_questions_total": "Questions put to DNS, for gateways that have a name",
    "softswitch_dns_failures_total": "Those of them without an answer",
    "softswitch_calls_anchored": "Calls whose media goes through an engine",
    "softswitch_media_engine_up": "Whether a media engine answers",
    "softswitch_cpu_seconds_total": "Processor time of the worker, user and system",
    "softswitch_memory_bytes": "Most resident memory of the worker so far",
}

Sample = tuple[str, dict[str, str], float]


def process_samples() -> list[Sample]:
    """Processor time and memory of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return [
        ("softswitch_cpu_seconds_total", {}, usage.ru_utime + usage.ru_stime),
        ("softswitch_memory_bytes", {}, float(usage.ru_maxrss * 1024)),
    ]
