"""Matching, answers to malformed requests, and the ways that answers take."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip import transactions
from b2bua.sip.events import AckReceived, CancelReceived, Event, RequestReceived, ResponseReceived, TransportFailed
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response, parse_message
from b2bua.sip.stream import StreamBroken, StreamParser
from b2bua.sip.timers import Timing
from b2bua.sip.transactions import ServerTransaction, TransactionLayer
from tests.support.sip import (
    HERE,
    PEER,
    TCP,
    UDP,
    Sent,
    Switch,
    mutations,
    our_request,
    parse_request,
    request,
    response,
)


def received(events: list[Event]) -> list[ServerTransaction]:
    """The transactions of new requests; nothing else must have happened."""
    found = []
    for event in events:
        assert isinstance(event, RequestReceived)
        found.append(event.transaction)
    return found


def the_answer(switch: Switch) -> Response:
    """The only thing that was sent."""
    (sent,) = switch.take_sent()
    return sent.response


class TestSending:
    """RFC 3261 §8.1.1.7 and §18.1.1: the Via of our requests."""

    def test_request_gets_a_via_with_a_branch_of_its_own(self) -> None:
        switch = Switch()
        for flow, transport in ((UDP, "UDP"), (TCP, "TCP")):
            switch.send(our_request("OPTIONS"), flow)
            (sent,) = switch.take_sent()
            assert sent.flow is flow
            assert sent.request.headers["via"][0].startswith(f"SIP/2.0/{transport} {HERE}:5060;rport;branch=z9hG4bK")
        switch.send(our_request("OPTIONS"))
        assert switch.take_sent()[0].request.via.branch == "z9hG4bKown3"

    def test_request_gets_a_new_via_when_sent_a_second_time(self) -> None:
        switch = Switch()
        again = our_request("REGISTER")
        first, second = switch.send(again), switch.send(again)
        vias = [sent.request.headers["via"] for sent in switch.take_sent()]
        assert [len(via) for via in vias] == [1, 1]
        assert vias[0] != vias[1]
        switch.receive(response(again, 200))
        assert switch.take_event(ResponseReceived).transaction is second
        assert first.state == 0

    def test_request_is_sent_without_a_transaction_when_stateless(self) -> None:
        switch = Switch()
        data = switch.layer.send_stateless(our_request("ACK", to_tag="them"), UDP)
        switch.layer.send_again(data, UDP)
        assert switch.layer.take_outgoing() == [(UDP, data, None), (UDP, data, None)]
        assert parse_request(data).via.branch == "z9hG4bKown1"
        assert switch.layer.count == 0
        assert switch.layer.retransmitted == 1

    def test_outgoing_and_events_are_forgotten_when_taken(self) -> None:
        switch = Switch()
        switch.layer.receive(request(), UDP, 0.0)
        assert len(switch.layer.take_events()) == 1
        assert switch.layer.take_events() == []
        switch.layer.send_stateless(our_request("ACK"), UDP)
        assert len(switch.layer.take_outgoing()) == 1
        assert switch.layer.take_outgoing() == []

    def test_request_rests_when_nobody_wants_its_answer_any_more(self) -> None:
        switch = Switch()
        invite = our_request()
        transaction = switch.send(invite)
        switch.layer.stop_repeating(transaction)
        switch.advance(10.0)
        assert len(switch.take_sent()) == 1
        switch.receive(response(invite, 200))
        assert switch.take_event(ResponseReceived).transaction is transaction

    def test_transactions_are_found_when_their_peer_cannot_be_reached(self) -> None:
        switch = Switch()
        answered, elsewhere = our_request(), Flow("udp", "203.0.113.9", 5060)
        switch.send(answered)
        switch.receive(response(answered, 180))
        waiting = switch.send(our_request())
        switch.send(our_request(), elsewhere)
        switch.send(our_request(), TCP)
        assert switch.layer.waiting_on(Flow("udp", PEER, 5060)) == [waiting]


class TestResponseMatching:
    """RFC 3261 §17.1.3: branch of the top Via and method of CSeq."""

    def test_response_finds_its_transaction_among_several(self) -> None:
        switch = Switch()
        requests = [our_request("OPTIONS"), our_request("OPTIONS"), our_request()]
        made = [switch.send(one) for one in requests]
        for one, transaction in reversed(list(zip(requests, made, strict=True))):
            switch.receive(response(one, 200))
            assert switch.take_event(ResponseReceived).transaction is transaction

    def test_response_is_dropped_when_it_has_a_second_via(self) -> None:
        # §8.1.3.3
        switch = Switch()
        sent = our_request("OPTIONS")
        switch.send(sent)
        below = "SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx"
        switch.receive(response(sent, 200, headers=[f"Via: {below}"]))
        switch.receive(response(sent, 200).replace(b"branch=z9hG4bKown1", f"branch=z9hG4bKown1, {below}".encode()))
        assert switch.take_events() == []

    @pytest.mark.parametrize("sent_by", ["203.0.113.9:5060", f"{HERE}:5061", "switch.example.com:5060"])
    def test_response_is_dropped_when_its_via_is_not_ours(self, sent_by: str) -> None:
        # §18.1.2
        switch = Switch()
        sent = our_request("OPTIONS")
        switch.send(sent)
        switch.receive(response(sent, 200).replace(f"{HERE}:5060".encode(), sent_by.encode()))
        assert switch.take_events() == []

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ("192.0.2.1:5060", "192.0.2.1"),
            ("Switch.example.com", "switch.EXAMPLE.com:5060"),
            ("[2001:db8::A]:5070", "[2001:db8::a]:5070"),
        ],
    )
    def test_response_is_ours_when_the_peer_writes_our_via_in_its_own_way(self, ours: str, theirs: str) -> None:
        layer = TransactionLayer(Timing(), lambda: "own1", lambda flow: ours)
        sent = our_request("OPTIONS")
        layer.send_request(sent, UDP, 0.0, None)
        layer.receive(response(sent, 200).replace(ours.encode(), theirs.encode()), UDP, 0.0)
        assert len(layer.take_events()) == 1

    def test_names_of_ours_are_not_remembered_when_they_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transactions, "_OWN_LIMIT", 1)
        switch = Switch()
        names = iter(["a:1", "b:2", "c:3"])
        switch.layer._sent_by = lambda flow: next(names)
        switch.layer._own_sent_by(UDP)
        switch.layer._own_sent_by(UDP)
        assert switch.layer._own == {"b:2": "b:2"}

    def test_response_is_dropped_when_branch_or_method_is_another(self) -> None:
        switch = Switch()
        sent = our_request("OPTIONS")
        switch.send(sent)
        good = response(sent, 200)
        switch.receive(good.replace(b"branch=z9hG4bKown1", b"branch=z9hG4bKown2"))
        switch.receive(good.replace(b"1 OPTIONS", b"1 INVITE"))
        assert switch.take_events() == []
        switch.receive(good)
        switch.take_event(ResponseReceived)


class TestRequestMatching:
    """RFC 3261 §17.2.3: branch, sent-by and method of the top Via."""

    def test_request_is_a_repetition_when_branch_sent_by_and_method_are_the_same(self) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE", sent_by="Example.com"))
        switch.receive(request("MESSAGE", sent_by="example.COM:5060"))
        assert len(received(switch.take_events())) == 1

    @pytest.mark.parametrize(
        "other",
        [
            request("MESSAGE", branch="z9hG4bKa2"),
            request("MESSAGE", sent_by=f"{PEER}:5061"),
            request("MESSAGE", sent_by="203.0.113.9:5060"),
            request("OPTIONS"),
        ],
    )
    def test_request_is_new_when_branch_sent_by_or_method_differ(self, other: bytes) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE"))
        switch.receive(other)
        assert len(received(switch.take_events())) == 2

    def test_request_is_told_with_its_flow(self) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE", transport="TCP"), TCP)
        event = switch.take_event(RequestReceived)
        assert event.flow is TCP
        assert event.request.method == "MESSAGE"
        assert event.transaction.method == "MESSAGE"

    def test_ack_is_passed_up_when_it_belongs_to_no_transaction(self) -> None:
        switch = Switch()
        switch.receive(request("ACK", to_tag="us1"))
        event = switch.take_event(AckReceived)
        assert (event.request.method, event.flow) == ("ACK", UDP)
        assert switch.layer.count == 0

    def test_requests_are_dropped_when_there_are_too_many_transactions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transactions, "TRANSACTION_LIMIT", 2)
        switch = Switch()
        for number in range(3):
            switch.receive(request("MESSAGE", branch=f"z9hG4bK{number}"))
        assert len(received(switch.take_events())) == 2
        switch.receive(request("MESSAGE", branch="z9hG4bK0"))
        assert switch.layer.count == 2
        assert switch.take_sent() == []


class TestOldPeers:
    """RFC 3261 §17.2.3: requests of RFC 2543 peers, whose branch has no magic cookie."""

    @pytest.mark.parametrize("branch", ["", "1", "z9hG4bK"])
    def test_request_is_a_repetition_when_its_dialog_and_cseq_are_the_same(self, branch: str) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE", branch=branch))
        switch.receive(request("MESSAGE", branch=branch))
        assert len(received(switch.take_events())) == 1

    @pytest.mark.parametrize(
        "other",
        [
            request("MESSAGE", branch="1", call_id="call-9"),
            request("MESSAGE", branch="1", from_tag="alice9"),
            request("MESSAGE", branch="1", cseq=2),
        ],
    )
    def test_request_is_new_when_call_id_tag_or_cseq_differ_though_the_branch_does_not(self, other: bytes) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE", branch="1"))
        switch.receive(other)
        assert len(received(switch.take_events())) == 2

    @pytest.mark.parametrize("branch", ["", "1"])
    def test_ack_and_cancel_find_the_invite(self, branch: str) -> None:
        switch = Switch()
        switch.receive(request(branch=branch))
        (invite,) = received(switch.take_events())
        switch.receive(request("CANCEL", branch=branch))
        assert switch.take_event(CancelReceived).transaction is invite
        switch.answer(invite, 487)
        switch.take_sent()
        switch.receive(request("ACK", branch=branch, to_tag="us1"))
        switch.advance(3.0)
        assert switch.take_events() == []
        assert switch.take_sent() == []


class TestCancel:
    """RFC 3261 §9."""

    def test_cancel_is_answered_and_told_when_the_invite_is_unanswered(self) -> None:
        switch = Switch()
        switch.receive(request())
        (invite,) = received(switch.take_events())
        switch.receive(request("CANCEL"))
        answer = the_answer(switch)
        assert (answer.status, answer.headers["cseq"]) == (200, ["1 CANCEL"])
        assert answer.to_tag
        event = switch.take_event(CancelReceived)
        assert event.transaction is invite
        assert event.request.method == "CANCEL"
        assert not invite.is_answered

    def test_cancel_is_answered_and_not_told_when_the_invite_is_answered(self) -> None:
        switch = Switch()
        switch.receive(request())
        (invite,) = received(switch.take_events())
        switch.answer(invite, 200)
        switch.take_sent()
        switch.receive(request("CANCEL"))
        assert the_answer(switch).status == 200
        assert switch.take_events() == []

    @pytest.mark.parametrize("status", [100, 180, 200, 486])
    def test_cancel_is_answered_with_the_to_tag_of_the_invites_answers(self, status: int) -> None:
        switch = Switch()
        switch.receive(request())
        (invite,) = received(switch.take_events())
        switch.answer(invite, status)
        told = the_answer(switch).to_tag
        switch.receive(request("CANCEL"))
        answer = the_answer(switch)
        assert answer.to_tag
        assert answer.to_tag == told or status == 100

    @pytest.mark.parametrize("branch", ["z9hG4bKother", "old"])
    def test_cancel_gets_481_when_its_invite_is_unknown(self, branch: str) -> None:
        switch = Switch()
        switch.receive(request())
        switch.take_events()
        switch.receive(request("CANCEL", branch=branch))
        answer = the_answer(switch)
        assert answer.status == 481
        assert answer.to_tag
        assert switch.take_events() == []

    def test_cancel_gets_481_when_the_branch_is_that_of_another_method(self) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE"))
        switch.take_events()
        switch.receive(request("CANCEL"))
        assert the_answer(switch).status == 481

    def test_cancel_gets_the_same_answer_and_is_told_once_when_repeated(self) -> None:
        switch = Switch()
        switch.receive(request())
        switch.take_events()
        switch.receive(request("CANCEL"))
        switch.receive(request("CANCEL"))
        first, second = switch.take_sent()
        assert first.data == second.data
        assert len(switch.take_events()) == 1

    def test_cancel_of_ours_has_the_via_of_its_invite(self) -> None:
        switch = Switch()
        invite = switch.send(our_request())
        cancel = switch.layer.send_cancel(invite, our_request("CANCEL"), switch.now, None)
        ((flow, data, _),) = switch.layer.take_outgoing()
        assert flow is UDP
        (sent,) = switch.take_sent()
        assert parse_request(data).headers["via"] == sent.request.headers["via"]
        assert cancel.key[0] == invite.key[0]

    def test_answers_to_invite_and_cancel_are_told_apart(self) -> None:
        switch = Switch()
        first, second = our_request(), our_request("CANCEL")
        invite = switch.send(first)
        cancel = switch.layer.send_cancel(invite, second, switch.now, None)
        switch.receive(response(second, 200))
        assert switch.take_event(ResponseReceived).transaction is cancel
        switch.receive(response(first, 487))
        assert switch.take_event(ResponseReceived).transaction is invite


class TestResponseRouting:
    """RFC 3261 §18.2, RFC 3581 §4."""

    def answered(self, sent_by: str, flow: Flow, transport: str = "UDP") -> Sent:
        """A 200 to a request that came by this flow."""
        switch = Switch()
        switch.receive(request("OPTIONS", sent_by=sent_by, transport=transport), flow)
        (transaction,) = received(switch.take_events())
        switch.answer(transaction, 200)
        (sent,) = switch.take_sent()
        return sent

    def test_answer_names_source_and_goes_there_when_rport_is_asked_for(self) -> None:
        source = Flow("udp", "203.0.113.5", 9988, listener=3)
        sent = self.answered("10.0.0.1:4540;rport", source)
        assert sent.flow is source
        assert sent.response.via.parameters == {
            "rport": "9988",
            "branch": "z9hG4bKa1",
            "received": "203.0.113.5",
        }
        assert (sent.response.via.host, sent.response.via.port) == ("10.0.0.1", 4540)

    def test_received_is_named_with_rport_even_when_the_address_is_the_same(self) -> None:
        sent = self.answered(f"{PEER};rport", Flow("udp", PEER, 9988))
        assert sent.response.via.parameters["received"] == PEER
        assert sent.response.via.parameters["rport"] == "9988"

    def test_answer_goes_to_the_port_of_the_via_when_there_is_no_rport(self) -> None:
        sent = self.answered(f"{PEER}:5070", Flow("udp", PEER, 9988, listener=3))
        assert (sent.flow.transport, sent.flow.host, sent.flow.port, sent.flow.listener) == ("udp", PEER, 5070, 3)
        assert "received" not in sent.response.via.parameters

    def test_answer_goes_to_5060_when_the_via_has_no_port(self) -> None:
        assert self.answered(PEER, Flow("udp", PEER, 9988)).flow.port == 5060

    @pytest.mark.parametrize("host", ["10.0.0.1", "pc33.example.com"])
    def test_answer_goes_to_the_source_address_when_the_via_names_another(self, host: str) -> None:
        sent = self.answered(f"{host}:5070", Flow("udp", PEER, 9988))
        assert (sent.flow.host, sent.flow.port) == (PEER, 5070)
        assert sent.response.via.parameters["received"] == PEER

    def test_maddr_does_not_lead_the_answer_astray(self) -> None:
        assert self.answered(f"{PEER}:5060;maddr=203.0.113.99", UDP).flow.host == PEER

    def test_answer_takes_the_same_connection_over_tcp(self) -> None:
        source = Flow("tcp", "203.0.113.5", 40123, connection=17)
        sent = self.answered("10.0.0.1:5060", source, "TCP")
        assert sent.flow is source
        assert sent.response.via.parameters["received"] == "203.0.113.5"

    def test_only_the_top_via_is_changed(self) -> None:
        switch = Switch()
        below = "SIP/2.0/UDP 10.0.0.2;rport;branch=z9hG4bKb"
        switch.receive(request("OPTIONS", sent_by="10.0.0.1;rport", changed={"v": below}), UDP)
        (transaction,) = received(switch.take_events())
        switch.answer(transaction, 200)
        vias = the_answer(switch).headers["via"]
        assert vias[0].startswith("SIP/2.0/UDP 10.0.0.1;rport=5060;")
        assert vias[1] == below


class TestMalformed:
    """RFC 3261 §8.2 and §21.4.1: what cannot be understood is answered where that is possible."""

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"CSeq": "1 BYE"}, "CSeq names another method"),
            ({"CSeq": "x INVITE"}, "CSeq is not a number"),
            ({"From": "<sip:a@b>"}, "From has no tag"),
            ({"Call-ID": ""}, "Call-ID is empty"),
            ({"Content-Length": "99"}, "body is shorter than Content-Length"),
        ],
    )
    def test_request_gets_400_with_the_reason(self, changed: dict[str, str | None], reason: str) -> None:
        switch = Switch()
        switch.receive(request(changed=changed))
        answer = switch.take_sent()[0].data
        assert answer.startswith(f"SIP/2.0 400 Bad Request - {reason}".encode())
        assert switch.take_events() == []
        assert switch.layer.count == 0
        assert switch.layer.malformed == 1

    def test_answer_goes_where_it_would_have_gone(self) -> None:
        switch = Switch()
        source = Flow("udp", "203.0.113.5", 9988)
        switch.receive(request(sent_by="10.0.0.1;rport", changed={"Content-Length": "99"}), source)
        (sent,) = switch.take_sent()
        assert sent.flow is source
        assert sent.response.via.parameters["rport"] == "9988"
        assert sent.transaction is None
        assert sent.response.to_tag

    @pytest.mark.parametrize("changed", [{"CSeq": "x BYE"}, {"From": '"open <sip:a@b>;tag=1'}, {"Content-Length": "9"}])
    def test_answer_has_one_to_tag_when_the_request_has_one(self, changed: dict[str, str | None]) -> None:
        switch = Switch()
        switch.receive(request("BYE", to_tag="us1", changed=changed))
        (sent,) = switch.take_sent()
        assert sent.data.count(b"\r\nTo: <sip:bob@192.0.2.1>;tag=us1\r\n") == 1

    def test_request_gets_505_when_its_version_is_another(self) -> None:
        switch = Switch()
        switch.receive(request("OPTIONS").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1))
        assert switch.take_sent()[0].first_line == "SIP/2.0 505 Version Not Supported"

    def test_ack_is_never_answered(self) -> None:
        switch = Switch()
        switch.receive(request("ACK", changed={"Content-Length": "99"}))
        switch.receive(request("ACK", changed={"CSeq": "1 INVITE", "From": '"open <sip:a@b>;tag=1'}))
        switch.receive(request("ACK").replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1))
        assert switch.take_sent() == []
        assert switch.layer.malformed == 3

    def test_response_is_never_answered(self) -> None:
        switch = Switch()
        sent = our_request("OPTIONS")
        switch.send(sent)
        switch.take_sent()
        switch.receive(response(sent, 200).replace(b"Content-Length: 0", b"Content-Length: 1"))
        assert switch.take_sent() == []
        assert switch.take_events() == []

    @pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
    def test_request_gets_400_when_a_header_of_its_identity_is_missing(self, name: str) -> None:
        switch = Switch()
        switch.receive(request(changed={name: None}))
        (sent,) = switch.take_sent()
        assert sent.first_line == f"SIP/2.0 400 Bad Request - {name} is missing"
        assert f"\r\n{name}:".encode() not in sent.data
        assert switch.take_events() == []

    @pytest.mark.parametrize("changed", [{"f": "<sip:x@y>;tag=2"}, {"i": "call-9"}, {"t": "<sip:x@y>;tag=3"}])
    def test_request_gets_400_when_its_identity_is_ambiguous(self, changed: dict[str, str | None]) -> None:
        switch = Switch()
        switch.receive(request(changed=changed))
        answer = the_answer(switch)
        assert (answer.status, answer.call_id, answer.from_tag, answer.to_tag) == (400, "call-1", "alice1", "own1")
        assert switch.take_events() == []

    @pytest.mark.parametrize("via", [None, "HTTP/1.1 h", "SIP/2.0/UDP h:99999"])
    def test_request_is_dropped_when_it_cannot_be_answered(self, via: str | None) -> None:
        switch = Switch()
        switch.receive(request(changed={"Via": via}))
        assert switch.take_sent() == []
        assert switch.take_events() == []
        assert switch.layer.malformed == 1

    def test_request_gets_416_when_its_scheme_is_another(self) -> None:
        switch = Switch()
        switch.receive(request("OPTIONS", uri="urn:service:sos"))
        assert switch.take_sent()[0].first_line == "SIP/2.0 416 Unsupported URI Scheme"

    def test_request_gets_513_when_its_headers_are_too_many(self) -> None:
        switch = Switch()
        switch.receive(request().replace(b"\r\n\r\n", b"\r\nX: y" * 300 + b"\r\n\r\n"))
        assert switch.take_sent()[0].first_line == "SIP/2.0 513 Message Too Large"

    def test_request_is_answered_when_a_stream_breaks_at_it(self) -> None:
        switch, parser = Switch(), StreamParser()
        with pytest.raises(StreamBroken) as caught:
            parser.receive(request("MESSAGE", transport="TCP", changed={"Content-Length": "99999"}))
        switch.layer.refuse(caught.value, TCP, switch.now)
        ((flow, data, transaction),) = switch.layer.take_outgoing()
        assert (flow, transaction) == (TCP, None)
        assert data.startswith(b"SIP/2.0 513 Message Too Large\r\n")
        assert switch.layer.malformed == 1

    @pytest.mark.parametrize(
        "data", [b"\0" * 70_000, response(our_request(extra=Headers({"via": ["SIP/2.0/TCP h"]})), 200)]
    )
    def test_nothing_is_answered_when_a_stream_breaks_at_no_request(self, data: bytes) -> None:
        switch, parser = Switch(), StreamParser()
        with pytest.raises(StreamBroken) as caught:
            parser.receive(data.replace(b"Content-Length", b"X"))
        switch.layer.refuse(caught.value, TCP, switch.now)
        assert switch.layer.take_outgoing() == []

    def test_body_is_not_checked_twice_when_the_stream_parser_has_cut(self) -> None:
        switch = Switch()
        switch.receive(request("MESSAGE", changed={"Content-Length": "2"}, body=b"hello"), TCP)
        assert switch.take_event(RequestReceived).request.body == b"hello"


class TestRobustness:
    """Receiving never raises, and nothing that leaves is malformed."""

    @settings(max_examples=400, deadline=None)
    @given(
        st.lists(
            st.one_of(
                mutations(request()),
                mutations(request("ACK", to_tag="us1")),
                mutations(request("CANCEL")),
                mutations(request("BYE", branch="", to_tag="us1", changed={"Route": '"a, b" <sip:x;lr>'})),
                mutations(response(parse_request(request("OPTIONS", branch="z9hG4bKown1")), 200)),
                st.sampled_from([request(), request("ACK"), request("CANCEL"), b"\r\n\r\n", b""]),
            ),
            max_size=5,
        ),
        st.sampled_from([UDP, TCP]),
    )
    def test_layer_raises_nothing_and_sends_whole_messages_when_given_any_bytes(
        self, datagrams: list[bytes], flow: Flow
    ) -> None:
        switch = Switch()
        switch.send(our_request("OPTIONS"), flow)
        for data in datagrams:
            switch.receive(data, flow)
            for event in switch.take_events():
                if isinstance(event, RequestReceived):
                    switch.answer(event.transaction, 404)
        switch.advance(200.0)
        for sent in switch.take_sent():
            head = sent.data.partition(b"\r\n\r\n")[0]
            assert head.count(b"\r\n") == head.count(b"\r") == head.count(b"\n")
            assert head.count(b"\0") == head.count(b"\\\0")
        assert switch.layer.count == 0
        assert switch.layer.next_deadline() is None

    def test_layer_keeps_nothing_when_many_calls_have_ended(self) -> None:
        switch = Switch()
        for number in range(200):
            branch = f"z9hG4bK{number}"
            switch.receive(request(branch=branch))
            (invite,) = received(switch.take_events())
            switch.answer(invite, 486)
            switch.receive(request("ACK", branch=branch, to_tag="us1"))
            switch.advance(1.0)
        assert switch.layer.count <= 6
        switch.advance(60.0)
        assert switch.layer.count == 0
        assert switch.layer.next_deadline() is None

    def test_what_is_sent_can_be_parsed(self) -> None:
        switch = Switch()
        switch.receive(request())
        (invite,) = received(switch.take_events())
        switch.answer(invite, 183)
        assert all(parse_message(sent.data) for sent in switch.take_sent())


class TestLarge:
    """RFC 3261 §18.1.1: a request above 1,300 bytes goes by TCP where the peer takes that, else by UDP after all."""

    WAYS = Flow("udp", PEER, 5060, large=Flow("tcp", PEER, 5060, 1))

    def of_size(self, size: int, method: str = "INVITE") -> Request:
        """A request of ours that has so many bytes with its Via."""
        probe = Switch()
        probe.send(our_request(method))
        missing = size - len(probe.take_sent()[0].data) - len("Subject: \r\n")
        return our_request(method, extra=Headers({"subject": ["x" * missing]}))

    @pytest.mark.parametrize(("size", "transport"), [(1300, "udp"), (1301, "tcp"), (5000, "tcp")])
    def test_size_decides_on_the_way_and_the_via_names_it(self, size: int, transport: str) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(size), self.WAYS)
        (sent,) = switch.take_sent()
        assert (len(sent.data), sent.flow.transport, transaction.flow) == (size, transport, sent.flow)
        assert sent.request.headers["via"][0].startswith(f"SIP/2.0/{transport.upper()} ")
        assert len(sent.request.headers["via"]) == 1

    def test_large_request_goes_by_udp_when_the_peer_takes_no_tcp(self) -> None:
        switch = Switch()
        switch.send(self.of_size(5000), UDP)
        assert switch.take_sent()[0].flow is UDP

    @pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
    def test_request_goes_by_udp_when_tcp_fails_and_is_repeated_there(self, method: str) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(2000, method), self.WAYS)
        switch.take_sent()
        switch.advance(1.0)
        assert switch.take_sent() == []  # TCP repeats nothing
        switch.fail(transaction)
        assert switch.take_events() == []
        (sent,) = switch.take_sent()
        assert sent.flow is self.WAYS
        assert sent.request.headers["via"][0].startswith("SIP/2.0/UDP ")
        switch.advance(1.6)
        assert [round(each.after, 1) for each in switch.take_sent()] == [1.5, 2.5]
        switch.receive(response(sent.request, 200))
        assert switch.take_event(ResponseReceived).transaction is transaction

    def test_request_has_failed_when_udp_fails_too(self) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(2000), self.WAYS)
        switch.fail(transaction)
        switch.fail(transaction)
        assert isinstance(switch.take_event(TransportFailed), TransportFailed)
        assert switch.layer.count == 0

    def test_request_has_failed_when_the_connection_is_lost_after_an_answer(self) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(2000), self.WAYS)
        (sent,) = switch.take_sent()
        switch.receive(response(sent.request, 180), TCP)
        switch.take_events()
        switch.fail(transaction)
        assert switch.take_event(TransportFailed).transaction is transaction
        assert switch.take_sent() == []

    def test_nothing_is_sent_by_udp_when_nobody_wants_the_answer_any_more(self) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(2000), self.WAYS)
        switch.take_sent()
        switch.layer.stop_repeating(transaction)
        switch.fail(transaction)
        assert switch.take_sent() == []

    def test_cancel_takes_the_way_of_its_invite(self) -> None:
        switch = Switch()
        transaction = switch.send(self.of_size(2000), self.WAYS)
        (invite,) = switch.take_sent()
        switch.cancel(transaction)
        (cancel,) = switch.take_sent()
        assert cancel.flow is invite.flow
        assert cancel.request.headers["via"] == invite.request.headers["via"]

    def test_large_ack_goes_by_tcp_each_time(self) -> None:
        switch = Switch()
        data = switch.layer.send_stateless(self.of_size(2000, "ACK"), self.WAYS)
        switch.layer.send_again(data, self.WAYS)
        assert [flow for flow, _, _ in switch.layer.take_outgoing()] == [self.WAYS.large] * 2
        assert parse_request(data).headers["via"][0].startswith("SIP/2.0/TCP ")
