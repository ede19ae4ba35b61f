"""Dialogs."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2bua.sip.dialog import Dialog, contact_uri, record_route
from b2bua.sip.flow import Flow, Trust
from tests.support.sip import TCP, UDP, Switch, our_request, parse_request, parse_response, request, response, wire_text

CONTACT = "<sip:us@192.0.2.1:5060>"


def invited(**headers: str) -> Dialog:
    """The dialog of an INVITE that came in."""
    changed: dict[str, str | None] = {"Contact": '"Alice" <sip:alice@10.0.0.1:5062;ob>;expires=60', **headers}
    return Dialog.as_uas(parse_request(request(cseq=10, changed=changed)), "us1", CONTACT, UDP)


def calling() -> Dialog:
    """Our side before the peer has answered."""
    dialog = Dialog("call-2", "<sip:alice@192.0.2.1>", "us1", CONTACT, UDP)
    dialog.remote = "<sip:bob@198.51.100.7>"
    dialog.remote_target = "sip:bob@198.51.100.7"
    return dialog


def answered(*headers: str, status: int = 200) -> Dialog:
    """The dialog of an INVITE of ours with the peer's answer."""
    switch = Switch()
    invite = our_request()
    switch.send(invite)
    dialog = calling()
    dialog.local_cseq = 1
    dialog.become_uac(parse_response(response(invite, status, to_tag="them", headers=headers)))
    return dialog


class TestCreation:
    """RFC 3261 §12.1."""

    def test_dialog_is_that_of_the_invite_when_uas(self) -> None:
        dialog = invited()
        assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("call-1", "us1", "alice1")
        assert dialog.local_value == "<sip:bob@192.0.2.1>;tag=us1"
        assert dialog.remote == "<sip:alice@198.51.100.7>;tag=alice1"
        assert (dialog.remote_cseq, dialog.local_cseq) == (10, 0)
        assert dialog.remote_target == "sip:alice@10.0.0.1:5062;ob"
        assert dialog.flow is UDP

    def test_route_set_is_in_order_when_uas(self) -> None:
        dialog = invited(**{"Record-Route": "<sip:p1;lr>, <sip:p2;lr>", "RECORD-ROUTE": '"a, b" <sip:p3;lr>'})
        assert dialog.route_set == ["<sip:p1;lr>", "<sip:p2;lr>", '"a, b" <sip:p3;lr>']

    def test_dialog_takes_over_the_answer_when_uac(self) -> None:
        dialog = answered("Contact: <sip:bob@10.0.0.9:5070>")
        assert dialog.remote == "<sip:bob@198.51.100.7>;tag=them"
        assert dialog.remote_tag == "them"
        assert dialog.remote_target == "sip:bob@10.0.0.9:5070"

    def test_route_set_is_reversed_when_uac(self) -> None:
        dialog = answered("Record-Route: <sip:p2;lr>, <sip:p1;lr>", "Record-Route: <sip:p0;lr>")
        assert dialog.route_set == ["<sip:p0;lr>", "<sip:p1;lr>", "<sip:p2;lr>"]

    def test_target_stays_when_the_answer_has_no_contact(self) -> None:
        assert answered(status=180).remote_target == "sip:bob@198.51.100.7"

    def test_route_set_is_that_of_the_final_answer_when_it_differs(self) -> None:
        dialog = answered("Record-Route: <sip:early;lr>", status=180)
        invite = our_request()
        Switch().send(invite)
        dialog.become_uac(parse_response(response(invite, 200, headers=["Record-Route: <sip:final;lr>"])))
        assert dialog.route_set == ["<sip:final;lr>"]


