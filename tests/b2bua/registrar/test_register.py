"""A phone registers with the switch: the whole driver on a wire, over the real live store (RFC 3261 §10, §22)."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from b2bua.registrar.bindings import Binding
from b2bua.registrar.service import Registrar
from b2bua.registrar.store import BindingStore
from b2bua.sip.digest import Challenge
from b2bua.sip.message import Response
from tests.b2bua.call.rig import REALM, SECRET, SWITCH, Rig, running_rig
from tests.support import sip
from tests.support.legs import on_loop
from tests.support.registrations import WiredStore

PHONE = "198.51.100.99"
CONTACT = f"<sip:alice@{PHONE}:5060>"


class Phone:
    """Alice's phone, at PHONE; it answers challenges with its own secret."""

    def __init__(self, rig: Rig, store: WiredStore) -> None:
        self.rig = rig
        self.store = store
        self.secret = SECRET
        self.username = "alice"
        self.cseq = 0
        self.failed: list[str] = []
        """Addresses of whose proofs were wrong."""
        self.registrar = Registrar(BindingStore(store), "sip-1:1")
        rig.driver.registrar = self.registrar
        rig.driver._authenticator._failed = lambda host, _: self.failed.append(host)
        rig.wire.help(self._store_answers)

    def _store_answers(self) -> bool:
        if not self.store.answer():
            return False
        self.rig.switch.end_of_turn()
        return True

    def send(self, *contacts: str, **headers: str) -> Response:
        """One REGISTER and its answer."""
        self.cseq += 1
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        changed |= {"From": "<sip:alice@switch>;tag=a1", "To": headers.get("To", "<sip:alice@switch>")}
        if contacts:
            changed["Contact"] = ", ".join(contacts)
        data = sip.request(
            "REGISTER",
            uri=f"sip:{SWITCH}",
            sent_by=f"{PHONE}:5060",
            branch=f"z9hG4bK{self.cseq}",
            cseq=self.cseq,
            changed=changed,
        )
        return self.rig.send(data, PHONE)

    def register(self, *contacts: str, **headers: str) -> Response:
        """A REGISTER, and again with what its challenge asks for."""
        challenge = Challenge.parse(self.send(*contacts, **headers).headers["www-authenticate"][0])
        proof = challenge.answer(self.username, self.secret, "REGISTER", f"sip:{SWITCH}", "c0ffee")
        return self.send(*contacts, Authorization=str(proof), **headers)

    def bindings(self) -> list[Binding]:
        """Where the switch finds it."""
        found: list[Any] = []
        self.registrar.find(9, found.append)
        self.rig.wire.settle()
        (bindings,) = found
        assert isinstance(bindings, list)
        return bindings


MakePhone = Callable[[], Phone]


@pytest.fixture
def make_phone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, live_url: str) -> Iterator[MakePhone]:
    """Make the phone and its switch, from inside a coroutine."""
    stores: list[WiredStore] = []
    rigs = []
    # The store's clock is the real one.
    today = time.time()

    def make() -> Phone:
        rigs.append(running_rig(tmp_path))
        rig = rigs[-1].__enter__()
        rig.wire.made_at = today
        monkeypatch.setattr("time.time", rig.wire.time_of_day)
        stores.append(WiredStore(live_url))
        return Phone(rig, stores[-1])

    yield make
    for rig in rigs:
        rig.__exit__(None, None, None)
    for store in stores:
        store.shut()


