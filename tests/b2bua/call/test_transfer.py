"""Transfers: REFER, Replaces, and what becomes of the calls (RFC 3515, RFC 3891)."""

from collections.abc import Callable

import pytest

from b2bua.call.transfer import ReferTarget, Replaces, read_refer_to
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.support.legs import WiredAgent, WiredAnswerer, WiredCaller, on_loop
from tests.support.talking import Heard, Said

MakeRig = Callable[..., Rig]

THIRD = "442071111111"
"""Number of the one that is to be talked to in the end."""


def refer(*values: str) -> Request:
    return Request("REFER", "sip:x@192.0.2.1", Headers({"refer-to": list(values)} if values else {}))


class TestReferTo:
    @pytest.mark.parametrize(
        ("value", "target"),
        [
            ("<sip:4420@192.0.2.1>", ReferTarget("4420", "")),
            ("sip:4420@192.0.2.1", ReferTarget("4420", "")),
            ("<tel:+4420>", ReferTarget("+4420", "")),
            ("<sip:4420@h;method=INVITE>", ReferTarget("4420", "")),
            (
                "<sip:4420@h?Replaces=1a%402.3%3Bto-tag%3D7%3Bfrom-tag%3D8>",
                ReferTarget("4420", "1a@2.3;to-tag=7;from-tag=8"),
            ),
            (
                "Bob <sips:4420@h?Subject=x&replaces=a%3Bfrom-tag%3D8%3Bto-tag%3D7>;q=1",
                ReferTarget("4420", "a;from-tag=8;to-tag=7"),
            ),
        ],
    )
    def test_says_whom_to_call(self, value: str, target: ReferTarget) -> None:
        assert read_refer_to(refer(value)) == target

    @pytest.mark.parametrize(
        "values",
        [
            [],
            ["<sip:1@h>", "<sip:2@h>"],
            ["<sip:h>"],
            ["<mailto:a@h>"],
            ["<sip:1@h;method=BYE>"],
            ["<sip:1@h?Replaces=a>"],
            ["<sip:1@h?Replaces=a%3Bto-tag%3D7>"],
            [f"<sip:{'1' * 300}@h>"],
        ],
    )
    def test_is_refused_when_it_names_nobody_that_can_be_called(self, values: list[str]) -> None:
        with pytest.raises(ParseError):
            read_refer_to(refer(*values))

    def test_replaces_may_be_for_a_dialog_that_only_rings(self) -> None:
        assert Replaces.parse("a ; to-tag=1; from-tag=2; early-only") == Replaces("a", "1", "2", True)


def transfer(agent: WiredAgent, number: str = THIRD, replaces: str = "") -> Said:
    """Ask for the other side to be connected with a number, or with whom another call of the agent's is."""
    headers = f"?Replaces={replaces}" if replaces else ""
    return agent.say("REFER", headers={"refer-to": f"<sip:{number}@{SWITCH}{headers}>"})


def notified(agent: WiredAgent) -> list[str]:
    """What the agent was told of the new call."""
    return [each.request.body.decode().split("\r\n")[0] for each in notifications(agent)]


def notifications(agent: WiredAgent) -> list[Heard]:
    return [each for each in agent.heard if each.request.method == "NOTIFY"]


def escaped_replaces(agent: WiredAgent) -> str:
    """The agent's dialog, as its peer is to know it."""
    assert agent.leg is not None
    assert agent.leg.dialog is not None
    dialog = agent.leg.dialog
    return f"{dialog.call_id}%3Bto-tag%3D{dialog.remote_tag}%3Bfrom-tag%3D{dialog.local_tag}".replace("@", "%40")


def told_apart(rig: Rig) -> dict[str, dict[str, object]]:
    """Records by the number that was called."""
    return {record["destination_received"]: record for record in rig.records()}