class TestSequence:
    """RFC 3261 §12.2.2."""

    def test_request_is_in_order_when_its_number_is_higher(self) -> None:
        dialog = invited()
        assert dialog.accepts(parse_request(request("BYE", cseq=11)))
        assert dialog.remote_cseq == 11
        assert dialog.accepts(parse_request(request("BYE", cseq=900)))

    @pytest.mark.parametrize("cseq", [1, 9, 10])
    def test_request_is_out_of_order_when_its_number_is_not_higher(self, cseq: int) -> None:
        dialog = invited()
        assert not dialog.accepts(parse_request(request("BYE", cseq=cseq)))
        assert dialog.remote_cseq == 10

    @pytest.mark.parametrize("cseq", [0, 1, 2**31 - 1])
    def test_first_request_of_the_peer_may_have_any_number_when_uac(self, cseq: int) -> None:
        assert answered().accepts(parse_request(request("BYE", cseq=cseq)))

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO"])
    def test_target_stays_when_a_request_is_only_in_order(self, method: str) -> None:
        dialog = invited()
        changed: dict[str, str | None] = {"Contact": "<sip:alice@10.0.0.2>"}
        assert dialog.accepts(parse_request(request(method, cseq=11, changed=changed)))
        assert dialog.remote_target == "sip:alice@10.0.0.1:5062;ob"


class TestTargetRefresh:
    """RFC 3261 §12.2, RFC 6141 §4."""

    def test_target_is_that_of_the_contact_when_a_request_refreshes_it(self) -> None:
        dialog = invited()
        dialog.refresh_target(parse_request(request(changed={"Contact": "<sip:alice@10.0.0.2>"})))
        assert dialog.remote_target == "sip:alice@10.0.0.2"

    def test_target_is_that_of_the_contact_when_an_answer_refreshes_it(self) -> None:
        dialog, invite = answered(), our_request()
        Switch().send(invite)
        dialog.refresh_target(parse_response(response(invite, 200, headers=["Contact: <sip:bob@10.0.0.3>"])))
        assert dialog.remote_target == "sip:bob@10.0.0.3"

    @pytest.mark.parametrize("contact", [None, "<sip:alice@10.0.0.2", ""])
    def test_target_stays_when_there_is_no_contact_that_can_be_read(self, contact: str | None) -> None:
        dialog = invited()
        dialog.refresh_target(parse_request(request(changed={"Contact": contact})))
        assert dialog.remote_target == "sip:alice@10.0.0.1:5062;ob"


class TestRequests:
    """RFC 3261 §12.2.1.1."""

    def test_request_names_both_sides_and_counts_up(self) -> None:
        dialog = invited()
        bye = dialog.request("BYE")
        assert (bye.method, bye.uri) == ("BYE", "sip:alice@10.0.0.1:5062;ob")
        assert bye.headers["from"] == ["<sip:bob@192.0.2.1>;tag=us1"]
        assert bye.headers["to"] == ["<sip:alice@198.51.100.7>;tag=alice1"]
        assert bye.headers["call-id"] == ["call-1"]
        assert bye.headers["max-forwards"] == ["70"]
        assert bye.headers["cseq"] == ["1 BYE"]
        assert "route" not in bye.headers
        assert dialog.request("INFO", b"x").headers["cseq"] == ["2 INFO"]

    def test_ack_has_the_number_of_its_invite_and_does_not_count(self) -> None:
        dialog = answered()
        dialog.local_cseq = 5
        assert dialog.request("ACK", cseq=5).headers["cseq"] == ["5 ACK"]
        assert dialog.local_cseq == 5

    @pytest.mark.parametrize("first", ["<sip:p1;lr>", "<sip:p1.example.com:5062;transport=tcp;LR>", "<sip:p1;lr=on>"])
    def test_routes_are_given_and_the_uri_is_the_target_when_the_router_is_loose(self, first: str) -> None:
        dialog = invited(**{"Record-Route": f"{first}, <sip:p2>"})
        bye = dialog.request("BYE")
        assert bye.uri == "sip:alice@10.0.0.1:5062;ob"
        assert bye.headers["route"] == [first, "<sip:p2>"]

    def test_router_is_the_uri_and_the_target_goes_last_when_the_router_is_strict(self) -> None:
        dialog = invited(**{"Record-Route": "<sip:p1>, <sip:p2;lr>"})
        bye = dialog.request("BYE")
        assert bye.uri == "sip:p1"
        assert bye.headers["route"] == ["<sip:p2;lr>", "<sip:alice@10.0.0.1:5062;ob>"]

    def test_route_set_is_the_same_when_requests_were_made(self) -> None:
        dialog = invited(**{"Record-Route": "<sip:p1>, <sip:p2;lr>"})
        assert dialog.request("INFO").headers["route"] == dialog.request("BYE").headers["route"]
        made = invited(**{"Record-Route": "<sip:p1;lr>"})
        made.request("INFO").headers["route"].append("x")
        assert made.route_set == ["<sip:p1;lr>"]

    def test_request_can_be_sent_and_parsed(self) -> None:
        switch = Switch()
        switch.send(invited(**{"Record-Route": "<sip:p1;lr>"}).request("INFO", b"hello"))
        (sent,) = switch.take_sent()
        assert (sent.request.from_tag, sent.request.to_tag, sent.request.body) == ("us1", "alice1", b"hello")


