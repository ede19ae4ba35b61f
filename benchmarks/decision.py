"""The decision on a call: a plain customer; a chain with many carriers: `python -m benchmarks.decision`."""

from datetime import UTC, datetime
from decimal import Decimal

from b2bua.policy.accounts import Account, Device
from b2bua.policy.checks import decide
from b2bua.policy.decision import CallRequest
from b2bua.policy.numbers import DialPatterns
from b2bua.policy.routes import Carrier, Gateway, Route, RouteEntry
from b2bua.policy.snapshot import Snapshot
from benchmarks.timing import microseconds, report
from rating.charge import Billing
from rating.tariff import Rate, Ratecard, Tariff

NUMBER = "442079460000"


def make_snapshot(resellers: int, carriers: int, rates: int) -> Snapshot:
    """A customer below some resellers, carriers with a gateway each, decks of so many rates."""
    snapshot = Snapshot()
    prefixes = ["44", "442", "4420", *(str(10_000_000 + n) for n in range(rates - 3))]
    deck = Ratecard.of(1, (Rate(n, prefix, Decimal("0.01")) for n, prefix in enumerate(prefixes)))
    snapshot.tariffs[1] = Tariff(1, "deck", "EUR", ratecards=[(1, deck)])
    for number in range(resellers + 1):
        kind, parent = ("customer" if number == 0 else "reseller"), (number + 2 if number < resellers else None)
        code = f"TEST{number + 1:04}"
        snapshot.accounts[number + 1] = Account(number + 1, code, kind, parent, "active", "EUR", 1, Billing())
    snapshot.link_accounts()
    device = Device("ip", 1, snapshot.accounts[1], "active")
    snapshot.link_device(device)
    snapshot.devices.add("198.51.100.7/32", device)
    route = Route(1, "all")
    for number in range(1, carriers + 1):
        carrier = Carrier(number, f"CARR{number:04}", "carrier", "EUR", 1, None, None)
        carrier.gateways.append(
            Gateway(number, f"gw{number}", "203.0.113.1", 5060, "udp", 1, 1, None, None, 5.0, 10.0, 60.0, None)
        )
        snapshot.carriers[number] = carrier
        snapshot.link_carrier(carrier)
        route.add(RouteEntry(number, "44", carrier, number, 1))
    for account in snapshot.accounts.values():
        account.patterns, account.route_ids = DialPatterns.of([("%", route)]), frozenset([1])
    return snapshot


def main() -> None:
    """Run the benchmark."""
    now = datetime.now(UTC)
    request = CallRequest("198.51.100.7", NUMBER, "441234567890", ("PCMA",))
    plain, deep = make_snapshot(0, 1, 1000), make_snapshot(2, 5, 1_000_000)
    for snapshot in (plain, deep):
        assert decide(request, snapshot, now).attempts
    report("decide: customer, one carrier", microseconds(lambda: decide(request, plain, now)), 60)
    report(
        "decide: two resellers, five carriers, a million rates", microseconds(lambda: decide(request, deep, now)), 200
    )


if __name__ == "__main__":
    main()
