"""Requests within a dialog that are taken back, lost, or overtaken by the end of the call; and any order of all."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from b2bua.call.leg import next_hop
from b2bua.call.recovery import end_lost
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from cdr.journal import JournalWriter
from tests.b2bua.call.exchanges import (
    CARRIER,
    ELSEWHERE,
    FROM_EITHER,
    T1_64,
    Agent,
    MakeRig,
    assert_ended,
    call_up,
    end,
    heard,
    version_of,
)
from tests.b2bua.call.rig import SWITCH, Rig, running_rig
from tests.support.legs import WiredEndpoint, on_loop
from tests.support.talking import Judge, describe_audio


class TestCancel:
    @on_loop
    @FROM_EITHER
    async def test_invite_is_taken_back_on_both_sides(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.advance(0.3)
        near.withdraw(said)
        assert heard(far).is_cancelled
        assert said.status == 487
        assert rig.wire.labels(near.host, SWITCH).count("200 CANCEL") == 1
        (cancel,) = rig.wire.requests("CANCEL", SWITCH, far.host)
        invite = heard(far).request
        for name in ("from", "to", "call-id"):
            assert cancel.headers[name] == invite.headers[name]
        assert (cancel.via.branch, cancel.cseq, cancel.uri) == (invite.via.branch, invite.cseq, invite.uri)
        far.statuses.clear()
        assert near.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_cancel_waits_for_a_provisional_answer(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        rig.wire.lose("INVITE", SWITCH)
        said = near.reinvite()
        rig.wire.advance(0.3)  # the near side has its 100, we have none yet
        near.withdraw(said)
        assert rig.wire.requests("CANCEL", SWITCH) == []  # §9.1
        rig.wire.advance(2.0)
        assert said.status == 487
        assert heard(far).is_cancelled
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_answer_counts_when_it_crosses_the_cancel(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.advance(0.3)
        near.withdraw(said, settles=False)
        far.reply(heard(far), settles=False)
        rig.wire.settle()
        assert said.status in (200, 487)
        if said.status == 200:
            assert heard(far).acks
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_cancel_changes_nothing_when_the_invite_is_answered(self, make_rig: MakeRig, side: str) -> None:
        rig, near, _ = call_up(make_rig, side)
        said = near.reinvite()
        near.withdraw(said)
        assert said.status == 200
        assert rig.wire.requests("CANCEL", SWITCH) == []
        assert len(rig.driver.calls) == 1
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_call_ends_when_the_cancelled_invite_is_never_answered(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.advance(10.0)
        rig.wire.lose("CANCEL", SWITCH, 1000)
        near.withdraw(said)
        rig.wire.advance(T1_64 + 20.0)
        assert said.status
        assert near.hang_up_causes == far.hang_up_causes == [102]
        assert [record["reason"] for record in rig.records()] == ["DIALOG_GONE"]

    @on_loop
    @FROM_EITHER
    async def test_invite_is_cancelled_once(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.lose("487 INVITE", far.host, 1000)
        rig.wire.advance(10.0)
        near.withdraw(said)
        rig.wire.advance(T1_64)
        assert len(rig.wire.requests("CANCEL", SWITCH, far.host)) == 1

    @on_loop
    @FROM_EITHER
    async def test_transaction_is_given_up_when_a_final_answer_never_comes(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        near.reinvite()
        rig.wire.lose("CANCEL", SWITCH, 1000)
        rig.wire.lose("BYE", SWITCH, 1000)
        rig.wire.advance(T1_64 + 1.0)
        assert rig.driver.calls == {}
        rig.assert_nothing_is_left()


class TestHangUp:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("who", ["near", "far"])
    async def test_pending_invite_gets_487(self, make_rig: MakeRig, side: str, who: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.hang_up(near if who == "near" else far)
        assert said.status == 487  # §15.1.2
        (record,) = rig.records()
        ended_by = side if who == "near" else {"caller": "callee", "callee": "caller"}[side]
        assert (record["ended_by"], record["reason"]) == (ended_by, "")
        assert near.is_over
        assert far.is_over
        rig.wire.advance(1.0)
        assert Judge(rig.wire, SWITCH).find_faults() == []
        rig.assert_nothing_is_left()

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INFO", "MESSAGE"])
    async def test_other_pending_requests_are_answered(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses[method] = 0
        said = near.say(method)
        rig.hang_up(far)
        assert said.status >= 400
        rig.wire.advance(1.0)
        rig.assert_nothing_is_left()

    @on_loop
    @FROM_EITHER
    async def test_answer_that_comes_too_late_is_acknowledged(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.advance(0.3)
        rig.wire.lose("BYE", SWITCH)
        rig.hang_up(near)
        far.reply(heard(far))
        assert said.status == 487
        assert heard(far).acks
        rig.wire.advance(2.0)
        assert far.is_over
        rig.assert_nothing_is_left()

    @on_loop
    @FROM_EITHER
    async def test_call_ends_when_bye_comes_instead_of_the_ack(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        near.say("INVITE", acknowledges=False)
        rig.hang_up(near)
        rig.wire.advance(2.0)
        assert far.is_over
        rig.assert_nothing_is_left()

    @on_loop
    @FROM_EITHER
    async def test_far_answer_is_acknowledged_when_bye_comes_instead_of_the_ack(
        self, make_rig: MakeRig, side: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        near.say("INVITE", acknowledges=False)
        rig.hang_up(near)
        assert heard(far).acks

    @on_loop
    async def test_pending_invite_gets_487_when_the_operator_ends_the_call(self, make_rig: MakeRig) -> None:
        rig, near, far = call_up(make_rig)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        assert rig.driver.hang_up_all("HANGUP_BY_OPERATOR") == 1
        rig.wire.settle()
        assert said.status == 487
        assert near.is_over
        assert far.is_over
        assert rig.records()[0]["reason"] == "HANGUP_BY_OPERATOR"


class TestLostAnswers:
    @on_loop
    @FROM_EITHER
    async def test_answer_is_repeated_until_it_is_acknowledged(self, make_rig: MakeRig, side: str) -> None:
        rig, near, _ = call_up(make_rig, side)
        rig.wire.lose("200 INVITE", SWITCH, 3)
        said = near.reinvite()
        assert said.status == 0
        began = rig.wire.now
        rig.wire.advance(4.0)
        assert said.status == 200
        times = [each.at + 1000.0 - began for each in rig.wire.carried if each.label == "200 INVITE"
                 and each.source == SWITCH and each.target == near.host][-4:]  # fmt: skip
        assert times == pytest.approx([0.0, 0.5, 1.5, 3.5], abs=0.1)  # §13.3.1.4
        rig.wire.advance(40.0)
        assert len(rig.driver.calls) == 1
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_answer_is_repeated_when_the_ack_is_lost(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose("ACK", near.host, 2)
        said = near.reinvite()
        rig.wire.advance(10.0)
        assert len([each for each in said.responses if each.status == 200]) == 3
        assert len(heard(far).acks) == 1
        assert far.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_far_answer_is_acknowledged_again_when_it_is_repeated(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose("ACK", SWITCH, 2)
        said = near.reinvite()
        rig.wire.advance(5.0)
        acks = rig.wire.requests("ACK", SWITCH, far.host)[-3:]
        assert len({ack.to_bytes() for ack in acks}) == 1
        assert acks[0].cseq == heard(far).request.cseq
        assert len(heard(far).acks) == 1
        assert len([each for each in said.responses if each.status == 200]) == 1
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_ack_of_a_late_offer_is_repeated_with_its_answer(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose("ACK", SWITCH, 2)
        near.say("INVITE", answer=describe_audio(near.host, version=9))
        rig.wire.advance(5.0)
        (ack,) = heard(far).acks
        assert version_of(ack.body) == "9"
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("lost", ["answer", "ack"])
    async def test_call_ends_when_the_answer_is_never_acknowledged(
        self, make_rig: MakeRig, side: str, lost: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose(*(("200 INVITE", SWITCH) if lost == "answer" else ("ACK", near.host)), 1000)
        near.reinvite()
        rig.wire.advance(T1_64 - 1.0)
        assert len(rig.driver.calls) == 1
        rig.wire.advance(2.0)
        assert_ended(rig, "NO_ACK", near, far)


class TestTargetRefresh:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_later_requests_go_to_the_new_contact(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        moved = ELSEWHERE[near.host]
        near.leg.dialog.contact = f"<sip:new@{moved}:5060>"  # type: ignore[union-attr]
        assert near.say(method, near.usual_session).status == 200
        rig.hang_up(far)
        byes = [each for each in rig.wire.carried if each.label == "BYE" and each.source == SWITCH]
        assert [each.target for each in byes] == [moved]
        assert byes[0].message.uri == f"sip:new@{moved}:5060"  # type: ignore[union-attr]

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_contact_of_an_answer_counts_too(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        moved = ELSEWHERE[far.host]
        far.leg.dialog.contact = f"<sip:new@{moved}:5060>"  # type: ignore[union-attr]
        near.say(method, near.usual_session)
        if method == "INVITE":
            assert rig.wire.requests("ACK", SWITCH, moved)
        rig.hang_up(near)
        assert rig.wire.requests("BYE", SWITCH, moved)

    @on_loop
    @FROM_EITHER
    async def test_contact_of_a_text_does_not_count(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        near.say("INFO", headers={"contact": f"<sip:new@{ELSEWHERE[near.host]}:5060>"})
        rig.hang_up(far)
        assert near.is_over

    @on_loop
    @FROM_EITHER
    async def test_contact_of_a_refused_request_does_not_count(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 488
        near.leg.dialog.contact = f"<sip:new@{ELSEWHERE[near.host]}:5060>"  # type: ignore[union-attr]
        assert near.reinvite().status == 488
        rig.hang_up(far)
        assert near.is_over

    @on_loop
    @pytest.mark.parametrize("target", [f"sip:{CARRIER}:50600", f"sip:x@{CARRIER}:50601;transport=udp"])
    async def test_new_port_counts_when_it_begins_like_the_old_one(self, make_rig: MakeRig, target: str) -> None:
        rig = make_rig()
        flow = next_hop(rig.switch, Flow("udp", CARRIER, 5060), Request("BYE", target, Headers()))
        assert flow.port in (50600, 50601)


class TestSuccessor:
    @staticmethod
    def lost(rig: Rig) -> list[dict[str, object]]:
        rig.journal.close(0.0)
        successor = JournalWriter(rig.directory, "sip-1", "sip-1:2", segment_size=10_000_000, sync_interval=0.01)
        lost = successor.recover()
        successor.open(0.0, lost)
        successor.close(0.0)
        rig.journal = JournalWriter(  # only so that the rig has one to close
            rig.directory.parent / "other", "other", "other:1", segment_size=10_000_000, sync_interval=0.01
        )
        return lost

    async def end(self, rig: Rig) -> None:
        """The worker dies, and its successor ends the call."""
        await end_lost(WiredEndpoint(rig.wire, SWITCH, rig.caller, ("udp",)), self.lost(rig))
        rig.wire.settle()

    @on_loop
    @FROM_EITHER
    async def test_bye_is_accepted_after_requests_that_are_not_on_record(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        for _ in range(5):
            near.reinvite()
            near.say("INFO")
        await self.end(rig)
        assert near.hang_up_causes == far.hang_up_causes == [41]
        assert rig.wire.labels().count("200 BYE") == 2

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize(("method", "is_described"), [("INVITE", True), ("UPDATE", True), ("UPDATE", False)])
    async def test_bye_goes_to_the_new_contact(
        self, make_rig: MakeRig, side: str, method: str, is_described: bool
    ) -> None:
        rig, near, _ = call_up(make_rig, side)
        moved = ELSEWHERE[near.host]
        near.leg.dialog.contact = f"<sip:new@{moved}:5060>"  # type: ignore[union-attr]
        near.say(method, near.usual_session if is_described else b"")
        await self.end(rig)
        assert rig.wire.requests("BYE", SWITCH, moved)

    @on_loop
    @FROM_EITHER
    async def test_bye_goes_to_the_new_contact_of_an_answer(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        moved = ELSEWHERE[far.host]
        far.leg.dialog.contact = f"<sip:new@{moved}:5060>"  # type: ignore[union-attr]
        near.reinvite()
        await self.end(rig)
        assert rig.wire.requests("BYE", SWITCH, moved)

    @on_loop
    async def test_bye_goes_to_the_new_contact_of_an_answer_to_our_refresh(self, make_rig: MakeRig) -> None:
        rig, near, _ = call_up(make_rig)
        moved = ELSEWHERE[near.host]
        near.leg.dialog.contact = f"<sip:new@{moved}:5060>"  # type: ignore[union-attr]
        rig.wire.advance(1000.0)
        assert heard(near).request.method == "UPDATE"
        await self.end(rig)
        assert rig.wire.requests("BYE", SWITCH, moved)

    @on_loop
    @FROM_EITHER
    async def test_bye_goes_to_the_old_contact_when_the_new_one_was_refused(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 488
        near.leg.dialog.contact = f"<sip:new@{ELSEWHERE[near.host]}:5060>"  # type: ignore[union-attr]
        near.reinvite()
        await self.end(rig)
        assert rig.wire.requests("BYE", SWITCH, near.host)
        assert near.hang_up_causes == [41]

    @on_loop
    @FROM_EITHER
    async def test_nothing_is_written_when_nobody_moves(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        near.reinvite()
        far.say("UPDATE")
        near.say("INFO", headers={"contact": f"<sip:new@{ELSEWHERE[near.host]}:5060>"})
        rig.wire.advance(1000.0)
        assert "dialogs" not in {line["kind"] for line in rig.lines()}

    @on_loop
    async def test_line_names_the_call_and_is_on_disk_before_the_answer_leaves(self, make_rig: MakeRig) -> None:
        rig, near, _ = call_up(make_rig)
        near.leg.dialog.contact = f"<sip:new@{ELSEWHERE[near.host]}:5060>"  # type: ignore[union-attr]
        noted = rig.note_lines_at("200 INVITE")
        near.reinvite()
        assert noted == [["answered", "dialogs"]]
        answered, renewed = rig.lines()
        assert (renewed["call_id"], renewed["attempt"]) == (answered["record"]["call_id"], 1)
        assert [dialog["call_id"] for dialog in renewed["dialogs"]] == [
            dialog["call_id"] for dialog in answered["dialogs"]
        ]


# Random order

ACTS = ("reinvite", "hold", "late", "slow", "update", "refresh", "info", "message", "cancel", "bye")
STATUSES = {"agrees": 200, "refuses": 488, "is silent": 0, "is strict": -1, "forgets": 481, "is busy": 491}

acts = st.tuples(st.sampled_from(["caller", "callee"]), st.sampled_from(ACTS), st.booleans())
moods = st.tuples(st.sampled_from(["caller", "callee"]), st.sampled_from(sorted(STATUSES)), st.just(True))
waits = st.tuples(st.just("wait"), st.sampled_from([0.1, 0.3, 0.6, 2.0, 5.0]), st.just(True))
scripts = st.lists(st.one_of(acts, acts, acts, moods, waits), max_size=14)
fates = st.lists(st.sampled_from([0, 1, 1, 1, 1, 2]), max_size=40)


class Play:
    """A call that is up, and two sides that do what a script says."""

    def __init__(self, rig: Rig, luck: list[int]) -> None:
        self.rig = rig
        carrier = rig.carrier()
        rig.dial()
        self.agents: dict[str, Agent] = {"caller": rig.caller, "callee": carrier}
        self._luck = iter(luck)
        rig.wire.copies = lambda _: next(self._luck, 1)

    def act(self, who: str, what: object, settles: bool) -> None:
        """Do one thing."""
        if who == "wait":
            assert isinstance(what, float)
            self.rig.wire.advance(what)
            return
        agent = self.agents[who]
        if what in STATUSES:
            self._change_mood(agent, str(what))
        elif not agent.is_over:
            getattr(self, f"_{what}", self._say)(agent, what, settles)
        if settles:
            self.rig.wire.settle()

    @staticmethod
    def _change_mood(agent: Agent, mood: str) -> None:
        status = STATUSES[mood]
        agent.is_strict = status == -1
        agent.statuses = {} if status in (200, -1) else {"INVITE": status, "UPDATE": status}

    @staticmethod
    def _say(agent: Agent, what: object, settles: bool) -> None:
        session = agent.usual_session
        held = describe_audio(agent.host, version=3, direction="sendonly")
        method, body, answer = {
            "reinvite": ("INVITE", session, b""),
            "hold": ("INVITE", held, b""),
            "late": ("INVITE", b"", session),
            "slow": ("INVITE", session, b""),
            "update": ("UPDATE", held, b""),
            "refresh": ("UPDATE", b"", b""),
            "info": ("INFO", b"Signal=1", b""),
            "message": ("MESSAGE", b"hello", b""),
        }[str(what)]
        headers = {} if method in ("INVITE", "UPDATE") else {"content-type": "text/plain"}
        agent.say(method, body, headers, settles=settles, answer=answer, acknowledges=what != "slow")

    @staticmethod
    def _cancel(agent: Agent, _: object, settles: bool) -> None:
        for said in agent.said:
            # A peer cancels once, and what it has an answer to, that is not final.
            if said.request.method == "INVITE" and said.responses and not said.status and not said.is_cancelled:
                said.is_cancelled = True
                agent.withdraw(said, settles=settles)

    @staticmethod
    def _bye(agent: Agent, _: object, __: bool) -> None:
        agent.hang_up()

    def finish(self) -> None:
        """Nothing is lost any more; what was left open is done, and somebody hangs up."""
        self._luck = iter(())
        for agent in self.agents.values():
            for said in agent.said:
                if said.request.method == "INVITE" and 200 <= said.status < 300 and not said.ack:
                    agent.acknowledge(said)
        self.rig.wire.advance(70.0)
        if not self.rig.caller.is_over:
            self.rig.hang_up(self.rig.caller)
        self.rig.wire.advance(70.0)


@given(script=scripts, luck=fates)
@example([("caller", "late", True), ("callee", "late", True)], [0, 1, 0])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_call_ends_and_nothing_is_left_whatever_both_sides_do(
    script: list[tuple[str, object, bool]], luck: list[int]
) -> None:
    @on_loop
    async def play() -> None:
        with TemporaryDirectory() as directory, running_rig(Path(directory)) as rig, pytest.MonkeyPatch.context() as m:
            m.setattr("time.time", rig.wire.time_of_day)
            play = Play(rig, luck)
            for each in script:
                play.act(*each)
            play.finish()
            faults = Judge(rig.wire, SWITCH).find_faults()
            assert not faults
            assert all(agent.is_over for agent in play.agents.values())
            (record,) = rig.records()
            assert (record["code"], record["is_last"]) == ("ANSWERED", True)
            rig.assert_nothing_is_left()

    play()
