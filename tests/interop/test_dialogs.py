"""What caller and carrier ask of each other before and within a call.

Hold, late offers, UPDATE, INFO, MESSAGE, session timers, reliable ringing, redirection, transfers without asking first.
"""

import pytest

from tests.support.interop import PHONES, Play, Register, Trunks, numbers, outcome
from tests.support.switch import Switch, free_port


@pytest.mark.parametrize(
    ("caller", "carrier", "ended_by"),
    [
        ("caller_holds", "carrier_is_held", "caller"),
        ("caller_is_held", "carrier_holds", "callee"),
        ("caller_offers_late", "carrier_offers", "caller"),
        ("caller_talks", "carrier_listens", "caller"),
        ("caller_listens", "carrier_talks", "callee"),
        ("caller_in_a_hurry", "carrier", "caller"),
    ],
)
def test_other_side_gets_it_and_its_answer_comes_back(
    switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str, ended_by: str
) -> None:
    trunk = trunks.add()
    called = play(carrier, port=trunk.port)
    play(caller, number=trunk.number).wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ("ANSWERED", 200, ended_by)


class TestReliableRinging:
    @pytest.mark.parametrize("wish", ["supported", "required"])
    def test_ringing_of_the_carrier_is_acknowledged(
        self, switch: Switch, trunks: Trunks, play: Play, wish: str
    ) -> None:
        trunk = trunks.add(reliable_ringing=wish)
        carrier = play("carrier_rings_reliably", port=trunk.port)
        play("caller", number=trunk.number).wait()
        carrier.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")

    def test_caller_acknowledges_ringing_when_it_requires_that(
        self, switch: Switch, trunks: Trunks, play: Play
    ) -> None:
        trunk = trunks.add()
        carrier = play("carrier_slow", port=trunk.port)
        play("caller_wants_reliable_ringing", number=trunk.number).wait()
        carrier.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")

    @pytest.mark.parametrize(
        ("caller", "carrier"),
        [
            ("caller_changes_early", "carrier_is_changed_early"),
            ("caller_is_changed_early", "carrier_changes_early"),
        ],
    )
    def test_session_changes_before_the_answer(
        self, switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str
    ) -> None:
        trunk = trunks.add(reliable_ringing="required")
        called = play(carrier, port=trunk.port)
        play(caller, number=trunk.number).wait()
        called.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")


class TestElsewhere:
    def test_call_follows_a_carrier_that_has_moved(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk, port = trunks.add(follows_redirects=True), free_port()
        first = play("carrier_moves", port=trunk.port, keys={"place": f"127.0.0.1:{port}"})
        second = play("carrier", port=port)
        play("caller", number=trunk.number).wait()
        first.wait()
        second.wait()
        (record,) = switch.wait_for_records(1)
        assert outcome(record) == ("ANSWERED", 200, "caller")
        assert second.received("INVITE")[0].number == "moved"

    def test_caller_never_hears_where_the_carrier_has_gone(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add()
        carrier = play("carrier_moves", port=trunk.port, keys={"place": "127.0.0.1:9"})
        caller = play("caller_is_refused", number=trunk.number)
        caller.wait()
        carrier.wait()
        (answer,) = caller.received("INVITE", status=503)
        assert not answer.first("contact")
        assert switch.wait_for_records(1)[0]["sip_code"] == 302

    def test_gateway_that_wants_longer_sessions_is_called_again(
        self, switch: Switch, trunks: Trunks, play: Play
    ) -> None:
        trunk = trunks.add(session_timer=90)
        carrier = play("carrier_wants_longer_sessions", port=trunk.port)
        play("caller", number=trunk.number).wait()
        carrier.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")


class TestTransfer:
    """Without asking first (RFC 5589 §5); tests/interop/test_transfer.py asks."""

    def test_caller_has_the_carrier_connected_with_another(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        first, second = trunks.add(), trunks.add()
        transferred = play("carrier_is_transferred", port=first.port, talk_ms=300)
        target = play("carrier", port=second.port)
        play("caller_transfers", number=first.number, keys={"target": second.number}).wait()
        transferred.wait()
        target.wait()
        records = switch.wait_for_records(2)
        assert [numbers(record) for record in records] == [
            ("33123456789", first.number),
            ("33123456789", second.number),
        ]
        assert [outcome(record)[:2] for record in records] == [("ANSWERED", 200)] * 2
        accounts = switch.query("SELECT DISTINCT account_id FROM cdr")
        assert len(accounts) == 1

    def test_telephone_has_its_caller_connected_with_another(
        self, switch: Switch, trunks: Trunks, play: Play, register: Register
    ) -> None:
        telephone, trunk, port = trunks.telephone("2001"), trunks.add(), free_port()
        register(telephone, port)
        phone = play("phone_transfers", host=PHONES, port=port, keys={"target": trunk.number})
        target = play("carrier", port=trunk.port)
        play("caller_is_transferred", number=telephone.number, talk_ms=300).wait()
        phone.wait()
        target.wait()
        records = switch.wait_for_records(2)
        assert [outcome(record)[:2] for record in records] == [("ANSWERED", 200)] * 2
        kinds = switch.query("SELECT kind, account_id FROM cdr ORDER BY received_at")
        assert [row["kind"] for row in kinds] == ["incoming", "outgoing"]
        assert len({row["account_id"] for row in kinds}) == 1

    def test_all_is_as_it_was_when_the_other_is_busy(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        first, second = trunks.add(), trunks.add()
        carrier = play("carrier", port=first.port)
        play("carrier_is_busy", port=second.port)
        play("caller_transfers_in_vain", number=first.number, keys={"target": second.number}).wait()
        carrier.wait()
        records = switch.wait_for_records(2)
        assert [outcome(record) for record in records] == [("ANSWERED", 200, "caller"), ("BUSY", 486, "callee")]

    def test_carrier_may_not_transfer(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add()
        carrier = play("carrier_transfers", port=trunk.port)
        play("caller", number=trunk.number, talk_ms=300).wait()
        carrier.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")