class TestChallenge:
    """§22.2; docs/behaviour.md §1.3, §1.5."""

    @on_loop
    async def test_phone_is_challenged_as_by_a_server(self, make_phone: MakePhone) -> None:
        answer = make_phone().send(CONTACT)
        assert answer.status == 401
        challenge = Challenge.parse(answer.headers["www-authenticate"][0])
        assert (challenge.realm, challenge.algorithm, challenge.stale) == (REALM, "MD5", False)
        assert "proxy-authenticate" not in answer.headers

    @on_loop
    async def test_phone_is_challenged_again_when_its_secret_is_wrong_or_its_name_unknown(
        self, make_phone: MakePhone
    ) -> None:
        phone = make_phone()
        phone.secret = "wrong"
        assert phone.register(CONTACT).status == 401
        phone.username = "mallory"
        assert phone.register(CONTACT).status == 401
        assert phone.failed == [PHONE, PHONE]
        assert phone.bindings() == []
        assert phone.store.commands == ["GET"]  # nobody costs the store anything before it is known

    @on_loop
    async def test_phone_is_challenged_when_it_calls_from_a_device_address_too(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        device = phone.rig.snapshot.devices.find("198.51.100.7", "44")
        assert device is not None
        phone.rig.snapshot.devices.add(f"{PHONE}/32", device)
        assert phone.send(CONTACT).status == 401


class TestRegistration:
    """§10.2, §10.3."""

    @on_loop
    async def test_phone_is_found_when_it_has_registered(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        answer = phone.register(CONTACT, User_Agent="Phone/1.0")
        assert (answer.status, answer.headers["contact"]) == (200, [f"{CONTACT};expires=3600"])
        assert answer.headers["server"] == ["softswitch"]
        (binding,) = phone.bindings()
        assert (binding.contact, binding.user_agent) == (f"sip:alice@{PHONE}:5060", "Phone/1.0")
        flow = binding.flow("sip-1:1")
        assert repr(flow) == f"udp:{PHONE}:5060"
        assert phone.registrar.has_source(PHONE, 5060)
        assert phone.failed == []
        assert phone.rig.records() == []

    @on_loop
    async def test_phone_registers_again_before_it_expires(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        phone.register(CONTACT, Expires="600")
        phone.rig.wire.advance(500.0)
        assert phone.register(CONTACT, Expires="600").headers["contact"] == [f"{CONTACT};expires=600"]
        phone.rig.wire.advance(500.0)
        assert len(phone.bindings()) == 1
        phone.rig.wire.advance(101.0)
        assert phone.bindings() == []
        assert not phone.registrar.has_source(PHONE)

    @on_loop
    async def test_nonce_serves_again_when_its_count_goes_up(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        challenge = Challenge.parse(phone.send(CONTACT).headers["www-authenticate"][0])
        proof = challenge.answer("alice", SECRET, "REGISTER", f"sip:{SWITCH}", "c0ffee")
        assert phone.send(CONTACT, Authorization=str(proof)).status == 200
        again = phone.send(CONTACT, Authorization=str(proof))
        assert (again.status, Challenge.parse(again.headers["www-authenticate"][0]).stale) == (401, True)

    @on_loop
    async def test_phone_is_gone_when_it_removes_its_contact(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        phone.register(CONTACT, "<sip:alice@other>;q=0.1")
        answer = phone.register(f"{CONTACT};expires=0")
        assert answer.headers["contact"] == ["<sip:alice@other>;q=0.1;expires=3600"]
        assert [binding.contact for binding in phone.bindings()] == ["sip:alice@other"]

    @on_loop
    async def test_everything_is_gone_when_it_removes_all(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        phone.register(CONTACT, "<sip:alice@other>")
        answer = phone.register("*", Expires="0")
        assert answer.status == 200
        assert "contact" not in answer.headers
        assert phone.bindings() == []

    @on_loop
    async def test_answer_is_the_same_when_the_request_is_repeated(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        first = phone.register(CONTACT)
        phone.cseq -= 1
        repeated = phone.send(CONTACT)
        assert (repeated.status, repeated.headers) == (200, first.headers)

    @on_loop
    async def test_phone_is_asked_to_come_again_when_the_live_store_is_away(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        phone.store.is_away = True
        answer = phone.register(CONTACT)
        assert (answer.status, answer.headers["retry-after"]) == (503, ["5"])
        phone.store.is_away = False
        assert phone.register(CONTACT).status == 200


class TestRefusal:
    @on_loop
    async def test_phone_is_refused_when_it_registers_for_another(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        assert phone.register(CONTACT, To="<sip:bob@switch>").status == 403
        assert phone.bindings() == []

    @on_loop
    async def test_phone_is_refused_when_its_account_is_not_active(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        phone.rig.snapshot.accounts[1].status = "suspended"
        assert phone.register(CONTACT).status == 403

    @on_loop
    async def test_phone_is_refused_when_it_has_another_address(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        user = phone.rig.snapshot.users.get("alice")
        assert user is not None
        user.network = "192.0.2.0/24"
        assert phone.register(CONTACT).status == 403

    @on_loop
    async def test_extension_is_refused_when_it_is_required_and_not_there(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        answer = phone.send(CONTACT, Require="path, outbound")
        assert (answer.status, answer.headers["unsupported"]) == (420, ["outbound"])

    @on_loop
    async def test_path_comes_back_when_it_is_required(self, make_phone: MakePhone) -> None:
        phone = make_phone()
        answer = phone.register(CONTACT, Require="path", Supported="path", Path="<sip:proxy;lr>")
        assert (answer.status, answer.headers["path"]) == (200, ["<sip:proxy;lr>"])
        assert phone.bindings()[0].path == ("<sip:proxy;lr>",)
