"""Gateways that have a name (RFC 3263): the switch asks DNS, and calls who answers."""

import pytest

from tests.support.interop import PHONES, Listeners, Play, Register, Trunks, outcome
from tests.support.switch import Switch, free_port, wait_until

CARRIER = "127.0.0.30"
"""Where calls of a carrier come from that has a name; no device is there."""

ZONE = """$ORIGIN {name}.
$TTL 300
@            SOA   ns admin 1 3600 600 86400 30
@            NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp
@            NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp
_sip._udp    SRV   10 10 {first} a
_sip._udp    SRV   20 10 {second} b
_sip._tcp    SRV   10 10 {second} b
a            A     127.0.0.1
b            A     127.0.0.1
"""


@pytest.mark.parametrize(("transport", "name"), [("udp", "one.example"), ("tcp", "two.example")])
def test_call_reaches_the_server_that_dns_names(
    switch: Switch, listeners: Listeners, trunks: Trunks, play: Play, transport: str, name: str
) -> None:
    port = free_port()
    listeners.dns.load(ZONE.format(name=name, first=port, second=port))
    trunk = trunks.add(host=name, port=None, transport=transport)
    wait_until(lambda: listeners.dns.questions["b." + name, "A"], "the switch to ask")
    carrier = play("carrier", port=port, transport="t1" if transport == "tcp" else "u1")
    play("caller", number=trunk.number).wait()
    carrier.wait()
    (invite,) = carrier.received("INVITE")
    assert invite.first_line == f"INVITE sip:{trunk.number}@{name} SIP/2.0" or transport == "tcp"
    assert f"{trunk.number}@{name}" in invite.first_line
    assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")


def test_second_server_is_called_when_the_first_is_out_of_order(
    switch: Switch, listeners: Listeners, trunks: Trunks, play: Play
) -> None:
    first, second = free_port(), free_port()
    listeners.dns.load(ZONE.format(name="three.example", first=first, second=second))
    trunk = trunks.add(host="three.example", port=None)
    wait_until(lambda: listeners.dns.questions["b.three.example", "A"], "the switch to ask")
    full = play("carrier_is_full", port=first)
    carrier = play("carrier", port=second)
    play("caller", number=trunk.number).wait()
    full.wait()
    carrier.wait()
    records = switch.wait_for_records(1)
    assert [outcome(record) for record in records] == [("ANSWERED", 200, "caller")]  # one attempt at one gateway


@pytest.mark.parametrize(("transport", "name"), [("udp", "four.example"), ("tcp", "five.example")])
def test_call_from_a_server_that_dns_names_is_its_gateways(
    switch: Switch, listeners: Listeners, trunks: Trunks, play: Play, register: Register, transport: str, name: str
) -> None:
    listeners.dns.load(ZONE.format(name=name, first=5060, second=5060).replace("127.0.0.1", CARRIER))
    trunk = trunks.add(host=name, port=None, transport=transport)
    wait_until(lambda: listeners.dns.questions["b." + name, "A"], "the switch to ask")
    telephone, port = trunks.telephone("2001"), free_port()
    register(telephone, port)
    called = play("carrier", host=PHONES, port=port)
    play("caller", host=CARRIER, number=telephone.number, transport="t1" if transport == "tcp" else "u1").wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ("ANSWERED", 200, "caller")
    (row,) = switch.query("SELECT kind, gateway_id, a_address FROM cdr")
    assert (row["kind"], row["gateway_id"]) == ("incoming", trunk.gateway_id)
    assert row["a_address"].startswith(f"{CARRIER}:")
