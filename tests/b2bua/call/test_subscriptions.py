"""Telephones subscribe to their mailboxes (RFC 6665): the whole driver on a wire, over the real live store."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from b2bua.call import subscriptions
from b2bua.call.subscriptions import Subscriptions
from b2bua.registrar.mailbox import MailboxStore
from b2bua.sip.digest import Challenge
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived, ResponseReceived
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.transport.endpoint import EndpointUser
from tests.b2bua.call.rig import SECRET, SWITCH, Rig, running_rig
from tests.support.legs import WiredEndpoint, on_loop
from tests.support.registrations import WiredStore

PHONE = "198.51.100.99"
OTHER_PHONE = "198.51.100.98"
URI = f"sip:alice@{SWITCH}"
SWITCH_FLOW = Flow("udp", SWITCH, 5060)


class Phone(EndpointUser):
    """One of alice's telephones; it answers challenges with its own secret, and NOTIFY with `status`."""

    def __init__(self, switch: "Switch", host: str = PHONE) -> None:
        self.switch = switch
        self.host = host
        self.endpoint = WiredEndpoint(switch.rig.wire, host, self)
        self.secret = SECRET
        self.username = "alice"
        self.contact = f"<sip:alice@{host}:5060>"
        self.status = 200
        """What a NOTIFY is answered; 0: nothing."""
        self.call_id = f"sub-{host}"
        self.to_tag = ""
        self.cseq = 0
        self.responses: list[Response] = []
        self.notifies: list[Request] = []

    def before_send(self) -> None:
        """There is no journal."""
        return

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Note it, and answer."""
        if isinstance(event, ResponseReceived):
            self.responses.append(event.response)
        elif isinstance(event, RequestReceived):
            self.notifies.append(event.request)
            if self.status:
                self.endpoint.transactions.send_response(
                    event.transaction, Response.to(event.request, self.status), now
                )

    def send(self, proof: str = "", *, uri: str = URI, **changed: str) -> Response:
        """One SUBSCRIBE and its answer."""
        self.cseq += 1
        headers = Headers(
            {
                "max-forwards": ["70"],
                "from": ["<sip:alice@switch>;tag=a1"],
                "to": [f"<{URI}>" + (f";tag={self.to_tag}" if self.to_tag else "")],
                "call-id": [self.call_id],
                "cseq": [f"{self.cseq} SUBSCRIBE"],
                "contact": [self.contact],
                "event": ["message-summary"],
                "expires": ["600"],
            }
        )
        if proof:
            headers["proxy-authorization"] = [proof]
        for name, value in changed.items():
            headers[name] = [value]
        request = Request("SUBSCRIBE", uri, headers)
        self.endpoint.transactions.send_request(request, SWITCH_FLOW, self.endpoint.now(), None)
        self.endpoint.end_of_turn()
        self.switch.rig.wire.settle()
        return self.responses[-1]

    def subscribe(self, *, uri: str = URI, **changed: str) -> Response:
        """A new subscription, with what the challenge asks for."""
        self.to_tag = ""
        challenge = Challenge.parse(self.send(uri=uri, **changed).headers["proxy-authenticate"][0])
        proof = challenge.answer(self.username, self.secret, "SUBSCRIBE", uri, "c0ffee")
        response = self.send(str(proof), uri=uri, **changed)
        self.to_tag = response.to_tag
        return response

    def refresh(self, expires: int = 600, **changed: str) -> Response:
        """A SUBSCRIBE in the dialog."""
        return self.send(expires=str(expires), **changed)

    @property
    def said(self) -> list[tuple[str, str]]:
        """State, and what the mailbox holds, of each NOTIFY."""
        return [(notify.headers.first("subscription-state"), counts(notify)) for notify in self.notifies]

    @property
    def last(self) -> tuple[str, str]:
        """The same of the last one."""
        return self.said[-1]


def counts(notify: Request) -> str:
    """`yes 2/5`, or nothing."""
    lines = dict(line.split(": ") for line in notify.body.decode().splitlines())
    return f"{lines['Messages-Waiting']} {lines['Voice-Message'].partition(' ')[0]}" if lines else ""


class Switch:
    """A switch, and what reports to its live store."""

    def __init__(self, rig: Rig, store: WiredStore) -> None:
        self.rig = rig
        self.store = store
        self.mailboxes = MailboxStore(store)
        self.subscriptions = Subscriptions(rig.switch, self.mailboxes, lambda: rig.snapshot, "switch/1")
        rig.driver.subscriptions = self.subscriptions
        rig.wire.help(self._store_answers)

    def _store_answers(self) -> bool:
        if not self.store.answer():
            return False
        self.rig.switch.end_of_turn()
        return True

    def look(self) -> None:
        """One look at what has changed."""
        self.subscriptions.look()
        self.rig.wire.settle()

    def report(self, new: int, old: int, user: int = 9) -> None:
        """The voice mail reports, and the switch looks."""
        self.mailboxes.report(user, new, old)
        self.rig.wire.settle()
        self.look()

    def assert_nothing_is_left(self) -> None:
        """No subscription, timer or transaction."""
        self.rig.wire.advance(120.0)
        assert self.subscriptions.count == 0
        assert self.subscriptions._by_user == {}
        assert self.rig.switch.transactions.count == 0
        assert self.rig.switch.wheel.count == 0


MakeSwitch = Callable[[], Switch]


@pytest.fixture
def make_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live_url: str) -> Iterator[MakeSwitch]:
    """Make the switch, from inside a coroutine."""
    stores: list[WiredStore] = []
    rigs = []
    today = time.time()

    def make() -> Switch:
        rigs.append(running_rig(tmp_path))
        rig = rigs[-1].__enter__()
        rig.wire.made_at = today
        monkeypatch.setattr("time.time", rig.wire.time_of_day)
        stores.append(WiredStore(live_url))
        return Switch(rig, stores[-1])

    yield make
    for rig in rigs:
        rig.__exit__(None, None, None)
    for store in stores:
        store.shut()


class TestSubscribe:
    @on_loop
    async def test_telephone_is_told_at_once_how_things_are(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        switch.report(2, 5)
        phone = Phone(switch)
        response = phone.subscribe()
        assert response.status == 200
        assert response.headers["expires"] == ["600"]
        assert response.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert response.headers["server"] == ["switch/1"]
        (notify,) = phone.notifies
        assert phone.said == [("active;expires=600", "yes 2/5")]
        assert notify.body.startswith(b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@192.0.2.1\r\n")
        assert notify.headers["content-type"] == ["application/simple-message-summary"]
        assert notify.headers["event"] == ["message-summary"]
        assert notify.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert notify.uri == f"sip:alice@{PHONE}:5060"
        # In the dialog that the 200 made (RFC 6665 §4.2.2), and after it.
        assert (notify.call_id, notify.from_tag, notify.to_tag) == (phone.call_id, phone.to_tag, "a1")
        labels = switch.rig.wire.labels(PHONE, SWITCH)
        assert labels == ["SUBSCRIBE", "407 SUBSCRIBE", "SUBSCRIBE", "200 SUBSCRIBE", "NOTIFY", "200 NOTIFY"]

    @on_loop
    async def test_mailbox_that_nobody_reported_is_empty(self, make_switch: MakeSwitch) -> None:
        phone = Phone(make_switch())
        phone.subscribe()
        assert phone.last == ("active;expires=600", "no 0/0")

    @on_loop
    async def test_event_that_we_do_not_have_is_refused_before_a_challenge(self, make_switch: MakeSwitch) -> None:
        response = Phone(make_switch()).send(event="dialog")
        assert (response.status, response.headers["allow-events"]) == (489, ["message-summary"])

    @on_loop
    async def test_too_short_an_interval_is_refused(self, make_switch: MakeSwitch) -> None:
        response = Phone(make_switch()).send(expires="30")
        assert (response.status, response.headers["min-expires"]) == (423, ["60"])

    @on_loop
    async def test_only_the_user_itself_subscribes_to_its_mailbox(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.secret = "wrong"
        assert phone.subscribe().status == 407
        assert switch.rig.failed_addresses == [PHONE]
        phone.secret = SECRET
        assert phone.subscribe(uri=f"sip:bob@{SWITCH}").status == 403
        switch.rig.customer.status = "suspended"
        assert phone.subscribe().status == 403
        assert switch.subscriptions.count == 0
        assert phone.notifies == []

    @on_loop
    async def test_telephone_behind_a_nat_is_told_along_the_way_that_it_came(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.contact = "<sip:alice@192.168.1.7:5062>"
        phone.subscribe()
        assert [notify.uri for notify in phone.notifies] == ["sip:alice@192.168.1.7:5062"]

    @on_loop
    async def test_telephone_behind_a_proxy_is_told_along_its_route(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        proxy = Phone(switch)
        proxy.contact = f"<sip:alice@{OTHER_PHONE}:5060>"
        proxy.subscribe(**{"record-route": f"<sip:{PHONE};lr>"})
        (notify,) = proxy.notifies
        assert (notify.uri, notify.headers["route"]) == (f"sip:alice@{OTHER_PHONE}:5060", [f"<sip:{PHONE};lr>"])

    @on_loop
    async def test_subscription_without_a_contact_or_with_a_strange_address_is_refused(
        self, make_switch: MakeSwitch
    ) -> None:
        phone = Phone(make_switch())
        assert phone.subscribe(contact="").status == 400
        assert phone.subscribe(uri="tel:alice").status == 416

    @on_loop
    async def test_fetch_is_told_once(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        switch.report(1, 0)
        phone = Phone(switch)
        response = phone.subscribe(expires="0")
        assert (response.status, response.headers["expires"]) == (200, ["0"])
        assert phone.said == [("terminated;reason=timeout", "yes 1/0")]
        switch.assert_nothing_is_left()

    @on_loop
    async def test_state_is_told_when_the_store_is_back(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        switch.report(1, 0)
        phone = Phone(switch)
        switch.store.is_away = True
        phone.subscribe()
        assert phone.said == [("active;expires=600", "")]
        assert "content-type" not in phone.notifies[0].headers
        switch.look()
        switch.store.is_away = False
        switch.look()
        assert phone.said[1:] == [("active;expires=600", "yes 1/0")]


class TestDialog:
    @on_loop
    async def test_refresh_is_answered_and_told(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        switch.rig.wire.advance(500.0)
        phone.contact = f"<sip:alice@{PHONE}:5070>"
        assert phone.refresh(900).headers["expires"] == ["900"]
        assert phone.last == ("active;expires=900", "no 0/0")
        assert [(notify.cseq, notify.uri[-4:]) for notify in phone.notifies] == [(1, "5060"), (2, "5070")]
        switch.rig.wire.advance(899.0)
        assert switch.subscriptions.count == 1
        switch.rig.wire.advance(2.0)
        assert switch.subscriptions.count == 0

    @on_loop
    async def test_subscription_that_is_not_refreshed_ends(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        switch.rig.wire.advance(599.0)
        assert len(phone.notifies) == 1
        switch.rig.wire.advance(2.0)
        assert phone.last == ("terminated;reason=timeout", "no 0/0")
        assert phone.refresh().status == 481
        switch.assert_nothing_is_left()

    @on_loop
    async def test_subscription_ends_when_the_telephone_wants_no_more(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        assert phone.refresh(0).status == 200
        assert phone.last == ("terminated;reason=timeout", "no 0/0")
        switch.report(3, 0)
        assert len(phone.notifies) == 2
        switch.assert_nothing_is_left()

    @on_loop
    async def test_what_is_out_of_order_or_of_another_event_changes_nothing(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        assert phone.refresh(event="presence").status == 489
        assert phone.refresh(event="message-summary;id=2").status == 481
        assert phone.refresh(30).status == 423
        assert phone.refresh().status == 200
        phone.cseq -= 1
        assert phone.refresh(0).status == 500
        assert switch.subscriptions.count == 1

    @on_loop
    async def test_unknown_dialog_is_answered_481(self, make_switch: MakeSwitch) -> None:
        phone = Phone(make_switch())
        phone.to_tag = "nothing"
        assert phone.refresh().status == 481

    @on_loop
    @pytest.mark.parametrize(("status", "left"), [(481, 0), (404, 0), (489, 0), (200, 1), (500, 1), (403, 1)])
    async def test_answer_to_notify_ends_the_subscription_when_it_says_so(
        self, make_switch: MakeSwitch, status: int, left: int
    ) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.status = status
        phone.subscribe()
        assert switch.subscriptions.count == left

    @on_loop
    async def test_subscription_ends_when_nobody_answers(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.status = 0
        phone.subscribe()
        switch.rig.wire.advance(31.0)
        assert switch.subscriptions.count == 1
        switch.rig.wire.advance(2.0)
        assert switch.subscriptions.count == 0
        switch.assert_nothing_is_left()

    @on_loop
    async def test_subscription_ends_when_the_telephone_cannot_be_reached(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        switch.rig.wire.unreachable.add(PHONE)
        switch.report(1, 0)
        assert switch.subscriptions.count == 0


class TestChange:
    @on_loop
    async def test_every_subscription_of_the_user_is_told(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phones = [Phone(switch), Phone(switch, OTHER_PHONE)]
        for phone in phones:
            phone.subscribe()
        switch.report(1, 2)
        switch.report(5, 5, user=10)
        switch.report(0, 3)
        for phone in phones:
            assert [said for _, said in phone.said] == ["no 0/0", "yes 1/2", "no 0/3"]

    @on_loop
    async def test_what_is_known_is_not_told_again(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        switch.mailboxes.report(9, 1, 0)
        phone.subscribe()  # reads it before the switch looks
        switch.look()
        switch.look()
        assert [said for _, said in phone.said] == ["yes 1/0"]

    @on_loop
    async def test_one_notify_is_under_way_at_a_time_and_the_next_says_the_last(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        switch.rig.wire.lose("NOTIFY", SWITCH)
        for new in (1, 2, 3):
            switch.report(new, 0)
        assert len(phone.notifies) == 1
        switch.rig.wire.advance(1.0)  # it is repeated
        assert [said for _, said in phone.said] == ["no 0/0", "yes 1/0", "yes 3/0"]

    @on_loop
    async def test_changes_are_found_when_the_connection_was_lost_or_the_store_lost_its_data(
        self, make_switch: MakeSwitch
    ) -> None:
        switch = make_switch()
        phone = Phone(switch)
        switch.report(4, 4)
        phone.subscribe()
        switch.mailboxes.report(9, 5, 5)
        switch.rig.wire.settle()
        switch.subscriptions.attach()
        switch.look()
        assert phone.last[1] == "yes 5/5"
        switch.store._ask(("FLUSHALL",))
        switch.look()
        assert phone.last[1] == "no 0/0"

    @on_loop
    async def test_subscription_ends_when_the_user_may_not_have_it_any_more(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        phone.subscribe()
        switch.rig.customer.status = "suspended"
        switch.report(1, 0)
        assert phone.last == ("terminated;reason=rejected", "no 0/0")
        switch.assert_nothing_is_left()


class TestBounds:
    @on_loop
    async def test_oldest_subscription_of_a_user_makes_room(self, make_switch: MakeSwitch) -> None:
        switch = make_switch()
        phone = Phone(switch)
        for number in range(subscriptions.USER_LIMIT + 1):
            phone.call_id = f"sub-{number}"
            phone.subscribe()
        assert switch.subscriptions.count == subscriptions.USER_LIMIT
        (ended,) = [each for each in phone.notifies if each.headers.first("subscription-state").startswith("term")]
        assert ended.call_id == "sub-0"
        assert ended.headers["subscription-state"] == ["terminated;reason=probation;retry-after=300"]

    @on_loop
    async def test_one_too_many_is_refused(self, make_switch: MakeSwitch, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscriptions, "LIMIT", 1)
        switch = make_switch()
        assert Phone(switch).subscribe().status == 200
        other = Phone(switch, OTHER_PHONE)
        response = other.subscribe()
        assert (response.status, response.headers["retry-after"]) == (503, ["300"])


class TestOthers:
    @on_loop
    async def test_options_says_which_events_there_are(self, make_switch: MakeSwitch) -> None:
        phone = Phone(make_switch())
        headers = Headers({"max-forwards": ["70"], "from": ["<sip:a@b>;tag=1"], "to": [f"<{URI}>"]})
        headers |= {"call-id": ["o"], "cseq": ["1 OPTIONS"]}
        request = Request("OPTIONS", URI, headers)
        phone.endpoint.transactions.send_request(request, SWITCH_FLOW, phone.endpoint.now(), None)
        phone.endpoint.end_of_turn()
        phone.switch.rig.wire.settle()
        assert phone.responses[-1].headers["allow-events"] == ["message-summary"]
