"""The records of a call: what is noted on the way, what is charged in the end, and what the journal gets of it."""

import time
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from b2bua.call.disposition import Disposition
from b2bua.call.taken import Taken
from b2bua.policy.decision import Attempt, Decision
from cdr.record import CARRIER_LEVEL, AttemptRecord, Level, finish
from rating.funds import micros_up

if TYPE_CHECKING:
    from b2bua.call.driver import CallDriver


class Recording:
    """The record of one call's attempt under way, and of those before it.

    Args:
        driver: What all calls share.
        decision: What was decided.
        taken: What is held for it.
        record: Facts of the call that every attempt's record begins with.
    """

    __slots__ = ("_decision", "_driver", "_levels", "_taken", "record")

    def __init__(self, driver: "CallDriver", decision: Decision, taken: Taken, record: AttemptRecord) -> None:
        self._driver = driver
        self._decision = decision
        self._taken = taken
        self._levels: list[Level] = []
        self.record = record
        """Of the attempt under way."""

    def begin_attempt(self, attempt: int) -> None:
        """An attempt begins, the first one being 1."""
        if self.record.code:
            # The attempt before has its record; this one gets its own, whatever comes of it.
            self.record = self._driver.new_record(self.record, attempt)

    def ringing(self) -> None:
        """It rings."""
        record = self.record
        if record.ringing_at is not None:
            return  # it has rung before it was sent on
        record.ringing_at = time.time()
        record.post_dial_delay = round(record.ringing_at - record.received_at, 3)

    def answered(self, dialogs: list[dict[str, Any]], attempt: Attempt, media: list[str]) -> None:
        """It is answered: the journal gets what lets a successor of this process end the call."""
        record = self.record
        record.answered_at = time.time()
        if record.post_dial_delay is None:
            record.post_dial_delay = round(record.answered_at - record.received_at, 3)
        record.sip_code, record.code, record.is_last = 200, "ANSWERED", True
        record.media_mode = "anchored" if media else "bypass"
        self._driver.journal.append(self.answered_line(dialogs, attempt, media))

    def answered_line(self, dialogs: list[dict[str, Any]], attempt: Attempt, media: list[str]) -> dict[str, Any]:
        """The journal line of a call that is up.

        Args:
            dialogs: The caller's and the callee's.
            attempt: The one that was answered.
            media: Names that engines know it by; none: its media goes from end to end.
        """
        return {
            "kind": "answered",
            "record": self.record,
            "levels": [level.to_json() for level in self._charged(attempt)],
            "dialogs": dialogs,
            "deadline": self.deadline(attempt),
            **({"media": media} if media else {}),
        }

    def note_dialogs(self, dialogs: list[dict[str, Any]], media: list[str]) -> None:
        """Let a successor of this process end the dialogs that an answered call has now, and its calls of engines."""
        line = {"kind": "dialogs", "call_id": self.record.call_id, "attempt": self.record.attempt}
        self._driver.journal.append({**line, "dialogs": dialogs, **({"media": media} if media else {})})

    def failed(self, disposition: Disposition, *, is_last: bool, ended_by: str) -> None:
        """The attempt, or the call before any, has failed."""
        record = self.record
        record.is_last = is_last
        record.sip_code = record.sip_code or disposition.status
        record.q850_cause = disposition.cause
        record.code, record.object = disposition.code, disposition.object
        record.ended_by = ended_by
        self._write([], time.time())

    def ended(self, attempt: Attempt, cause: int, ended_by: str, reason: str) -> None:
        """The answered call is over: it is priced."""
        record = self.record
        record.q850_cause = cause
        record.ended_by, record.reason = ended_by, reason
        # docs/behaviour.md §5: the record's end is the deadline, however late the timer was.
        self._write(self._charged(attempt), min(time.time(), self.deadline(attempt)))

    def _write(self, levels: list[Level], ended_at: float) -> None:
        record, driver = self.record, self._driver
        charges = finish(record, levels, ended_at)
        if record.attempt == 0 and driver.refusals.takes(record):
            driver.ladders.drop(record.call_id)
            driver.counted(record)
            return
        owed = {charged[1]: micros_up(Decimal(charged[8])) for charged in charges if charged[0] != CARRIER_LEVEL}
        self._taken.owed = [owed.get(account_id, 0) for account_id in record.account_chain] if owed else []
        driver.journal.append({"kind": "cdr", "record": record, "charges": charges})
        driver.counted(record)

    def _charged(self, attempt: Attempt) -> list[Level]:
        """What an answered attempt is charged on, as it was when it was answered."""
        if self._levels:
            return self._levels
        levels = [
            Level(n, price.account.id, None, price.tariff.id, price.rate, price.account.billing, price.tariff.currency)
            for n, price in enumerate(self._taken.prices)
            if price is not None
        ]
        carrier = attempt.carrier
        if attempt.tariff is not None and attempt.rate is not None and carrier is not None:
            tariff = attempt.tariff
            billing = carrier.billing
            levels.append(Level(CARRIER_LEVEL, None, carrier.id, tariff.id, attempt.rate, billing, tariff.currency))
        for level, above in pairwise(levels):
            if level.currency != above.currency:
                level.exchange = self._driver.exchange_rate(above.currency, level.currency)
        self._levels = levels
        return levels

    def deadline(self, attempt: Attempt) -> float:
        """When an answered call has to be over: its longest duration, or what its funds pay."""
        assert self.record.answered_at is not None
        limit, longest, funded = attempt.gateway.max_duration, self._decision.max_duration, self._taken.funded
        seconds = min(longest, limit) if limit else longest
        return self.record.answered_at + (seconds if funded is None else min(seconds, funded))
