"""An attended transfer (RFC 5589 §7): user agents on real sockets, and three records of it."""

import asyncio
from urllib.parse import quote

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.call.callee_leg import CalleeLeg
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived, ResponseReceived
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from tests.support.calls import SOURCE, agents, received, until, within
from tests.support.interop import Trunk, Trunks, numbers, outcome, wait_until_idle
from tests.support.servers import Run
from tests.support.switch import Switch


class Transferor(Caller):
    """Calls two numbers, and has the first one connected with the second one."""

    def __init__(self) -> None:
        super().__init__()
        self.legs: list[CalleeLeg] = []
        self.answered: list[CalleeLeg] = []
        self.notified: list[Request] = []
        self.byes: list[str] = []
        """Call-IDs of the calls that the switch has ended."""
        self.referred = 0
        """Status of the answer to the REFER."""

    async def reach(self, number: str, port: int) -> CalleeLeg:
        """Call somebody, and wait for the answer."""
        self.call(number, SOURCE, "127.0.0.1", port)
        assert isinstance(self.leg, CalleeLeg)
        leg = self.leg
        self.legs.append(leg)
        await until(lambda: leg in self.answered)
        return leg

    def refer(self, leg: CalleeLeg, number: str, port: int, replaced: CalleeLeg) -> None:
        """Ask for the other side of a call to be connected in the place of ours in another call."""
        dialog, other = leg.dialog, replaced.dialog
        assert dialog is not None
        assert other is not None
        # RFC 3891 §3: the tags as whoever gets the INVITE sees them.
        replaces = f"{other.call_id};to-tag={other.remote_tag};from-tag={other.local_tag}"
        request = dialog.request("REFER")
        request.headers["contact"] = [dialog.contact]
        request.headers["refer-to"] = [f"<sip:{number}@127.0.0.1:{port}?Replaces={quote(replaces, safe='')}>"]
        request.headers["referred-by"] = [f"<sip:{SOURCE}@127.0.0.1>"]
        self.endpoint.transactions.send_request(request, dialog.flow, self.endpoint.now(), self)
        self.endpoint.end_of_turn()

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Acknowledge, and note who has answered."""
        super().callee_responded(leg, response)
        if 200 <= response.status < 300:
            self.answered.append(leg)

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """NOTIFY and BYE of either call are ours, and the answer to the REFER."""
        if isinstance(event, ResponseReceived) and event.transaction.user is self:
            self.referred = event.response.status
        elif isinstance(event, RequestReceived) and event.request.method in ("NOTIFY", "BYE"):
            self._told(event.transaction, event.request)
        else:
            super().handle_event(event, now)

    def _told(self, transaction: ServerTransaction, request: Request) -> None:
        if request.method == "BYE":
            self.byes.append(request.call_id)
        else:
            self.notified.append(request)
        self.endpoint.transactions.send_response(transaction, Response.to(request, 200), self.endpoint.now())


class Party(Answerer):
    """Answers with a session of its own."""

    def __init__(self, trunk: Trunk, media_port: int) -> None:
        super().__init__("127.0.0.1", trunk.port)
        self._media_port = media_port

    @property
    def session(self) -> bytes:
        """One that can be told from others."""
        return super().session.replace(b"m=audio 40000 ", b"m=audio %d " % self._media_port)

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Only once: whoever is taken over does not ring again."""
        assert not self.invites
        super().invited(transaction, request, flow)

    def offered(self) -> list[bytes]:
        """Bodies of the INVITEs that came after the first."""
        invites = [each for each in received(self) if isinstance(each, Request) and each.method == "INVITE"]
        return [each.body for each in invites[1:]]


def notices(agent: Transferor) -> list[tuple[str, str]]:
    """What came of the transfer, and whether more was to come."""
    found = []
    for notify in agent.notified:
        assert notify.headers.first("event").partition(";")[0] == "refer"
        assert notify.headers.first("content-type").startswith("message/sipfrag")
        state = notify.headers.first("subscription-state").partition(";")[0]
        found.append((notify.body.decode().partition("\r\n")[0], state))
    return found


@pytest.mark.parametrize("stays", [True, False])
def test_two_calls_become_one_and_have_three_records(switch: Switch, trunks: Trunks, run: Run, stays: bool) -> None:
    first, second = trunks.add(), trunks.add()
    alice, bob, carol = Transferor(), Party(first, 41_000), Party(second, 42_000)

    async def talk() -> None:
        async with agents(alice, bob, carol):
            with_bob = await alice.reach(first.number, switch.port)
            with_carol = await alice.reach(second.number, switch.port)
            alice.refer(with_bob, second.number, switch.port, with_carol)
            if not stays:
                with_bob.send_bye(16, "")
                alice.endpoint.end_of_turn()
            await until(lambda: alice.referred)
            await until(lambda: bob.offered() and carol.offered())
            assert with_bob.dialog is not None
            assert with_carol.dialog is not None
            ended = [with_bob.dialog.call_id] if stays else []
            ended.append(with_carol.dialog.call_id)
            await until(lambda: sorted(alice.byes) == sorted(ended))
            # The two talk for a second with each other.
            assert not bob.is_ended.is_set()
            assert not carol.is_ended.is_set()
            await asyncio.sleep(1.1)
            bob.hang_up()
            await within(carol.is_ended)
            await asyncio.to_thread(wait_until_idle, switch)

    run(talk())
    assert alice.referred == 202
    if stays:
        assert notices(alice)[0] == ("SIP/2.0 100 Trying", "active")
        assert notices(alice)[-1] == ("SIP/2.0 200 OK", "terminated")
    numbers_of_notices = [notify.cseq for notify in alice.notified]
    assert numbers_of_notices == sorted(set(numbers_of_notices))
    assert b"m=audio 42000 " in bob.offered()[-1]
    assert b"m=audio 41000 " in carol.offered()[-1]
    _check_records(switch, first, second)


def _check_records(switch: Switch, first: Trunk, second: Trunk) -> None:
    records = switch.wait_for_records(3)
    assert len(records) == 3
    to_bob, to_carol, transferred = records
    assert [numbers(record) for record in records] == [
        (SOURCE, first.number), (SOURCE, second.number), (SOURCE, second.number),
    ]  # fmt: skip
    assert outcome(to_bob) == ("ANSWERED", 200, "callee")
    assert (outcome(to_carol)[:2], to_carol["reason"]) == (("ANSWERED", 200), "TRANSFERRED")
    assert (outcome(transferred)[:2], transferred["reason"]) == (("ANSWERED", 200), "")
    # Both lines are paid for as long as they are up, the one to Carol in two parts.
    assert to_bob["duration"] >= transferred["duration"] >= 1
    assert to_carol["duration"] < to_bob["duration"]
    rows = switch.query(
        "SELECT account.code, gateway_id, count(cdr_charge.level) AS levels, min(cdr_charge.gross) AS least"
        " FROM cdr JOIN account ON account.id = cdr.account_id JOIN cdr_charge USING (call_id)"
        " GROUP BY cdr.call_id, cdr.received_at, account.code, gateway_id ORDER BY cdr.received_at"
    )
    assert [row["code"] for row in rows] == ["DEMO0002"] * 3
    assert [row["gateway_id"] for row in rows] == [first.gateway_id, second.gateway_id, second.gateway_id]
    assert [row["levels"] for row in rows] == [3, 3, 3]  # the customer, its reseller, the carrier
    assert all(row["least"] > 0 for row in rows)
