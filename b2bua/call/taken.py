"""What a call has taken in the live store: sessions and calls per second of its chain and carrier, and funds.

Everything that is taken here is given back here, once. Whoever asks is told by an event of the call; nothing of the
call is kept, so that it can be freed when it ends.
"""

from typing import TYPE_CHECKING

from b2bua.call.controller import State
from b2bua.call.events import (
    AdmissionRefused,
    Admitted,
    CarrierAdmitted,
    CarrierRefused,
    FundsExtended,
    FundsRefused,
)
from b2bua.live.admission import Outcome, Refusal, Shortage
from b2bua.policy.decision import Attempt, Contact, Decision
from rating.charge import charge
from rating.funds import micros_up

if TYPE_CHECKING:
    from b2bua.call.active import ActiveCall
    from b2bua.call.driver import CallDriver


class Taken:
    """What one call has taken.

    Args:
        driver: What all calls share.
        decision: Names what there is to take, and the prices.
    """

    __slots__ = ("_decision", "_driver", "funded", "holds", "owed", "prices")

    def __init__(self, driver: "CallDriver", decision: Decision) -> None:
        self._driver = driver
        self._decision = decision
        self.holds: list[int] = []
        """Micros held of each account of the chain; empty while nothing is."""
        self.funded: int | None = None
        """Seconds that they pay, from the answer on; None: nobody watches them."""
        self.owed: list[int] = []
        """Micros that the ended call costs each account."""
        chain = decision.account.chain if decision.account is not None else ()
        prices = {price.account.id: price for price in decision.levels}
        self.prices = [prices.get(account.id) for account in chain]
        """What each account of the chain pays; None: nothing."""

    # The chain

    def admit(self, call: "ActiveCall", *, take_sessions: bool) -> None:
        """Take calls per second and, where asked for, sessions and the first slice of funds."""
        limits = self._decision.limits
        if limits is None or not (take_sessions or limits.has_cps):
            call.handle(Admitted())
        elif take_sessions:
            self._hold_first(call, min(self._driver.funds_rules.slice, self._decision.max_duration), is_counted=False)
        else:
            self._driver.admission.count(limits, lambda outcome: self._admit_answered(call, outcome))

    def _hold_first(self, call: "ActiveCall", seconds: int, *, is_counted: bool) -> None:
        limits = self._decision.limits
        assert limits is not None
        holds = self._costs(seconds)

        def answered(outcome: Outcome) -> None:
            if outcome is None:
                # What costs nothing need not be watched.
                self.holds, self.funded = holds, seconds if self._decision.levels else None
                call.handle(Admitted(self.funded))
            elif isinstance(outcome, Shortage):
                affordable = self._affordable(outcome, 0, seconds)
                if affordable:
                    # Others may be faster: then the next answer says what is left.
                    self._hold_first(call, affordable, is_counted=True)
                else:
                    self._admit_answered(call, outcome)
            else:
                self._admit_answered(call, outcome)

        self._driver.admission.admit(limits, holds, answered, is_counted=is_counted)

    def _admit_answered(self, call: "ActiveCall", outcome: Outcome) -> None:
        if outcome is None:
            call.handle(Admitted())
        elif isinstance(outcome, Refusal):
            is_did = outcome.level.name.startswith("did ")
            code = "CPS_LIMIT" if outcome.of_cps else "DID_LIMIT" if is_did else "SESSION_LIMIT"
            call.handle(AdmissionRefused(code, outcome.level.name))
        elif isinstance(outcome, Shortage) and outcome.available[outcome.account] is not None:
            account = self._decision.account
            assert account is not None
            call.handle(AdmissionRefused("NO_FUNDS", account.chain[outcome.account].title))
        else:
            call.handle(AdmissionRefused("LIVE_STORE_AWAY", "live store"))

    def release(self) -> None:
        """Give the chain's sessions and funds back; what the call owes stays held until it is posted."""
        limits = self._decision.limits
        if limits is None:
            return
        if any(self.owed):
            # The record was appended just before: its debits count as posted once the journal is, up to here.
            self._driver.admission.note_unposted(self._driver.journal.position, limits.funds_keys, self.owed)
        self._driver.admission.release(limits, self.holds, self.owed if self.holds else ())
        self.holds = []

    # Funds

    def _costs(self, seconds: int) -> list[int]:
        """What a call of so many seconds costs each account, in micros, rounded up."""
        return [
            micros_up(charge(seconds, price.rate, price.account.billing).gross) if price is not None else 0
            for price in self.prices
        ]

    def _costs_held(self) -> list[int]:
        return self.holds or [0] * len(self.prices)

    def _affordable(self, shortage: Shortage, held_seconds: int, wanted: int) -> int:
        """The most seconds, above `held_seconds` and below `wanted`, that every account can pay; 0: none."""
        spendable = [
            (available or 0) + held for available, held in zip(shortage.available, self._costs_held(), strict=True)
        ]
        if None in shortage.available:
            return 0
        # Seconds that are free, within a grace, are no talk that could be granted.
        least = max(1, held_seconds + 1, *(price.rate.grace for price in self._decision.levels))
        low, high = held_seconds, wanted - 1
        while low < high:
            middle = (low + high + 1) // 2
            if all(cost <= have for cost, have in zip(self._costs(middle), spendable, strict=True)):
                low = middle
            else:
                high = middle - 1
        return low if low >= least else 0

    def extend(self, call: "ActiveCall", seconds: int) -> None:
        """Hold funds for so many seconds from the answer on, or for as many as they pay."""
        limits = self._decision.limits
        assert limits is not None
        more = [cost - held for cost, held in zip(self._costs(seconds), self.holds, strict=True)]

        def answered(outcome: Outcome) -> None:
            if outcome is None:
                self.holds = [held + added for held, added in zip(self._costs_held(), more, strict=True)]
                self.funded = seconds
                if call.call.state != State.ENDED:
                    line = {"kind": "funded", "call_id": call.call_id, "attempt": call.record.attempt}
                    self._driver.journal.append({**line, "seconds": seconds})
                call.handle(FundsExtended(seconds, call.talked()))
                return
            if isinstance(outcome, Shortage) and self.funded is not None and self.holds:
                affordable = self._affordable(outcome, self.funded, seconds)
                if affordable:
                    self.extend(call, affordable)
                    return
            call.handle(FundsRefused(call.talked()))

        self._driver.admission.extend(limits, more, answered)

    def release_funds(self) -> None:
        """Give back funds that were held after the call had ended."""
        if self._decision.limits is not None and self.holds:
            self._driver.admission.release_funds(self._decision.limits, self.holds)
            self.holds = []

    # The carrier

    def admit_carrier(self, call: "ActiveCall", attempt: Attempt, *, is_reached: bool) -> None:
        """Take a session of an attempt's carrier and gateway; of a SIP user, find out where it is.

        Args:
            call: Is told.
            attempt: The next one.
            is_reached: Whether the callee's leg is there already.
        """
        if attempt.user is not None and not is_reached:
            self._driver.find_contacts(attempt.user, lambda contacts: _contacts_found(call, attempt, contacts))
        elif attempt.gateway.limits.levels:
            self._driver.admission.admit_carrier(
                attempt.gateway.limits, lambda outcome: _carrier_answered(call, outcome)
            )
        else:
            call.handle(CarrierAdmitted())

    def release_carrier(self, attempt: Attempt) -> None:
        """Give it back."""
        limits = attempt.gateway.limits
        if limits.levels:
            self._driver.admission.release(limits)


def _contacts_found(call: "ActiveCall", attempt: Attempt, contacts: list[Contact] | None) -> None:
    """Where a SIP user is: nowhere, at one place, or at several, which all ring."""
    if contacts is None:
        call.handle(CarrierRefused("LIVE_STORE_AWAY", "live store"))
    elif not contacts:
        call.handle(CarrierRefused("NOT_REGISTERED", attempt.gateway.name))
    else:
        attempt.contacts = contacts
        call.handle(CarrierAdmitted())


def _carrier_answered(call: "ActiveCall", outcome: Outcome) -> None:
    if outcome is None:
        call.handle(CarrierAdmitted())
    elif isinstance(outcome, Refusal):
        call.handle(CarrierRefused("CARRIER_LIMIT", outcome.level.name))
    else:
        call.handle(CarrierRefused("LIVE_STORE_AWAY", "live store"))
