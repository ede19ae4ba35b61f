"""Our registrations at carriers (docs/behaviour.md §4; RFC 3261 §10.2, RFC 5626 §4.5)."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from b2bua.call.carrier_registration import (
    BEAT,
    CarrierRegistrations,
    back_off,
    dialled_number,
    lease_key,
)
from b2bua.call.client_request import ClientRequest
from b2bua.call.gateway_location import GatewayLocator, Located
from b2bua.live.lease import Leases
from b2bua.policy.presentation import PLAIN
from b2bua.policy.routes import Gateway, Login
from b2bua.sip.digest import Credentials
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import ResponseReceived, TransactionTimedOut, TransportFailed
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.transport.endpoint import EndpointUser
from b2bua.transport.resolver import Resolver
from tests.support.carriers import SECRET, USER, WaryCarrier
from tests.support.dns import located
from tests.support.legs import Store, Wire, WiredEndpoint, on_loop
from tests.support.policy import make_gateway

CARRIER, OTHER_CARRIER = "203.0.113.1", "203.0.113.2"
KEY = lease_key(1)
LOGIN = Login(USER, SECRET)
MIDDLE = 0.5
"""What every random number is."""


def registering(**changed: Any) -> Gateway:
    return make_gateway(1, **{"host": CARRIER, "registers": True, "login": LOGIN, **changed})


class Worker(EndpointUser):
    """What of a worker registers."""

    def __init__(self, wire: Wire, store: Store, number: int = 1, user_agent: str = "softswitch") -> None:
        self.wire = wire
        self.host = f"192.0.2.{number}"
        self.endpoint = WiredEndpoint(wire, self.host, self)
        self.registrations = CarrierRegistrations(
            self.endpoint,
            Leases(store, f"sip-{number}:1"),
            GatewayLocator(self.endpoint, Resolver()).locate,
            user_agent=user_agent,
            clock=wire.time_of_day,
            draw=lambda: MIDDLE,
        )

    def before_send(self) -> None:
        """Nothing is promised."""

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Hand what comes of a request to whom it is for, as the driver does."""
        user = event.transaction.user if hasattr(event, "transaction") else None
        assert isinstance(user, ClientRequest)
        if isinstance(event, ResponseReceived):
            user.answered(event.transaction, event.response)
        elif isinstance(event, TransactionTimedOut):
            user.failed(event.transaction, "NO_RESPONSE")  # type: ignore[arg-type]
        elif isinstance(event, TransportFailed):
            user.failed(event.transaction, "TRANSPORT_FAILURE")  # type: ignore[arg-type]

    def update(self, *gateways: Gateway) -> None:
        self.registrations.update(gateways)
        self.endpoint.end_of_turn()
        self.wire.settle()

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.registrations.to_rows()
        return row

    @property
    def state(self) -> str:
        state: str = self.row["state"]
        return state


class Rig:
    def __init__(self, workers: int = 1, **how: Any) -> None:
        self.wire = Wire()
        self.store = Store()
        self.workers = [Worker(self.wire, self.store, number + 1) for number in range(workers)]
        self.wire.help(self._answer)
        self.carrier = WaryCarrier(self.wire, CARRIER, **{"status": 401, **how})

    def _answer(self) -> bool:
        if not self.store.answer():
            return False
        for worker in self.workers:
            worker.endpoint.end_of_turn()
        return True

    @property
    def worker(self) -> Worker:
        return self.workers[0]

    @property
    def now(self) -> float:
        return self.wire.time_of_day()

    def requests(self, source: str = "") -> list[Request]:
        return self.wire.requests("REGISTER", source)

    def asked_at(self) -> list[int]:
        """At which second a REGISTER went out, those after a challenge left out."""
        seen = [(each.message.cseq, round(each.at)) for each in self.wire.carried if each.label == "REGISTER"]
        return sorted({at for _, at in seen})


