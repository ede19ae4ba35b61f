"""What `softswitch demo call` finds out and prints; the call itself is tested with a whole switch."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from b2bua.agent.demo_call import _describe, _switch_address
from conf.settings import Settings, SIPSettings


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        (("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"), ("127.0.0.1", 5060)),
        (("tcp://127.0.0.1:5060", "udp://127.0.0.2:5070"), ("127.0.0.2", 5070)),
        (("udp://[::]:5060", "udp://127.0.0.1:5080"), ("127.0.0.1", 5080)),
        (("tcp://0.0.0.0:5060",), None),
    ],
)
def test_call_goes_to_the_first_udp_listener_of_ipv4(listen: tuple[str, ...], address: tuple[str, int] | None) -> None:
    assert _switch_address(replace(Settings(), sip=SIPSettings(listen=listen))) == address


def test_record_is_described_with_its_charges() -> None:
    record = {
        "call_id": "0190",
        "code": "ANSWERED",
        "sip_code": 200,
        "ended_by": "caller",
        "source_sent": "441234567890",
        "destination_sent": "442079460000",
        "answered_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "duration": Decimal("2.001"),
        "gross": Decimal("0.0600"),
        "currency": "EUR",
    }
    charge = {
        "level": 0, "who": "DEMO0002", "billed_seconds": 3, "rate_per_minute": Decimal("0.0200"),
        "gross": Decimal("0.0600"), "currency": "EUR", "tariff": "retail", "prefix": "44",
    }  # fmt: skip
    charges = [
        charge,
        charge | {"level": 1, "who": "DEMO0001"},
        charge | {"level": -1, "who": "DEMO-A", "rate_per_minute": None},
    ]
    assert _describe(record, charges) == [
        "call      0190",
        "result    ANSWERED (200), ended by caller",
        "numbers   441234567890 -> 442079460000",
        "answered  2026-01-02 03:04:05 UTC for 2.001 s",
        "price     0.06 EUR",
        "  account   DEMO0002      3 s at 0.02/min   0.06 EUR (retail, prefix 44)",
        "  reseller  DEMO0001      3 s at 0.02/min   0.06 EUR (retail, prefix 44)",
        "  carrier   DEMO-A        3 s at -          0.06 EUR (retail, prefix 44)",
    ]