class Desk:
    """A caller at its desk, a carrier with somebody on the line, and one for whoever is called next."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.first = rig.carrier(1)
        rig.dial()
        assert rig.caller.is_answered.is_set()

    @property
    def caller(self) -> WiredCaller:
        return self.rig.caller

    def next_is(self, **how: object) -> WiredAnswerer:
        """Calls go to another place from now on."""
        self.rig.gateway().host = CARRIERS[2]
        return self.rig.carrier(3, **how)


class TestBlind:
    @on_loop
    async def test_callee_talks_with_whom_the_caller_has_named(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        said = transfer(desk.caller)
        assert said.status == 202
        assert notified(desk.caller) == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
        states = [each.request.headers["subscription-state"][0] for each in notifications(desk.caller)]
        assert states == ["active;expires=180", "active;expires=180", "terminated;reason=noresource"]
        assert desk.caller.is_ended.is_set()  # nothing holds it any more
        assert third.invites[0].uri.startswith(f"sip:{THIRD}@")
        # The callee was offered the third one's session, and the two go on talking.
        (offered,) = [each for each in desk.first.heard if each.request.method == "INVITE"]
        assert f"c=IN IP4 {CARRIERS[2]}".encode() in offered.request.body
        rig.wire.advance(30.0)
        assert third.say("INFO", b"5").status == 200
        assert desk.first.heard[-1].request.method == "INFO"
        rig.hang_up(third)
        assert desk.first.is_ended.is_set()
        records = told_apart(rig)
        assert {number: record["account_id"] for number, record in records.items()} == {NUMBER: 2, THIRD: 2}
        assert all(record["code"] == "ANSWERED" for record in records.values())
        assert records[THIRD]["source_received"] == records[NUMBER]["source_received"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_may_leave_at_once(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is(answers=False)
        transfer(desk.caller)
        rig.hang_up(desk.caller)
        assert not desk.first.is_ended.is_set()
        assert len(rig.driver.calls) == 2
        leg = third.leg
        assert leg is not None
        leg.answer(third.session)  # type: ignore[attr-defined]
        third.endpoint.end_of_turn()
        rig.wire.settle()
        assert not desk.first.is_ended.is_set()
        rig.hang_up(desk.first)
        assert third.is_ended.is_set()
        assert sorted(told_apart(rig)) == [THIRD, NUMBER]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_goes_on_when_the_third_one_refuses(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        desk.next_is(refuse=486)
        transfer(desk.caller)
        assert notified(desk.caller)[-1] == "SIP/2.0 486 Busy Here"
        assert desk.caller.say("INFO", b"1").status == 200
        assert desk.first.heard[-1].request.method == "INFO"
        assert transfer(desk.caller).status == 202  # and it may be tried again
        rig.hang_up(desk.caller)
        assert desk.first.is_ended.is_set()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_callee_is_let_go_when_the_third_one_refuses_and_the_caller_has_left(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is(answers=False)
        transfer(desk.caller)
        rig.hang_up(desk.caller)
        leg = third.leg
        assert leg is not None
        leg.send_failure(486, 17, "", {})  # type: ignore[attr-defined]
        third.endpoint.end_of_turn()
        rig.wire.settle()
        assert desk.first.is_ended.is_set()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_new_call_is_given_up_when_the_callee_hangs_up_meanwhile(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is(answers=False)
        transfer(desk.caller)
        rig.hang_up(desk.first)
        assert desk.caller.is_ended.is_set()
        assert third.is_ended.is_set()
        assert told_apart(rig)[THIRD]["code"] == "CANCELLED"
        rig.assert_nothing_is_left()

    @on_loop
    async def test_it_is_given_up_when_nobody_answers_for_three_minutes(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.gateway().ring_timeout = 300.0
        desk = Desk(rig)
        third = desk.next_is(answers=False)
        transfer(desk.caller)
        rig.wire.advance(181.0)
        assert notified(desk.caller)[-1] == "SIP/2.0 408 Request Timeout"
        assert third.is_ended.is_set()
        assert not desk.first.is_ended.is_set()
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_all_is_over_when_the_callee_takes_no_other_session(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        desk.first.statuses["INVITE"] = 488
        transfer(desk.caller)
        assert notified(desk.caller)[-1] == "SIP/2.0 488 Not Acceptable Here"
        assert third.is_ended.is_set()
        assert not desk.first.is_ended.is_set()
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_held_callee_is_taken_off_hold(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        desk.first.describes = desk.first.usual_session + b"a=recvonly\r\n"
        assert desk.caller.reinvite(desk.caller.usual_session + b"a=sendonly\r\n").status == 200
        transfer(desk.caller)
        assert b"a=recvonly" not in third.invites[0].body
        offered = [each for each in desk.first.heard if each.request.method == "INVITE"][-1]
        assert b"a=sendonly" not in offered.request.body
        rig.hang_up(third)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_versions_of_the_session_only_grow(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        desk.next_is()
        session = desk.caller.usual_session.replace(b"o=- 1 1 ", b"o=- 1 99 ", 1).replace(
            b"o=- 77 1 ", b"o=- 77 99 ", 1
        )
        assert desk.caller.reinvite(session).status == 200
        transfer(desk.caller)
        origins = [each.request.body.split(b"\no=")[1].split() for each in desk.first.heard if each.request.body]
        assert len({origin[1] for origin in origins}) == 1
        assert [int(origin[2]) for origin in origins] == [99, 100]

    @on_loop
    @pytest.mark.parametrize(
        ("code", "status"), [("SESSION_LIMIT", "503 Service Unavailable"), ("NO_FUNDS", "402 Payment Required")]
    )
    async def test_new_call_needs_what_every_call_needs(self, make_rig: MakeRig, code: str, status: str) -> None:
        rig = make_rig()
        if code == "SESSION_LIMIT":
            rig.customer.max_sessions = 1
            rig.link()
        else:
            rig.pay(2, "0.06")
        desk = Desk(rig)
        third = desk.next_is()
        transfer(desk.caller)
        assert notified(desk.caller)[-1] == f"SIP/2.0 {status}"
        assert third.invites == []
        assert told_apart(rig)[THIRD]["code"] == code
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_carrier_cannot_make_us_call_anybody(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        assert transfer(desk.first).status == 403
        assert len(rig.driver.calls) == 1
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_second_transfer_waits_for_the_first(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        desk.next_is(answers=False)
        assert transfer(desk.caller).status == 202
        assert transfer(desk.caller).status == 491
        rig.hang_up(desk.first)
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("refer_to", ["<sip:@>", "<mailto:a@b>", "<sip:1@h?Replaces=x>"])
    async def test_bad_request_changes_nothing(self, make_rig: MakeRig, refer_to: str) -> None:
        rig = make_rig()
        desk = Desk(rig)
        assert desk.caller.say("REFER", headers={"refer-to": refer_to}).status == 400
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_one_who_is_called_transfers_at_the_cost_of_its_own_account(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        device = rig.add_device()
        rig.add_did()
        caller = rig.dial_in()
        assert caller.is_answered.is_set()
        rig.gateway(2).host = CARRIERS[2]
        rig.gateway(1).host = CARRIERS[3]
        third = rig.carrier(3)
        rig.driver.health.silent(1)
        assert transfer(device).status == 202
        rig.wire.advance(6.0)
        assert third.invites
        assert device.is_ended.is_set()
        rig.wire.advance(10.0)
        rig.hang_up(caller)
        assert third.is_ended.is_set()
        records = [record for record in rig.records() if record["is_last"]]
        assert [(record["kind"], record["account_id"], record["code"]) for record in records] == [
            ("incoming", 2, "ANSWERED"),
            ("outgoing", 2, "ANSWERED"),
        ] or [record["kind"] for record in records] == ["outgoing", "incoming"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_journal_knows_where_the_sides_are_after_it(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        desk.next_is()
        transfer(desk.caller)
        lines = [line for line in rig.lines() if line["kind"] == "dialogs"]
        flows = [dialog["flow"][1] for dialog in lines[-1]["dialogs"]]
        assert flows == [SWITCH, CARRIERS[0]]
        rig.hang_up(desk.first)


class TestAttended:
    @on_loop
    async def test_caller_connects_the_two_it_talks_with(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        rig.wire.advance(10.0)
        consulting = second_line(rig)
        assert consulting.is_answered.is_set()
        rig.wire.advance(20.0)
        said = transfer(desk.caller, replaces=escaped_replaces(consulting))
        assert said.status == 202
        assert notified(desk.caller)[-1] == "SIP/2.0 200 OK"
        assert consulting.is_ended.is_set()
        assert desk.caller.is_ended.is_set()
        assert len(third.invites) == 1  # its telephone did not ring again
        assert [each.cseq for each in rig.wire.requests("ACK", SWITCH, CARRIERS[2])] == [1, 2]
        (offered,) = [each for each in third.heard if each.request.method == "INVITE"]
        assert f"c=IN IP4 {CARRIERS[0]}".encode() in offered.request.body
        assert third.say("INFO", b"5").status == 200
        assert desk.first.heard[-1].request.method == "INFO"
        rig.wire.advance(30.0)
        rig.hang_up(desk.first)
        assert third.is_ended.is_set()
        records = [
            (record["destination_received"], record["account_id"], record["reason"], round(record["duration"]))
            for record in rig.records()
        ]
        assert sorted(records) == [(THIRD, 2, "", 30), (THIRD, 2, "TRANSFERRED", 20), (NUMBER, 2, "", 60)]
        assert all(record["code"] == "ANSWERED" for record in rig.records())
        rig.assert_nothing_is_left()

    @on_loop
    async def test_account_at_its_limit_of_sessions_can_do_it(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.customer.max_sessions = 2
        rig.link()
        desk = Desk(rig)
        third = desk.next_is()
        consulting = second_line(rig)
        transfer(desk.caller, replaces=escaped_replaces(consulting))
        assert notified(desk.caller)[-1] == "SIP/2.0 200 OK"
        rig.hang_up(third)
        assert desk.first.is_ended.is_set()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_third_one_that_takes_no_other_session_is_let_go(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        consulting = second_line(rig)
        third.statuses["INVITE"] = 488
        transfer(desk.caller, replaces=escaped_replaces(consulting))
        assert notified(desk.caller)[-1] == "SIP/2.0 488 Not Acceptable Here"
        assert third.is_ended.is_set()
        assert not desk.first.is_ended.is_set()
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("replaces", ["nobody%3Bto-tag%3D1%3Bfrom-tag%3D2"])
    async def test_call_that_is_not_there_replaces_nothing(self, make_rig: MakeRig, replaces: str) -> None:
        rig = make_rig()
        desk = Desk(rig)
        third = desk.next_is()
        transfer(desk.caller, replaces=replaces)
        assert notified(desk.caller)[-1] == "SIP/2.0 481 Call/Transaction Does Not Exist"
        assert third.invites == []
        assert told_apart(rig)[THIRD]["code"] == "NO_DIALOG"
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_of_another_account_is_not_taken_over(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        neighbour = rig.add_neighbour()
        desk = Desk(rig)
        third = desk.next_is()
        neighbour.dial(SWITCH, THIRD)
        assert neighbour.is_answered.is_set()
        transfer(desk.caller, replaces=escaped_replaces(neighbour))
        assert notified(desk.caller)[-1] == "SIP/2.0 481 Call/Transaction Does Not Exist"
        assert not neighbour.is_ended.is_set()
        rig.hang_up(neighbour)
        rig.hang_up(desk.caller)
        assert third.is_ended.is_set()
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_that_only_rings_is_not_taken_over(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        desk = Desk(rig)
        desk.next_is(answers=False)
        consulting = second_line(rig)
        leg = consulting.leg
        assert leg is not None
        assert leg.dialog is not None
        leg.dialog.remote_tag = rig.wire.responses(180, SWITCH, CALLER)[-1].to_tag
        transfer(desk.caller, replaces=escaped_replaces(consulting))
        assert notified(desk.caller)[-1] == "SIP/2.0 481 Call/Transaction Does Not Exist"
        consulting.cancel()
        rig.wire.settle()
        rig.hang_up(desk.caller)
        rig.assert_nothing_is_left()


def second_line(rig: Rig) -> WiredCaller:
    """The caller's other line calls the third one; it has the same address, and a port of its own."""
    device = rig.device
    rig.snapshot.devices.add("198.51.100.8/32", device)
    line = WiredCaller(rig.wire, "198.51.100.8")
    line.dial(SWITCH, THIRD)
    return line
