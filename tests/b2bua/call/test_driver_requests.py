"""What the driver refuses or answers by itself: limits, digest, and requests that are no calls (RFC 3261 §8.2)."""

from collections.abc import Callable
from typing import Any

import pytest

from b2bua.call.leg import ALLOW
from b2bua.policy.accounts import NO_PATTERNS
from b2bua.sip.digest import Challenge
from b2bua.sip.reason import q850_cause
from tests.b2bua.call.rig import CALLER, NUMBER, REALM, SECRET, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]
STRANGER = "198.51.100.99"


def request(method: str = "OPTIONS", *, sent_by: str = f"{CALLER}:5060", **more: Any) -> bytes:
    return sip.request(method, sent_by=sent_by, uri=f"sip:{NUMBER}@{SWITCH}", **more)


def say(rig: Rig, method: str) -> None:
    """The caller sends a request within its dialog."""
    dialog = rig.caller.leg.dialog  # type: ignore[union-attr]
    assert dialog is not None
    rig.caller.endpoint.transactions.send_request(dialog.request(method), dialog.flow, rig.wire.now, None)
    rig.caller.endpoint.end_of_turn()
    rig.wire.settle()


class TestRefusal:
    @on_loop
    async def test_caller_is_refused_when_an_account_above_it_is_blocked(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.accounts[1].status = "blocked"
        rig.dial()
        (answer,) = rig.wire.responses(403, SWITCH)
        assert answer.headers["reason"] == ['Q.850;cause=21;text="ACCOUNT_INACTIVE"']
        (record,) = rig.records()
        assert (record["attempt"], record["code"], record["object"]) == (0, "ACCOUNT_INACTIVE", "reseller RESE0001")
        assert record["account_chain"] == [2, 1]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_is_refused_when_its_sessions_are_used_up(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        device = rig.snapshot.devices.find(CALLER, NUMBER)
        assert device is not None
        device.account.max_sessions = 0
        rig.snapshot.link_accounts()
        rig.snapshot.link_device(device)
        rig.dial()
        assert rig.caller.status == 503
        (record,) = rig.records()
        assert (record["code"], record["object"], record["q850_cause"]) == ("SESSION_LIMIT", "account CUST0001", 34)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_refused_call_counts_when_calls_per_second_are_limited(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        device = rig.snapshot.devices.find(CALLER, NUMBER)
        assert device is not None
        device.cps = 1
        rig.snapshot.link_device(device)
        device.account.patterns = NO_PATTERNS
        rig.dial()
        rig.dial()
        assert [record["code"] for record in rig.records()] == ["NO_DIALING_ROUTE", "CPS_LIMIT"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_peer_is_asked_to_stay_away_when_the_live_store_is(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.store.is_away = True
        rig.dial()
        (answer,) = rig.wire.responses(503, SWITCH)
        assert answer.headers["retry-after"] == ["5"]
        assert [record["code"] for record in rig.records()] == ["LIVE_STORE_AWAY"]

    @on_loop
    async def test_chain_is_given_back_when_the_live_store_goes_away_before_the_carrier(
        self, make_rig: MakeRig
    ) -> None:
        rig = make_rig()
        rig.store.is_slow = True
        rig.dial()
        rig.store.is_slow = False
        rig.store.answer()
        rig.store.is_away = True
        rig.wire.settle()
        assert rig.caller.status == 503
        assert [record["code"] for record in rig.records()] == ["LIVE_STORE_AWAY"]
        assert rig.driver.admission.taken == 0

    @on_loop
    async def test_caller_is_refused_without_a_record_when_the_worker_is_full(self, make_rig: MakeRig) -> None:
        rig = make_rig(max_calls=0)
        rig.dial()
        (answer,) = rig.wire.responses(503, SWITCH)
        assert answer.headers["retry-after"] == ["5"]
        assert q850_cause(answer.headers) == 42
        assert rig.records() == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_is_refused_when_the_journal_takes_no_more(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.journal.limit, rig.journal.waiting = 100, 100
        rig.dial()
        (answer,) = rig.wire.responses(503, SWITCH)
        assert q850_cause(answer.headers) == 42
        assert rig.records() == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_is_refused_when_the_worker_drains(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.driver.is_draining = True
        rig.dial()
        assert rig.caller.status == 503
        assert [record["code"] for record in rig.records()] == ["DRAINING"]
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize(
        ("hops", "status"),
        [("0", 483), ("00", 483), ("0" * 5000, 483), ("-1", 400), ("x", 400), ("1000", 400), ("01000", 400)],
    )
    async def test_hops_are_looked_at_when_they_are_used_up_or_no_number(
        self, make_rig: MakeRig, hops: str, status: int
    ) -> None:
        rig = make_rig()
        assert rig.send(request("INVITE", changed={"Max-Forwards": hops})).status == status

    @on_loop
    async def test_hops_may_have_zeros_before_them(self, make_rig: MakeRig) -> None:
        # RFC 4475 §3.1.1.1: "MaX-fOrWaRdS: 0068"
        rig = make_rig()
        carrier = rig.carrier(refuse=486)
        assert rig.send(request("INVITE", changed={"Max-Forwards": "0068"})).status == 486
        assert carrier.invites[0].headers["max-forwards"] == ["67"]

    @on_loop
    async def test_loop_is_seen_when_a_via_of_ours_comes_back(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        via = f"SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKx, SIP/2.0/UDP {SWITCH}:5060;branch=z9hG4bKy"
        assert rig.send(request("INVITE", changed={"Via": via})).status == 482

    @on_loop
    async def test_vias_of_others_are_no_loop(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(refuse=486)
        via = f"SIP/2.0/UDP {CALLER}:5060;branch=z9hG4bKx, SIP/2.0/UDP {STRANGER}:5060;branch=z9hG4bKy"
        assert rig.send(request("INVITE", changed={"Via": via})).status == 486

    @on_loop
    async def test_caller_gets_500_when_the_call_cannot_be_set_up(
        self, make_rig: MakeRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rig = make_rig()
        rig.driver._snapshot = lambda: 1 / 0  # type: ignore[assignment,return-value]  # a fault of ours
        assert rig.send(request("INVITE")).status == 500

    @on_loop
    async def test_long_numbers_are_cut_in_the_record(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.dial("9" * 1000)
        (record,) = rig.records()
        assert record["destination_received"] == "9" * 128


class TestAuthentication:
    def invite(self, **changed: str) -> bytes:
        headers = {"From": f"<sip:alice@{SWITCH}>;tag=a1", **changed}
        return request("INVITE", sent_by=f"{STRANGER}:5060", changed=headers, branch=f"z9hG4bK{len(changed)}")

    @on_loop
    async def test_stranger_is_challenged_without_a_record(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        answer = rig.send(self.invite(), STRANGER)
        assert answer.status == 407
        assert Challenge.parse(answer.headers["proxy-authenticate"][0]).realm == REALM
        assert rig.records() == []

    @on_loop
    async def test_user_may_call_when_it_answers_the_challenge(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=486)
        challenge = Challenge.parse(rig.send(self.invite(), STRANGER).headers["proxy-authenticate"][0])
        proof = str(challenge.answer("alice", SECRET, "INVITE", f"sip:{NUMBER}@{SWITCH}", "c0ffee"))
        rig.send(self.invite(**{"Proxy-Authorization": proof}), STRANGER)
        (record,) = rig.records()
        assert (record["device"], record["code"]) == ("user:9", "BUSY")

    @on_loop
    async def test_users_address_counts_when_it_has_one(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        alice = rig.snapshot.users.get("alice")
        assert alice is not None
        alice.network = f"{CALLER}/32"
        challenge = Challenge.parse(rig.send(self.invite(), STRANGER).headers["proxy-authenticate"][0])
        proof = str(challenge.answer("alice", SECRET, "INVITE", f"sip:{NUMBER}@{SWITCH}", "c0ffee"))
        assert rig.send(self.invite(**{"Proxy-Authorization": proof}), STRANGER).status == 403
        (record,) = rig.records()
        assert (record["code"], record["object"]) == ("ADDRESS_NOT_ALLOWED", "user alice")

    @on_loop
    async def test_credentials_are_looked_at_when_the_address_is_known_too(self, make_rig: MakeRig) -> None:
        # docs/behaviour.md §1.3
        rig = make_rig()
        bad = str(Challenge(REALM, "nonsense").answer("alice", SECRET, "INVITE", "sip:x", "c0ffee"))
        assert rig.send(request("INVITE", changed={"Proxy-Authorization": bad})).status == 407


class TestOtherRequests:
    @on_loop
    async def test_options_is_answered_with_what_we_can(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        answer = rig.send(request("OPTIONS"))
        assert answer.status == 200
        assert answer.headers["allow"] == [ALLOW]
        assert answer.headers["accept"] == ["application/sdp"]
        assert answer.headers["server"] == ["softswitch"]

    @on_loop
    @pytest.mark.parametrize(
        ("method", "status"), [("REGISTER", 405), ("SUBSCRIBE", 405), ("MESSAGE", 405), ("FOO", 501), ("message", 501)]
    )
    async def test_method_is_refused_when_we_do_not_have_it(self, make_rig: MakeRig, method: str, status: int) -> None:
        rig = make_rig()
        answer = rig.send(request(method))
        assert answer.status == status
        assert "allow" in answer.headers

    @on_loop
    @pytest.mark.parametrize(
        ("accept", "status"),
        [
            ("application/sdp", 200),
            ("text/plain, Application/SDP;level=1", 200),
            ("application/*", 200),
            ("*/*", 200),
            ("", 406),
            ("text/plain", 406),
            ("application/sdpx, text/*", 406),
            ('text/plain;x=",application/sdp', 400),
        ],
    )
    async def test_call_is_refused_when_its_caller_reads_no_session_description(
        self, make_rig: MakeRig, accept: str, status: int
    ) -> None:
        rig = make_rig()
        rig.carrier(1)
        answer = rig.send(request("INVITE", changed={"Accept": accept, "Contact": f"<sip:{CALLER}>"}))
        assert answer.status == status
        if status == 406:
            assert answer.headers["accept"] == ["application/sdp"]

    @on_loop
    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
    @pytest.mark.parametrize("header", ["Require", "Proxy-Require"])
    async def test_extension_is_refused_when_it_is_required(self, make_rig: MakeRig, method: str, header: str) -> None:
        rig = make_rig()
        answer = rig.send(request(method, changed={header: "outbound, timer, histinfo"}))
        assert (answer.status, answer.headers["unsupported"]) == (420, ["outbound, histinfo"])

    @on_loop
    async def test_extension_is_refused_when_its_name_cannot_be_read(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        answer = rig.send(request("INVITE", changed={"Require": '"100rel'}))
        assert (answer.status, answer.headers["unsupported"]) == (420, ['"100rel'])

    @on_loop
    async def test_body_is_refused_when_it_is_no_session_description(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        answer = rig.send(request("INVITE", body=b"hello", changed={"Content-Type": "text/plain"}))
        assert (answer.status, answer.headers["accept"]) == (415, ["application/sdp"])

    @on_loop
    @pytest.mark.parametrize("method", ["BYE", "INVITE", "OPTIONS"])
    async def test_dialog_is_unknown_when_no_call_has_it(self, make_rig: MakeRig, method: str) -> None:
        rig = make_rig()
        assert rig.send(request(method, to_tag="gone")).status == 481

    @on_loop
    async def test_bye_is_refused_when_it_has_no_dialog(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        assert rig.send(request("BYE")).status == 481

    @on_loop
    @pytest.mark.parametrize(("method", "status"), [("INVITE", 200), ("OPTIONS", 200), ("INFO", 200), ("PUBLISH", 405)])
    async def test_call_goes_on_when_another_request_comes_in_its_dialog(
        self, make_rig: MakeRig, method: str, status: int
    ) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        say(rig, method)
        assert [each.message for each in rig.wire.carried if each.label == f"{status} {method}"]
        assert len(rig.driver.calls) == 1
        rig.hang_up(rig.caller)
        assert rig.records()[0]["ended_by"] == "caller"

    @on_loop
    async def test_bye_is_unknown_when_the_call_has_ended(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        rig.hang_up(rig.caller)
        rig.hang_up(rig.caller)
        assert rig.wire.labels(CALLER, SWITCH)[-2:] == ["BYE", "481 BYE"]
        assert len(rig.records()) == 1


class TestFault:
    """What a fault of ours comes to; it is made here by taking away what the code needs."""

    @on_loop
    async def test_caller_is_answered_when_its_call_cannot_be_set_up(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.devices = None  # type: ignore[assignment]
        rig.dial()
        assert rig.caller.status == 500
        rig.assert_nothing_is_left()

    @on_loop
    async def test_peer_is_answered_when_its_request_in_a_dialog_cannot_be_handled(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        (call,) = rig.driver.calls.values()
        parties, call.parties = call.parties, None  # type: ignore[assignment]
        say(rig, "INFO")
        call.parties = parties
        assert rig.wire.labels(CALLER, SWITCH)[-2:] == ["INFO", "500 INFO"]
        rig.hang_up(rig.caller)
        rig.assert_nothing_is_left()