class TestHeaders:
    """RFC 3261 §20.10 and §20.30: what the peer wrote may be anything."""

    @pytest.mark.parametrize(
        ("value", "uri"),
        [
            ("<sip:a@b;lr>;q=1", "sip:a@b;lr"),
            ("sip:a@b;q=1", "sip:a@b"),
            ('"x, y" <sip:a@b>, <sip:c@d>', "sip:a@b"),
            ('"open <sip:a@b>', ""),
            ("<sip:a@b", ""),
            (None, ""),
        ],
    )
    def test_contact_is_the_first_uri_or_empty(self, value: str | None, uri: str) -> None:
        assert contact_uri(parse_request(request(changed={"Contact": value}))) == uri

    def test_routes_are_none_when_malformed(self) -> None:
        assert record_route(parse_request(request(changed={"Record-Route": '<sip:p1;lr>, "open <sip:p2>'}))) == []

    @settings(deadline=None)
    @given(wire_text.map(lambda text: "".join(text.splitlines()).replace("\0", "")))
    def test_dialog_raises_nothing_when_contact_and_routes_are_any_text(self, text: str) -> None:
        asked = parse_request(request())
        asked.headers["contact"] = [text]
        asked.headers["record-route"] = [text]
        dialog = Dialog.as_uas(asked, "us1", CONTACT, UDP)
        assert dialog.request("BYE").to_bytes()


class TestRecord:
    """A successor of this process can end the dialog."""

    @pytest.mark.parametrize("flow", [UDP, TCP, Flow("tls", "2001:db8::1", 5061, listener=2, connection=9)])
    def test_dialog_comes_back_when_written_as_json(self, flow: Flow) -> None:
        dialog = invited(**{"Record-Route": "<sip:p1>, <sip:p2;lr>"})
        dialog.flow = flow
        dialog.request("INFO")
        back = Dialog.from_record(json.loads(json.dumps(dialog.to_record())))
        for name in Dialog.__slots__:
            if name != "flow":
                assert getattr(back, name) == getattr(dialog, name)
        assert (back.flow.transport, back.flow.host, back.flow.port) == (flow.transport, flow.host, flow.port)
        assert (back.flow.listener, back.flow.reliable, back.flow.connection) == (flow.listener, flow.reliable, 0)
        assert back.request("BYE").to_bytes() == dialog.request("BYE").to_bytes()

    @pytest.mark.parametrize(
        "flow",
        [
            Flow("tls", "2001:db8::1", 5061, trust=Trust("name", "carrier.example")),
            Flow("udp", "192.0.2.9", 5060, large=Flow("tcp", "192.0.2.9", 5060)),
        ],
    )
    def test_record_holds_whom_to_trust_and_the_way_of_large_requests(self, flow: Flow) -> None:
        dialog = invited()
        dialog.flow = flow
        record = json.loads(json.dumps(dialog.to_record()))
        back = Dialog.from_record(record).flow
        assert (back.trust, str(back.large)) == (flow.trust, str(flow.large))
        flow.is_behind_nat = True
        assert Dialog.from_record(dialog.to_record()).flow.is_behind_nat
        for name in ("trust", "prefers_tcp", "behind_nat"):
            del record[name]  # as it was written before
        assert Dialog.from_record(record).flow.trust is None

    @given(st.integers(0, 2**31 - 1))
    def test_record_holds_the_numbers_that_were_used(self, number: int) -> None:
        dialog = invited()
        dialog.local_cseq = number
        assert Dialog.from_record(dialog.to_record()).request("BYE").headers["cseq"] == [f"{number + 1} BYE"]
