"""A change of the audit log as people read it: the fields that differ, with what they were and what they became."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from admin.audit import SECRET
from admin.forms import carrier, route
from admin.forms.customer import LOGIN, SECTIONS
from admin.forms.tab import TABS
from admin.forms.tariff import MAPPING, RATE, RATECARD, TARIFF
from admin.permissions import Permission

ACTIONS: Final = {
    "customer.add": "Customer added",
    "customer.change": "Customer changed",
    "customer.set_status": "Status changed",
    "customer.set_tariff": "Tariff changed",
    "customer.delete": "Customer deleted",
    "reseller.add": "Reseller added",
    "reseller.change": "Reseller changed",
    "reseller.set_status": "Status of reseller changed",
    "reseller.delete": "Reseller deleted",
    "carrier.add": "Carrier added",
    "carrier.change": "Carrier changed",
    "carrier.set_status": "Carrier suspended or resumed",
    "carrier.delete": "Carrier deleted",
    "carrier_rule.add": "Rule of a carrier added",
    "carrier_rule.change": "Rule of a carrier changed",
    "carrier_rule.remove": "Rule of a carrier removed",
    "did.add": "DID numbers added",
    "did.carrier": "Carrier of a DID changed",
    "did.change": "DID changed",
    "did.change_many": "DID numbers changed",
    "did.lead": "Destination of a DID changed",
    "did.remove": "DID removed",
    "gateway.add": "Gateway added",
    "gateway.change": "Gateway changed",
    "gateway.set_status": "Gateway suspended or resumed",
    "gateway.delete": "Gateway deleted",
    "item.add": "Configuration added",
    "item.change": "Configuration changed",
    "item.remove": "Configuration removed",
    "item.new_secret": "New secret made",
    "login.add": "Login added",
    "login.change": "Login changed",
    "login.set_status": "Login locked or unlocked",
    "login.reset_password": "Password reset",
    "login.end_sessions": "Sessions ended",
    "login.reset_factor": "Second factor reset",
    "login.remove": "Login removed",
    "factor.on": "Second factor switched on",
    "factor.off": "Second factor switched off",
    "factor.new_codes": "Recovery codes made anew",
    "password.change": "Own password changed",
    "session.refused": "Sign-in refused",
    "session.locked": "Sign-in refused, login locked",
    "payment.add": "Payment booked",
    "payment.reverse": "Payment taken back",
    "tariff.add": "Tariff added",
    "tariff.change": "Tariff changed",
    "tariff.remove": "Tariff removed",
    "tariff.map": "Ratecard put into tariff",
    "tariff.map_change": "Ratecard in tariff changed",
    "tariff.unmap": "Ratecard taken out of tariff",
    "ratecard.add": "Ratecard added",
    "ratecard.change": "Ratecard changed",
    "ratecard.remove": "Ratecard deleted",
    "rate.add": "Rate added",
    "rate.change": "Rate changed",
    "rate.remove": "Rate removed",
    "rate.import": "Rates imported",
    "rate.undo": "Import of rates undone",
    "job.cancel": "Job cancelled",
    "call.hang_up": "Call hung up",
    "account_call.hang_up": "All calls of an account hung up",
    "registration.remove": "Registration removed",
    "file.export": "File exported",
    "ban.add": "Source banned",
    "ban.lift": "Ban lifted",
    "route.add": "Route added",
    "route.change": "Route changed",
    "route.set_status": "Route suspended or resumed",
    "route.delete": "Route deleted",
    "route_entry.add": "Entry of a route added",
    "route_entry.change": "Entry of a route changed",
    "route_entry.remove": "Entry of a route removed",
    "switch.begin": "Switched to login",
    "switch.end": "Switched back",
}
"""What each action of the log is called."""

HIDDEN: Final = "not shown"
"""In the place of money, to those who may not see it."""

_MONEY: Final = frozenset(
    {"amount", "balance", "granted"}
    | {each.name for section in SECTIONS if section.needs == Permission.MONEY_READ for each in section.inputs}
    | {"tax_percents", "rate_per_minute", "connection_charge", "multiplier", "addition", "setup", "rental"}
)
_TITLES: Final = {
    **{each.name: each.label for section in (*carrier.GATEWAY_SECTIONS, *route.SECTIONS) for each in section.inputs},
    **{each.name: each.label for each in (*TARIFF, *RATECARD, *MAPPING, *RATE)},
    **{each.name: each.label for tab in TABS.values() for each in tab.inputs},
    **{each.name: each.label for section in (LOGIN, *SECTIONS) for each in section.inputs},
    "ha1_md5": "Secret",
    "secret": "Secret",
    "parent": "Reseller",
    "acting_as": "Works as",
    "tax_percents": "Taxes",
}
_INTERNAL: Final = "id"


@dataclass(frozen=True, slots=True)
class Change:
    """One field."""

    title: str
    old: str
    """Empty: there was none."""
    new: str
    """Empty: there is none any more."""

    def __str__(self) -> str:
        """As a line of a file."""
        if not self.old:
            return f"{self.title}: {self.new}"
        return f"{self.title}: {self.old} → {self.new or 'none'}"


def difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, *, money: bool) -> list[Change]:
    """Tell what differs.

    Args:
        old: Values before; None: it was made.
        new: Values afterwards; None: it was removed.
        money: Whether amounts, prices and terms of payment may be seen.
    """
    before, after = old or {}, new or {}
    names = [*before, *(name for name in after if name not in before)]
    changes = (_change(name, before.get(name), after.get(name), money) for name in names if name != _INTERNAL)
    return [change for change in changes if change is not None]


def _change(name: str, before: object, after: object, money: bool) -> Change | None:
    title = _TITLES.get(name) or name.replace("_", " ").capitalize()
    if name in SECRET:
        return Change(title, "", "changed")
    old, new = _text(before), _text(after)
    if old == new:
        return None
    if name in _MONEY and not money:
        return Change(title, HIDDEN if old else "", HIDDEN if new else "")
    return Change(title, old, new)


def _text(value: object) -> str:
    """A value in words; empty for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return str(value)