class TestRegister:
    @on_loop
    async def test_contact_is_registered_when_we_have_proved_who_we_are(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        assert rig.wire.labels() == ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER"]
        assert rig.carrier.contacts == [f"<sip:{USER}@192.0.2.1:5060>"]
        assert rig.worker.row == {
            "gateway": "gateway-1",
            "gateway_id": 1,
            "user": USER,
            "state": "registered",
            "registered_until": rig.now + 600,
            "next_at": rig.now + 480,
            "reason": "",
        }

    @on_loop
    async def test_request_is_a_whole_one(self) -> None:
        rig = Rig()
        rig.worker.update(registering(register_expires=300))
        first, second = rig.requests()
        assert first.uri == f"sip:{CARRIER}"
        assert first.headers["to"] == [f"<sip:{USER}@{CARRIER}>"]
        assert first.headers["from"][0].startswith(f"<sip:{USER}@{CARRIER}>;tag=")
        assert first.headers["expires"] == ["300"]
        assert first.headers["max-forwards"] == ["70"]
        assert first.headers["user-agent"] == ["softswitch"]
        assert (first.call_id, first.from_tag) == (second.call_id, second.from_tag)
        assert (first.cseq, second.cseq) == (1, 2)

    @on_loop
    async def test_user_agent_is_named_only_when_it_is_set(self) -> None:
        rig = Rig()
        worker = Worker(rig.wire, rig.store, 7, user_agent="")
        worker.update(registering())
        worker.endpoint.end_of_turn()
        rig.wire.settle()
        assert "user-agent" not in rig.requests("192.0.2.7")[0].headers

    @on_loop
    async def test_user_and_domain_are_those_of_the_gateway(self) -> None:
        rig = Rig()
        rules = replace(PLAIN, from_user="100", from_domain="carrier.example")
        rig.worker.update(registering(presentation=rules))
        request = rig.requests()[-1]
        assert request.uri == "sip:carrier.example"
        assert request.headers["to"] == ["<sip:100@carrier.example>"]
        assert request.headers["contact"] == ["<sip:100@192.0.2.1:5060>"]
        assert Credentials.parse(request.headers["authorization"][0]).username == USER
        assert rig.worker.row["user"] == "100"

    @on_loop
    async def test_contact_names_the_transport_when_it_is_not_udp(self) -> None:
        rig = Rig()
        rig.worker.update(registering(transport="tcp"))
        assert rig.carrier.contacts == [f"<sip:{USER}@192.0.2.1:5060;transport=tcp>"]

    @on_loop
    async def test_port_is_the_usual_one_when_there_is_none(self) -> None:
        rig = Rig()
        rig.worker.update(registering(port=None))
        assert rig.worker.state == "registered"

    @on_loop
    async def test_registration_needs_no_proof_when_nobody_asks(self) -> None:
        rig = Rig(methods=())
        rig.worker.update(registering(login=None, presentation=replace(PLAIN, from_user="100")))
        assert rig.wire.labels()[0] == "REGISTER"

    @on_loop
    @pytest.mark.parametrize("changed", [{"registers": False}, {"status": "inactive"}])
    async def test_nobody_registers_when_it_is(self, changed: dict[str, Any]) -> None:
        rig = Rig()
        rig.worker.update(registering(**changed))
        rig.wire.advance(60)
        assert rig.requests() == []
        assert rig.worker.registrations.to_rows() == []
        assert rig.store.leases == {}


class TestRefresh:
    @on_loop
    async def test_registration_is_renewed_after_four_fifths_of_what_was_granted(self) -> None:
        rig = Rig()
        rig.carrier.registers = 100
        rig.worker.update(registering())
        rig.wire.advance(250)
        assert rig.asked_at() == [0, 80, 160, 240]
        # The nonce is used on: no further challenge.
        assert [proof.nc for proof in rig.carrier.accepted] == ["00000001", "00000002", "00000003", "00000004"]
        assert [request.cseq for request in rig.requests()] == [1, 2, 3, 4, 5]

    @on_loop
    async def test_registration_is_proved_anew_when_the_nonce_is_old(self) -> None:
        rig = Rig(uses=1)
        rig.carrier.registers = 100
        rig.worker.update(registering())
        rig.wire.advance(85)
        assert rig.wire.labels()[4:] == ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER"]
        assert rig.worker.row["registered_until"] == pytest.approx(rig.now + 95, abs=1)

    @on_loop
    @pytest.mark.parametrize(
        ("contact", "expires", "granted"),
        [
            ("<sip:4930900@192.0.2.1:5060>;expires=90", "", 90),
            ("<sip:4930900@192.0.2.1:5060>;expires=90", "50", 90),
            ("<sip:4930900@192.0.2.1:5060>", "50", 50),
            ("<sip:other@10.0.0.1>;expires=7, <sip:4930900@192.0.2.1:5060>;expires=90", "", 90),
            # Rewritten by a border element: the only one is ours.
            ("<sip:4930900@10.0.0.1:1024>;expires=90", "", 90),
            ("<sip:a@10.0.0.1>;expires=7, <sip:b@10.0.0.1>;expires=8", "", 600),
            ("<<<", "", 600),
            ('"', "50", 50),
            ('<sip:a@x>, "', "50", 50),
            ("", "", 600),
            ("<sip:4930900@192.0.2.1:5060>;expires=x", "", 0),
            ("<sip:4930900@192.0.2.1:5060>;expires=4294967295", "", 86_400),
        ],
    )
    async def test_time_is_that_of_our_contact(self, contact: str, expires: str, granted: int) -> None:
        rig = Rig()
        rig.carrier.more = {"expires": expires} if expires else {}
        rig.carrier.shown = contact
        rig.worker.update(registering())
        if granted:
            assert rig.worker.row["registered_until"] == rig.now + granted
        else:
            assert rig.worker.row["reason"] == "granted for no time"

    @on_loop
    async def test_longer_time_is_asked_for_when_the_carrier_wants_that(self) -> None:
        rig = Rig()
        rig.carrier.least = rig.carrier.registers = 3600
        rig.worker.update(registering(register_expires=60))
        assert rig.wire.labels()[-4:] == ["REGISTER", "423 REGISTER", "REGISTER", "200 REGISTER"]
        assert rig.requests()[-1].headers["expires"] == ["3600"]
        rig.wire.advance(2900)
        assert rig.wire.labels()[-2:] == ["REGISTER", "200 REGISTER"]

    @on_loop
    @pytest.mark.parametrize("least", ["", "x", "10", "86401", "600"])
    async def test_registration_fails_when_the_longer_time_is_none(self, least: str) -> None:
        rig = Rig()
        rig.carrier.refuses, rig.carrier.more = 423, {"min-expires": least}
        rig.worker.update(registering())
        assert rig.worker.row["reason"].startswith("423")
        assert len(rig.requests()) == 2

    @on_loop
    async def test_registration_fails_when_every_time_is_too_short(self) -> None:
        rig = Rig()
        rig.carrier.refuses, rig.carrier.least = 423, 3600
        rig.worker.update(registering())
        assert rig.worker.row["reason"].startswith("423")
        assert len(rig.requests()) == 3


class TestAnswers:
    @on_loop
    async def test_provisional_answer_changes_nothing(self) -> None:
        rig = Rig()
        rig.carrier.is_silent = True
        rig.worker.update(registering())
        registration = rig.worker.registrations._all[1]
        asked = registration._asked
        assert asked is not None
        registration.answered(asked, Response(100, "Trying", Headers()))
        assert rig.worker.state == "trying"

    @on_loop
    async def test_answer_changes_nothing_when_another_worker_registers_meanwhile(self) -> None:
        rig = Rig()
        rig.carrier.is_silent = True
        rig.worker.update(registering())
        registration = rig.worker.registrations._all[1]
        asked = registration._asked
        assert asked is not None
        rig.store.leases[KEY] = "sip-2:1"
        rig.wire.advance(BEAT + 0.1)
        sent = len(rig.requests())
        registration.answered(asked, Response(200, "OK", Headers()))
        registration.failed(asked, "NO_RESPONSE")
        rig.wire.advance(60)
        assert rig.worker.state == "elsewhere"
        assert len(rig.requests()) == sent


class TestFailure:
    def test_wait_doubles_up_to_half_an_hour(self) -> None:
        assert [back_off(failures, 1.0) for failures in range(1, 8)] == [60, 120, 240, 480, 960, 1800, 1800]
        assert [back_off(failures, 0.0) for failures in (1, 2, 10_000)] == [30, 60, 900]

    @on_loop
    async def test_refused_registration_is_tried_again_later_and_later(self) -> None:
        rig = Rig()
        rig.carrier.refuses = 403
        rig.worker.update(registering())
        assert rig.worker.row["state"] == "failed"
        assert rig.worker.row["reason"] == "403 Forbidden"
        rig.wire.advance(500)
        assert rig.asked_at() == [0, 45, 135, 315]
        rig.carrier.refuses = 0
        rig.wire.advance(200)
        assert (rig.worker.state, rig.worker.row["reason"]) == ("registered", "")

    @on_loop
    async def test_wrong_secret_is_not_sent_again_at_once(self) -> None:
        rig = Rig()
        rig.carrier.secret = "another"
        rig.worker.update(registering())
        assert len(rig.requests()) == 2
        assert rig.worker.row["reason"] == "401 Unauthorized"
        rig.wire.advance(46)
        assert len(rig.requests()) == 4

    @on_loop
    async def test_wait_is_at_least_what_the_carrier_wants(self) -> None:
        rig = Rig()
        rig.carrier.refuses, rig.carrier.more = 503, {"retry-after": "300 (busy);duration=5"}
        rig.worker.update(registering())
        rig.wire.advance(310)
        assert rig.asked_at() == [0, 300]

    @on_loop
    async def test_wait_is_bounded_whatever_the_carrier_wants(self) -> None:
        rig = Rig()
        rig.carrier.refuses, rig.carrier.more = 503, {"retry-after": "999999999"}
        rig.worker.update(registering())
        assert rig.worker.row["next_at"] == rig.now + 1800

    @on_loop
    async def test_silence_is_a_failure(self) -> None:
        rig = Rig()
        rig.carrier.is_silent = True
        rig.worker.update(registering())
        assert rig.worker.state == "trying"
        rig.wire.advance(33)
        assert (rig.worker.state, rig.worker.row["reason"]) == ("failed", "no answer")

    @on_loop
    async def test_unreachable_gateway_is_a_failure(self) -> None:
        rig = Rig()
        rig.wire.unreachable.add(CARRIER)
        rig.worker.update(registering())
        assert rig.worker.row["reason"] == "not reachable"

    @on_loop
    async def test_gateway_without_a_way_to_it_is_a_failure(self) -> None:
        rig = Rig()
        rig.worker.update(registering(host="2001:db8::1"))
        assert rig.worker.row["reason"] == "no way to it"
        rig.wire.advance(46)
        assert rig.worker.row["next_at"] == pytest.approx(rig.now - 1 + 90, abs=0.2)

    @on_loop
    async def test_nobody_cannot_be_registered(self) -> None:
        rig = Rig()
        rig.worker.update(registering(login=None))
        assert rig.worker.row["reason"] == "no user name"
        assert rig.requests() == []

    @on_loop
    async def test_registration_lasts_until_its_end_when_it_cannot_be_renewed(self) -> None:
        rig = Rig()
        rig.carrier.registers = 100
        rig.worker.update(registering())
        rig.carrier.refuses = 500
        rig.wire.advance(90)
        assert rig.worker.state == "registered"
        assert rig.worker.row["reason"].startswith("500")
        rig.wire.advance(11)
        assert rig.worker.state == "failed"


class TestLease:
    """One worker registers."""

    def both(self, rig: Rig, *gateways: Gateway) -> None:
        for worker in rig.workers:
            worker.update(*gateways)

    @on_loop
    async def test_one_of_two_registers(self) -> None:
        rig = Rig(workers=2)
        self.both(rig, registering())
        rig.wire.advance(30)
        assert rig.requests("192.0.2.2") == []
        assert [worker.state for worker in rig.workers] == ["registered", "elsewhere"]
        assert rig.store.leases == {KEY: "sip-1:1"}

    @on_loop
    async def test_other_takes_over_when_the_lease_has_run_out(self) -> None:
        rig = Rig(workers=2)
        self.both(rig, registering())
        rig.store.leases[KEY] = "sip-2:1"
        rig.wire.advance(BEAT + 0.1)
        assert [worker.state for worker in rig.workers] == ["elsewhere", "registered"]
        before = len(rig.requests("192.0.2.1"))
        rig.wire.advance(1000)
        assert len(rig.requests("192.0.2.1")) == before

    @on_loop
    async def test_registration_comes_back_when_the_lease_does(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.store.leases[KEY] = "sip-9:1"
        rig.wire.advance(BEAT + 0.1)
        del rig.store.leases[KEY]
        rig.wire.advance(BEAT)
        assert rig.worker.state == "registered"
        assert rig.requests()[-1].cseq == 3

    @on_loop
    async def test_everything_stays_as_it_is_while_the_store_is_away(self) -> None:
        rig = Rig(workers=2)
        self.both(rig, registering())
        rig.store.is_away = True
        rig.wire.advance(30)
        assert [worker.state for worker in rig.workers] == ["registered", "elsewhere"]

    @on_loop
    async def test_late_answer_of_the_store_changes_nothing_when_the_gateway_is_gone(self) -> None:
        rig = Rig()
        rig.store.is_slow = True
        rig.worker.update(registering())
        rig.worker.update()
        rig.store.is_slow = False
        rig.wire.advance(1)
        assert rig.requests() == []
        assert rig.store.leases == {}


class TestEnd:
    @on_loop
    @pytest.mark.parametrize("changed", [{"registers": False}, {"status": "inactive"}, None])
    async def test_registration_is_taken_back_when_the_gateway_is(self, changed: dict[str, Any] | None) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.worker.update(*([registering(**changed)] if changed is not None else []))
        last = rig.requests()[-1]
        assert last.headers["expires"] == ["0"]
        assert rig.carrier.contacts == []
        assert rig.store.leases == {}
        assert rig.worker.registrations.to_rows() == []
        rig.wire.advance(1000)
        assert rig.requests()[-1].cseq == last.cseq
        assert rig.worker.endpoint.wheel.count == 0

    @on_loop
    async def test_next_worker_registers_only_after_the_end(self) -> None:
        rig = Rig(workers=2)
        rig.worker.update(registering())
        rig.workers[1].update(registering())
        rig.carrier.is_silent = True
        rig.worker.update()
        rig.wire.advance(BEAT * 2)
        assert rig.requests("192.0.2.2") == []
        rig.carrier.is_silent = False
        rig.wire.advance(32.0 - BEAT)
        assert rig.workers[1].state == "registered"
        assert rig.carrier.contacts == [f"<sip:{USER}@192.0.2.2:5060>"]

    @on_loop
    async def test_end_is_proved_when_the_carrier_asks(self) -> None:
        rig = Rig(uses=1)
        rig.worker.update(registering())
        rig.worker.update()
        assert rig.wire.labels()[-4:] == ["REGISTER", "401 REGISTER", "REGISTER", "200 REGISTER"]
        assert rig.carrier.contacts == []

    @on_loop
    @pytest.mark.parametrize("status", [403, 423, 500])
    async def test_lease_is_given_up_when_the_end_is_refused(self, status: int) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.carrier.refuses = status
        rig.worker.update()
        assert rig.store.leases == {}

    @on_loop
    async def test_lease_is_given_up_when_there_is_no_answer(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.carrier.is_silent = True
        rig.worker.update()
        assert rig.store.leases == {KEY: "sip-1:1"}
        rig.wire.advance(33)
        assert rig.store.leases == {}

    @on_loop
    async def test_end_is_sent_when_the_first_answer_is_still_to_come(self) -> None:
        rig = Rig()
        rig.wire.lose("200 REGISTER", CARRIER)
        rig.worker.update(registering())
        assert len(rig.carrier.contacts) == 1
        rig.worker.update()
        rig.wire.advance(5)
        assert [request.headers["expires"] for request in rig.requests()] == [["600"], ["600"], ["0"]]
        assert rig.carrier.contacts == []
        assert rig.worker.registrations.to_rows() == []

    @on_loop
    async def test_nothing_is_sent_when_nothing_was_registered(self) -> None:
        rig = Rig()
        rig.carrier.refuses = 403
        rig.worker.update(registering())
        before = len(rig.requests())
        rig.worker.update()
        assert len(rig.requests()) == before
        assert rig.store.leases == {}

    @on_loop
    async def test_close_takes_everything_back(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        asyncio.get_running_loop().call_soon(rig.wire.settle)
        await rig.worker.registrations.close(5.0)
        assert rig.carrier.contacts == []
        assert rig.worker.registrations.to_rows() == []
        rig.wire.settle()
        assert rig.store.leases == {}
        assert rig.worker.endpoint.wheel.count == 0

    @on_loop
    async def test_close_waits_for_the_last_of_several(self) -> None:
        rig = Rig()
        other = WaryCarrier(rig.wire, OTHER_CARRIER, status=401)
        second = make_gateway(2, host=OTHER_CARRIER, registers=True, login=LOGIN)
        rig.worker.update(registering(), second)
        assert [row["gateway"] for row in rig.worker.registrations.to_rows()] == ["gateway-1", "gateway-2"]
        asyncio.get_running_loop().call_soon(rig.wire.settle)
        await rig.worker.registrations.close(5.0)
        assert (rig.carrier.contacts, other.contacts) == ([], [])

    @on_loop
    async def test_close_waits_no_longer_than_told(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.carrier.is_silent = True
        asyncio.get_running_loop().call_soon(rig.wire.settle)
        await rig.worker.registrations.close(0.01)
        assert rig.requests()[-1].headers["expires"] == ["0"]

    @on_loop
    async def test_close_waits_for_nothing_when_nothing_is_registered(self) -> None:
        rig = Rig()
        await rig.worker.registrations.close(5.0)
        assert rig.requests() == []


class TestChange:
    @on_loop
    async def test_nothing_is_sent_when_what_was_changed_does_not_matter(self) -> None:
        rig = Rig()
        rig.worker.update(registering())
        before = len(rig.requests())
        rig.worker.update(registering(weight=7))
        assert len(rig.requests()) == before

    @on_loop
    @pytest.mark.parametrize(
        "changed",
        [{"register_expires": 900}, {"presentation": replace(PLAIN, from_user="100")}, {"transport": "tcp"}],
    )
    async def test_old_registration_ends_before_the_new_one_begins(self, changed: dict[str, Any]) -> None:
        rig = Rig()
        rig.worker.update(registering())
        rig.worker.update(registering(**changed))
        expires = [request.headers["expires"][0] for request in rig.requests()]
        assert expires.count("0") == 1
        assert expires.index("0") == 2
        assert rig.worker.state == "registered"
        assert len(rig.carrier.contacts) == 1
        assert rig.store.leases == {KEY: "sip-1:1"}

    @on_loop
    async def test_registration_moves_with_the_gateway(self) -> None:
        rig = Rig()
        other = WaryCarrier(rig.wire, OTHER_CARRIER, status=401)
        rig.worker.update(registering())
        rig.worker.update(registering(host=OTHER_CARRIER))
        assert (rig.carrier.contacts, len(other.contacts)) == ([], 1)

    @on_loop
    async def test_way_that_is_found_late_is_not_gone_when_it_is_not_wanted(self) -> None:
        rig = Rig()
        waiting: list[tuple[Gateway, Located]] = []
        worker = rig.worker
        worker.registrations._locate = lambda gateway, located: waiting.append((gateway, located))
        worker.update(registering())
        worker.update()
        ((gateway, located),) = waiting
        located(worker.endpoint.flow_to("udp", gateway.host, 5060))
        worker.endpoint.end_of_turn()
        assert rig.requests() == []


class TestNamed:
    """RFC 3263 §4.3: a gateway that has a name, and two servers."""

    ZONE = f"""$ORIGIN carrier.example.
$TTL 300
@          SOA ns hostmaster 1 3600 600 86400 60
_sip._udp  SRV 1 0 5060 one
_sip._udp  SRV 2 0 5060 two
one        A   {OTHER_CARRIER}
two        A   {CARRIER}
"""

    @asynccontextmanager
    async def rig(self, **how: Any) -> AsyncIterator[Rig]:
        """The one who answers as it is told is the second server."""
        async with located(self.ZONE, supported=("udp",)) as names:
            rig = Rig(**how)
            rig.worker.registrations._locate = GatewayLocator(rig.worker.endpoint, names.resolver).locate
            await names.resolver.resolve("carrier.example", None, "udp")
            yield rig

    def servers_asked(self, rig: Rig) -> list[str]:
        targets = [each.target for each in rig.wire.carried if each.label == "REGISTER"]
        return [target for target, before in zip(targets, [None, *targets], strict=False) if target != before]

    @on_loop
    @pytest.mark.parametrize("fault", [503, "silence", "unreachable"])
    async def test_next_server_is_asked_at_once_when_one_fails(self, fault: int | str) -> None:
        with capture_logs() as logs:
            await self.register_where_one_fails(fault)
        assert "not registered at a gateway" not in [each["event"] for each in logs]

    async def register_where_one_fails(self, fault: int | str) -> None:
        async with self.rig() as rig:
            if fault == 503:
                WaryCarrier(rig.wire, OTHER_CARRIER, status=401).refuses = 503
            elif fault == "unreachable":
                rig.wire.unreachable.add(OTHER_CARRIER)
            rig.worker.update(registering(host="carrier.example", port=None))
            rig.wire.advance(33.0 if fault == "silence" else 0.1)
            assert rig.worker.state == "registered"
            assert rig.carrier.contacts == [f"<sip:{USER}@192.0.2.1:5060>"]
            assert {request.uri for request in rig.requests()} == {"sip:carrier.example"}
            rig.wire.advance(25.0)
            rig.worker.registrations._all[1]._register()
            rig.worker.endpoint.end_of_turn()
            rig.wire.settle()
            assert self.servers_asked(rig)[-1] == CARRIER

    @on_loop
    async def test_server_that_asks_for_proof_gets_it(self) -> None:
        async with self.rig() as rig:
            other = WaryCarrier(rig.wire, OTHER_CARRIER, status=401)
            rig.worker.update(registering(host="carrier.example", port=None))
            assert (len(other.contacts), rig.carrier.contacts) == (1, [])
            assert self.servers_asked(rig) == [OTHER_CARRIER]

    @on_loop
    async def test_registration_has_failed_when_all_servers_have(self) -> None:
        async with self.rig() as rig:
            rig.carrier.refuses = 503
            rig.wire.unreachable.add(OTHER_CARRIER)
            rig.worker.update(registering(host="carrier.example", port=None))
            assert (rig.worker.state, rig.worker.row["reason"]) == ("failed", "503 Service Unavailable")


class TestDialledNumber:
    def dialled(self, number: str, to: str, gateways: Iterable[Gateway]) -> str:
        request = Request("INVITE", f"sip:{number}@192.0.2.1", Headers({"to": [to]}))
        return dialled_number(request, number, gateways)

    def test_number_is_that_of_to_when_our_contact_is_called(self) -> None:
        assert self.dialled(USER, "<sip:493090017@carrier.example>", [registering()]) == "493090017"
        assert self.dialled(USER, "<tel:+493090017>", [registering()]) == "+493090017"

    @pytest.mark.parametrize("to", ["<<<", "<sip:carrier.example>"])
    def test_number_is_that_of_the_contact_when_to_has_none(self, to: str) -> None:
        assert self.dialled(USER, to, [registering()]) == USER

    def test_number_is_that_of_the_uri_otherwise(self) -> None:
        to = "<sip:493090017@carrier.example>"
        assert self.dialled("4930900", to, [registering(registers=False)]) == "4930900"
        assert self.dialled("123", to, [registering()]) == "123"
        assert self.dialled(USER, to, []) == USER
