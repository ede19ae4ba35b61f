"""Codec lists, and audio that would have to cross our machine (docs/behaviour.md §5)."""

from collections.abc import Callable

import pytest

from b2bua.sip.reason import q850_cause
from media.sdp import CodecList
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import audio_session, on_loop, payloads_of

MakeRig = Callable[..., Rig]
PCMU, PCMA, G722, G729, EVENTS = 0, 8, 9, 18, 101


def listing(rig: Rig, *codecs: str) -> Rig:
    """The customer may speak these, the first by preference."""
    rig.customer.codec_check, rig.customer.codecs = True, CodecList.of(codecs)
    return rig


def offered(rig: Rig, carrier: int = 1) -> list[int]:
    """What a carrier was offered."""
    return payloads_of(rig.wire.requests("INVITE", SWITCH, CARRIERS[carrier - 1])[-1].body)


def answered(rig: Rig) -> list[int]:
    """What the caller was answered."""
    return payloads_of(rig.wire.responses(200, SWITCH, rig.caller.host)[-1].body)


class TestOffer:
    @on_loop
    @pytest.mark.parametrize(
        ("codecs", "seen"),
        [
            (("PCMA",), [PCMA, EVENTS]),
            (("PCMU", "PCMA"), [PCMU, PCMA, EVENTS]),
            (("G729", "pcma", "G722"), [G729, PCMA, G722, EVENTS]),
            (("opus", "PCMU"), [PCMU, EVENTS]),
            ((), [PCMA, PCMU, G722, G729, EVENTS]),
        ],
    )
    async def test_carrier_is_offered_what_is_in_the_list_in_its_order(
        self, make_rig: MakeRig, codecs: tuple[str, ...], seen: list[int]
    ) -> None:
        rig = listing(make_rig(), *codecs)
        rig.caller.codecs = ("PCMA", "PCMU", "G722", "G729", "telephone-event")
        rig.carrier()
        rig.dial()
        assert offered(rig) == seen

    @on_loop
    async def test_list_is_not_looked_at_when_it_is_not_checked(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "G729")
        rig.customer.codec_check = False
        rig.carrier()
        rig.dial()
        assert offered(rig) == [PCMA, PCMU, EVENTS]

    @on_loop
    async def test_carriers_own_list_cuts_further(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "G722", "PCMU", "PCMA")
        rig.snapshot.carriers[1].codecs = CodecList.of(["PCMA", "PCMU", "G729"])
        rig.caller.codecs = ("PCMA", "PCMU", "G722", "G729", "telephone-event")
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        rig.dial()
        assert offered(rig, 1) == [PCMU, PCMA, EVENTS]
        # The next attempt is cut from the caller's own offer.
        assert offered(rig, 2) == [G722, PCMU, PCMA, EVENTS]

    @on_loop
    async def test_carriers_list_counts_when_the_account_is_not_checked(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.carriers[1].codecs = CodecList.of(["PCMU"])
        rig.carrier()
        rig.dial()
        assert offered(rig) == [PCMU, EVENTS]

    @on_loop
    async def test_call_is_refused_when_no_codec_of_the_list_is_offered(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "G729", "opus")
        rig.carrier()
        rig.dial()
        (answer,) = rig.wire.responses(488, SWITCH)
        assert q850_cause(answer.headers) == 65
        (record,) = rig.records()
        assert (record["attempt"], record["code"], record["object"], record["sip_code"], record["q850_cause"]) == (
            0, "CODEC_NOT_ALLOWED", "account CUST0001", 488, 65,
        )  # fmt: skip
        assert rig.wire.requests("INVITE", SWITCH) == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_static_payload_types_are_known_by_number(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "G729")
        rig.carrier()
        bare = audio_session(CALLER, "PCMA", "G729").partition(b"a=rtpmap")[0]
        headers = {"Content-Type": "application/sdp"}
        rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", body=bare, changed=headers))
        assert offered(rig) == [G729]


class TestNothingInCommon:
    @on_loop
    async def test_next_carrier_is_called(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.carriers[1].codecs = CodecList.of(["G729"])
        first = rig.carrier(1)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        assert first.invites == []
        rig.hang_up(rig.caller)
        refused, call = rig.records()
        assert (refused["attempt"], refused["is_last"], refused["code"], refused["object"]) == (
            1, False, "CODEC_NOT_ALLOWED", "gateway gateway-1",
        )  # fmt: skip
        assert (refused["sip_code"], refused["q850_cause"], refused["gateway_id"]) == (488, 65, 1)
        assert (call["attempt"], call["code"], call["gateway_id"]) == (2, "ANSWERED", 2)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_gets_488_when_no_carrier_is_left(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for number in (1, 2):
            rig.snapshot.carriers[number].codecs = CodecList.of(["G729"])
        rig.dial()
        (answer,) = rig.wire.responses(488, SWITCH)
        assert answer.headers["reason"] == ['Q.850;cause=65;text="CODEC_NOT_ALLOWED"']
        assert [(record["attempt"], record["code"], record["is_last"]) for record in rig.records()] == [
            (1, "CODEC_NOT_ALLOWED", False), (2, "CODEC_NOT_ALLOWED", True),
        ]  # fmt: skip
        assert rig.switch.wheel.count == 0
        rig.assert_nothing_is_left()

    @on_loop
    async def test_health_is_as_before_when_nothing_was_sent(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.snapshot.carriers[1].codecs = CodecList.of(["G729"])
        rig.carrier(2)
        for _ in range(4):
            rig.dial()
        assert rig.driver.health.down() == {}

    @on_loop
    async def test_gateway_may_still_be_tried_when_nothing_was_sent(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.driver.health._clock = rig.wire.clock
        for _ in range(3):
            rig.driver.health.silent(1)
        rig.wire.advance(30.0)
        rig.snapshot.carriers[1].codecs = CodecList.of(["G729"])
        rig.dial()
        assert not rig.driver.is_down(rig.gateway())


class TestAnswer:
    @on_loop
    async def test_forbidden_codecs_are_taken_out(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU", "PCMA")
        rig.carrier(codecs=("PCMA", "G729", "PCMU", "telephone-event"))
        rig.dial()
        # The carrier's order stays.
        assert answered(rig) == [PCMA, PCMU, EVENTS]
        rig.hang_up(rig.caller)
        assert rig.records()[0]["codec_used"] == "PCMA"

    @on_loop
    async def test_codec_used_is_one_that_may_be_used(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        rig.carrier(codecs=("G729", "PCMU"))
        rig.dial()
        assert answered(rig) == [PCMU]
        rig.hang_up(rig.caller)
        assert rig.records()[0]["codec_used"] == "PCMU"

    @on_loop
    async def test_carrier_gets_ack_and_bye_when_it_answers_with_a_forbidden_codec(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        first = rig.carrier(1, codecs=("G729",))
        rig.carrier(2)
        rig.dial()
        assert rig.wire.labels(SWITCH, CARRIERS[0]) == ["INVITE", "180 INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]
        assert first.hang_up_causes == [65]
        assert rig.caller.is_answered.is_set()
        assert answered(rig) == [PCMU, EVENTS]
        assert [line["kind"] for line in rig.lines()] == ["cdr", "answered"]
        rig.hang_up(rig.caller)
        refused, call = rig.records()
        assert (refused["attempt"], refused["is_last"], refused["code"]) == (1, False, "CODEC_NOT_ALLOWED")
        assert (refused["sip_code"], refused["q850_cause"]) == (488, 65)
        assert (refused["answered_at"], refused["gross"], refused["ended_by"]) == (None, None, "system")
        assert (call["attempt"], call["code"], call["gateway_id"]) == (2, "ANSWERED", 2)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_gets_488_when_that_was_the_last(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        for number in (1, 2):
            rig.carrier(number, codecs=("G729", "telephone-event"))
        rig.dial()
        assert rig.caller.status == 488
        assert [record["code"] for record in rig.records()] == ["CODEC_NOT_ALLOWED"] * 2
        assert rig.wire.responses(200, SWITCH, rig.caller.host) == []
        rig.assert_nothing_is_left()

    @on_loop
    async def test_ack_is_repeated_when_the_refused_answer_is(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        rig.carrier(1, codecs=("G729",))
        rig.carrier(2, answers=False)
        rig.wire.lose("ACK", SWITCH)
        rig.wire.lose("BYE", SWITCH)
        rig.dial()
        rig.wire.advance(1.0)
        assert rig.wire.labels(SWITCH, CARRIERS[0]).count("ACK") == 1
        assert len(rig.driver.calls) == 1

    @on_loop
    async def test_answer_that_is_refused_is_a_sign_of_life(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        rig.carrier(1, codecs=("G729",))
        rig.carrier(2)
        for _ in range(2):
            rig.driver.health.silent(1)
        rig.dial()
        rig.driver.health.silent(1)
        assert rig.driver.health.down() == {}

    @on_loop
    async def test_early_media_is_filtered_too(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        carrier = rig.carrier(rings=False, answers=False)
        rig.dial()
        for codecs in (("G729", "PCMU"), ("G729",)):
            carrier.leg.send_provisional(183, audio_session(carrier.host, *codecs))  # type: ignore[union-attr]
            carrier.endpoint.end_of_turn()
            rig.wire.settle()
        (progress,) = rig.wire.responses(183, SWITCH)
        assert payloads_of(progress.body) == [PCMU]


class TestLateOffer:
    @on_loop
    async def test_carriers_offer_is_filtered_and_put_in_order(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU", "PCMA")
        rig.caller.offers_late = True
        rig.carrier(codecs=("PCMA", "G729", "telephone-event", "PCMU"))
        rig.dial()
        assert rig.wire.requests("INVITE", SWITCH)[0].body == b""
        assert answered(rig) == [PCMU, PCMA, EVENTS]

    @on_loop
    async def test_call_passes_the_check_when_nothing_is_offered(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "opus")
        rig.caller.offers_late = True
        carrier = rig.carrier(answers=False)
        rig.dial()
        assert len(carrier.invites) == 1

    @on_loop
    async def test_next_carrier_is_called_when_the_offer_has_nothing_allowed(self, make_rig: MakeRig) -> None:
        rig = listing(make_rig(), "PCMU")
        rig.caller.offers_late = True
        first = rig.carrier(1, codecs=("G729",))
        rig.carrier(2)
        rig.dial()
        assert first.hang_up_causes == [65]
        assert rig.wire.labels(SWITCH, CARRIERS[0])[3:] == ["ACK", "BYE", "200 BYE"]
        assert answered(rig) == [PCMU, EVENTS]
        assert [record["code"] for record in rig.records()] == ["CODEC_NOT_ALLOWED"]


class TestMedia:
    @on_loop
    async def test_call_is_refused_when_no_engine_can_carry_its_audio(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.customer.with_media = True
        rig.dial()
        (answer,) = rig.wire.responses(503, SWITCH)
        assert answer.headers["reason"] == ['Q.850;cause=47;text="NO_MEDIA"']
        (record,) = rig.records()
        assert (record["attempt"], record["code"], record["object"], record["q850_cause"]) == (
            0, "NO_MEDIA", "account CUST0001", 47,
        )  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_to_a_did_is_refused_likewise(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.customer.with_media = True
        rig.add_did()
        rig.add_device()
        assert rig.dial_in().status == 503
        assert [record["code"] for record in rig.records()] == ["NO_MEDIA"]
