"""Telephones: they register, call and are called, all at once, forwarded, or not at all."""

import pytest

from tests.support.interop import PHONES, Play, Register, Telephone, Trunks, numbers, outcome
from tests.support.sipp import Scenario
from tests.support.switch import Switch, free_port


def contacts(registered: Scenario) -> list[int]:
    """Ports of the contacts that the answer to a REGISTER names."""
    (answer,) = registered.received("REGISTER", status=200)
    text = ", ".join(answer.headers.get("contact", []))
    return sorted(int(part.partition(f"@{PHONES}:")[2].partition(">")[0]) for part in text.split(",") if part)


@pytest.fixture
def telephone(trunks: Trunks) -> Telephone:
    return trunks.telephone("2001")


class TestRegistration:
    def test_contacts_are_kept_and_taken_back_all_at_once(self, telephone: Telephone, register: Register) -> None:
        first, second, third = ports = sorted(free_port() for _ in range(3))
        assert contacts(register(telephone, first, second)) == [first, second]
        assert contacts(register(telephone, third)) == ports
        assert contacts(register(telephone, second, expires=0)) == [first, third]
        assert contacts(register(telephone)) == []


class TestCalling:
    def test_registered_telephone_proves_itself_and_calls(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, play: Play, register: Register
    ) -> None:
        port, trunk = free_port(), trunks.add()
        register(telephone, port)
        called = play("carrier", port=trunk.port)
        to = f"127.0.0.1:{switch.port}"
        proof = (*telephone.proof, "-auth_uri", f"{trunk.number}@{to}")
        keys = {"user": telephone.name}
        play("phone_calls", host=PHONES, port=port, to=to, number=trunk.number, keys=keys, options=proof).wait()
        called.wait()
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "caller")
        assert record["destination_sent"] == trunk.number
        (device,) = switch.query("SELECT device FROM cdr")
        assert device["device"] == f"user:{telephone.user_id}"

    def test_telephones_of_one_account_call_each_other_by_extension(
        self, switch: Switch, trunks: Trunks, telephone: Telephone, play: Play, register: Register
    ) -> None:
        other, ports = trunks.telephone("2002"), (free_port(), free_port())
        register(telephone, ports[0])
        register(other, ports[1])
        called = play("carrier_hangs_up", host=PHONES, port=ports[1], talk_ms=100)
        to = f"127.0.0.1:{switch.port}"
        proof = (*telephone.proof, "-auth_uri", f"2002@{to}")
        keys = {"user": telephone.name}
        play("phone_is_hung_up", host=PHONES, port=ports[0], to=to, number="2002", keys=keys, options=proof).wait()
        called.wait()
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "callee")
        (row,) = switch.query("SELECT kind, gross FROM cdr")
        assert (row["kind"], row["gross"] or 0) == ("on_net", 0)


class TestBeingCalled:
    def test_all_contacts_ring_and_one_gets_the_call(
        self, switch: Switch, telephone: Telephone, play: Play, register: Register
    ) -> None:
        ports = free_port(), free_port()
        for port in ports:
            register(telephone, port)
        slow = play("carrier_rings", host=PHONES, port=ports[0])
        quick = play("carrier_slow", host=PHONES, port=ports[1])
        play("caller", number=telephone.number).wait()
        for each in (quick, slow):
            each.wait()
        (record,) = switch.wait_for_records(1, "is_last")
        assert outcome(record) == ("ANSWERED", 200, "caller")
        (row,) = switch.query("SELECT kind, b_address FROM cdr WHERE is_last")
        assert (row["kind"], row["b_address"]) == ("incoming", f"{PHONES}:{ports[1]}")

    def test_call_is_refused_when_nobody_has_registered(self, switch: Switch, telephone: Telephone, play: Play) -> None:
        play("caller_hears_480", number=telephone.number).wait()
        assert outcome(*switch.wait_for_records(1)) == ("NOT_REGISTERED", 480, "system")


class TestForwarding:
    @pytest.mark.parametrize(
        ("column", "plays"),
        [
            ("forward_all", "carrier"),
            ("forward_busy", "carrier_is_busy"),
            ("forward_no_answer", "carrier_rings"),
            ("forward_not_registered", ""),
        ],
    )
    def test_call_goes_on_to_a_number(
        self, switch: Switch, trunks: Trunks, play: Play, register: Register, column: str, plays: str
    ) -> None:
        trunk, port = trunks.add(), free_port()
        telephone = trunks.telephone("2003", ring_time=5, **{column: trunk.number})
        if plays:
            register(telephone, port)
            play(plays, host=PHONES, port=port)
        forwarded = play("carrier", port=trunk.port)
        play("caller", number=telephone.number).wait()
        forwarded.wait()
        last = switch.wait_for_records(1, "is_last AND kind = 'outgoing'")
        assert [outcome(record) for record in last] == [("ANSWERED", 200, "caller")]
        assert numbers(last[0])[1] == trunk.number
        incoming = switch.wait_for_records(1, "is_last AND kind = 'incoming'")
        assert [outcome(record) for record in incoming] == [("ANSWERED", 200, "caller")]

    def test_caller_hears_busy_when_the_telephone_wants_no_calls(
        self, switch: Switch, trunks: Trunks, play: Play, register: Register
    ) -> None:
        telephone = trunks.telephone("2004", do_not_disturb=True)
        register(telephone, free_port())
        play("caller_hears_486", number=telephone.number).wait()
        assert outcome(*switch.wait_for_records(1)) == ("DO_NOT_DISTURB", 486, "system")
