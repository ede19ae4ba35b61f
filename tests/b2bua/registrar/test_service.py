"""The registrar over the real live store: who may register, what is answered, and what workers know of each other."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from b2bua.live.connection import LiveConnection, StoreAway
from b2bua.policy.accounts import Device
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar import mirror, service
from b2bua.registrar.bindings import Binding, bindings_key, decode, encode
from b2bua.registrar.listing import Wanted
from b2bua.registrar.service import Registrar
from b2bua.registrar.store import BindingStore
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request
from b2bua.tasks import spawn
from tests.support.live import PATIENCE, connection_to, make_connection, store_at
from tests.support.policy import make_account, make_device
from tests.support.registrations import CONTACT, PHONE, make_binding, register
from tests.support.servers import Run

Answer = tuple[int, dict[str, str]]


def make_user(**changed: Any) -> Device:
    """Alice, of a customer below a reseller."""
    accounts = [make_account(1, 10), make_account(10)]
    snapshot = Snapshot(accounts={account.id: account for account in accounts})
    snapshot.link_accounts()
    return make_device(9, accounts[0], "user", **{"username": "alice", **changed})


class Worker:
    """The registrar of one worker."""

    def __init__(self, connection: LiveConnection, run: str = "sip-1:a") -> None:
        self.connection = connection
        self.registrar = Registrar(BindingStore(connection), run)

    async def register(
        self, request: Request, user: Device | None = None, *, source: str = PHONE, host: str = PHONE
    ) -> Answer:
        """What a REGISTER of a SIP user that has proved its secret is answered."""
        return (await self.register_all([request], user, source=source, host=host))[0]

    async def register_all(
        self, requests: list[Request], user: Device | None = None, *, source: str = PHONE, host: str = PHONE
    ) -> list[Answer]:
        """The same for several that come in one turn."""
        answers: list[Answer] = []
        done = asyncio.Event()

        def answered(status: int, headers: dict[str, str]) -> None:
            answers.append((status, headers))
            if len(answers) == len(requests):
                done.set()

        for request in requests:
            flow = Flow("udp", host, 5062)
            self.registrar.handle(request, flow, source, user or make_user(), time.time(), answered)
        self.connection.flush()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        return answers

    async def find(self, user: int = 9) -> list[Binding] | StoreAway:
        """Where a SIP user is found."""
        answer: asyncio.Future[list[Binding] | StoreAway] = asyncio.get_running_loop().create_future()
        self.registrar.find(user, answer.set_result)
        self.connection.flush()
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def remove(self, contact: str, user: int = 9) -> int | StoreAway:
        """Remove a contact; returns how many were."""
        answer: asyncio.Future[int | StoreAway] = asyncio.get_running_loop().create_future()
        self.registrar.remove(user, contact, answer.set_result)
        self.connection.flush()
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def contacts(self, user: int = 9) -> list[str]:
        """The same, as URIs."""
        found = await self.find(user)
        assert isinstance(found, list)
        return [binding.contact for binding in found]


@asynccontextmanager
async def worker_at(url: str, run: str = "sip-1:a") -> AsyncIterator[Worker]:
    async with connection_to(url) as connection:
        yield Worker(connection, run)


class TestAnswer:
    """RFC 3261 §10.3 step 8."""

    def test_answer_names_every_contact(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                status, headers = await worker.register(register(f"<{CONTACT}>"))
                assert (status, headers["contact"]) == (200, f"<{CONTACT}>;expires=3600")
                assert headers["date"].endswith(" GMT")
                _, headers = await worker.register(register("<sip:alice@h2>;q=0.5;expires=60", call_id="r2"))
                assert headers["contact"] == f"<{CONTACT}>;expires=3600, <sip:alice@h2>;q=0.5;expires=60"
                _, headers = await worker.register(register(cseq=2))
                assert headers["contact"].count("<sip:") == 2
                _, headers = await worker.register(register("*", cseq=3, Expires="0"))
                assert list(headers) == ["date"]
                assert await worker.contacts() == []

        run(main())

    def test_least_time_is_named_when_it_is_not_kept_to(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert await worker.register(register("<sip:a@h>;expires=5")) == (423, {"min-expires": "60"})

        run(main())

    def test_late_request_is_refused(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.register(register(f"<{CONTACT}>", cseq=5))
                assert await worker.register(register(f"<{CONTACT}>;expires=0", cseq=4)) == (500, {})
                assert await worker.contacts() == [CONTACT]

        run(main())

    def test_malformed_request_is_refused(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert await worker.register(register("<sip:a@h")) == (400, {})
                assert await worker.register(register("*")) == (400, {})
                assert await worker.register(register("<sip:a@h>", Supported='"path, x')) == (400, {})
                request = register("<sip:a@h>")
                request.headers["to"] = ["<nonsense>"]
                assert await worker.register(request) == (400, {})

        run(main())

    def test_user_agent_is_asked_to_come_again_when_the_live_store_is_away(self, run: Run) -> None:
        async def main() -> None:
            worker = Worker(make_connection()[0])
            assert await worker.register(register(f"<{CONTACT}>")) == (503, {"retry-after": "5"})
            assert isinstance(await worker.find(), StoreAway)
            await worker.registrar.load()

        run(main())


class TestPath:
    """RFC 3327 §5.3."""

    def test_path_comes_back_when_the_user_agent_knows_it(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                path = "<sip:p1;lr>, <sip:p2;lr>"
                request = register(f"<{CONTACT}>", Path=path, Supported="outbound, Path")
                status, headers = await worker.register(request)
                assert (status, headers["path"]) == (200, path)
                found = await worker.find()
                assert isinstance(found, list)
                assert found[0].path == ("<sip:p1;lr>", "<sip:p2;lr>")

        run(main())

    def test_request_is_refused_when_the_user_agent_does_not_know_path(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                request = register(f"<{CONTACT}>", Path="<sip:p1;lr>", Supported="outbound")
                assert await worker.register(request) == (421, {"require": "path"})
                assert await worker.contacts() == []

        run(main())


class TestPermission:
    """RFC 3261 §10.3 steps 4 and 5; docs/behaviour.md §1.5."""

    def refused(self, run: Run, live_url: str, user: Device, **how: Any) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                request = how.pop("request", None) or register(f"<{CONTACT}>")
                assert await worker.register(request, user, **how) == (403, {})
                assert await worker.contacts() == []

        run(main())

    def test_user_is_refused_when_the_address_of_record_is_of_another(self, run: Run, live_url: str) -> None:
        self.refused(run, live_url, make_user(), request=register(f"<{CONTACT}>", To="<sip:bob@example.com>"))

    def test_user_is_refused_when_it_has_another_address(self, run: Run, live_url: str) -> None:
        self.refused(run, live_url, make_user(network="192.0.2.0/24"))

    @pytest.mark.parametrize("whose", ["user", "account", "reseller"])
    def test_user_is_refused_when_anything_above_it_is_not_active(self, run: Run, live_url: str, whose: str) -> None:
        user = make_user()
        if whose == "user":
            user.status = "inactive"
        else:
            user.account.chain[("account", "reseller").index(whose)].status = "suspended"
        self.refused(run, live_url, user)

    def test_address_is_what_the_proxy_has_seen(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                user = make_user(network=f"{PHONE}/32")
                request = register(f"<{CONTACT}>", To="<sip:%61lice@anywhere>")
                assert (await worker.register(request, user, source=PHONE, host="192.0.2.200"))[0] == 200
                assert worker.registrar.has_source(PHONE)
                assert not worker.registrar.has_source("192.0.2.200", 5062)

        run(main())


class TestTogether:
    """Changes of one SIP user's bindings from many sides."""

    def test_no_contact_is_lost_when_two_workers_register_at_once(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as one, worker_at(live_url, "sip-2:b") as two:
                wanted = [f"sip:alice@h{number}" for number in range(8)]
                requests = [register(f"<{contact}>", call_id=contact) for contact in wanted]
                answers = await asyncio.gather(one.register_all(requests[:4]), two.register_all(requests[4:]))
                assert {status for each in answers for status, _ in each} == {200}
                assert sorted(await one.contacts()) == sorted(await two.contacts()) == wanted

        run(main())

    def test_request_is_put_off_when_others_are_always_quicker(
        self, run: Run, live_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "_ATTEMPTS", 2)

        async def main() -> None:
            async with worker_at(live_url) as worker:
                requests = [register(f"<sip:alice@h{number}>", call_id=f"{number}") for number in range(6)]
                statuses = [status for status, _ in await worker.register_all(requests)]
                stored = len(await worker.contacts())
                assert statuses.count(200) == stored < 6
                assert statuses.count(503) == 6 - stored

        run(main())

    def test_bindings_are_there_when_the_worker_has_been_started_again(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as before:
                await before.register(register(f"<{CONTACT}>"))
            async with worker_at(live_url, "sip-1:b") as after:
                assert not after.registrar.has_source(PHONE)
                await after.registrar.load()
                assert after.registrar.has_source(PHONE, 5062)
                (binding,) = await after.find() or []  # type: ignore[misc]
                assert (binding.worker, binding.flow("sip-1:b")) == ("sip-1:a", None)

        run(main())

    def test_value_that_cannot_be_read_is_mended_by_the_next_request(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            with store_at(live_url) as store:
                store("SET", bindings_key(9), "nonsense")
            async with worker_at(live_url) as worker:
                assert await worker.contacts() == []
                assert (await worker.register(register(f"<{CONTACT}>")))[0] == 200
                assert await worker.contacts() == [CONTACT]

        run(main())


class TestFind:
    def test_preferred_contacts_come_first_and_expired_ones_are_left_out(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            now = time.time()
            bindings = [
                make_binding(contact="sip:low@h", q=0.1, expires_at=now + 60),
                make_binding(contact="sip:gone@h", expires_at=now - 1),
                make_binding(contact="sip:old@h", expires_at=now + 60, registered_at=1),
                make_binding(contact="sip:new@h", expires_at=now + 60, registered_at=2),
            ]
            with store_at(live_url) as store:
                store("SET", bindings_key(9), encode(bindings).decode())
            async with worker_at(live_url) as worker:
                assert await worker.contacts() == ["sip:new@h", "sip:old@h", "sip:low@h"]
                assert worker.registrar.count == 3

        run(main())


class TestKnown:
    def test_source_is_known_until_the_contact_is_removed(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.register(register(f"<{CONTACT}>"))
                assert worker.registrar.has_source(PHONE, 5062)
                assert worker.registrar.has_source(PHONE)
                await worker.register(register(f"<{CONTACT}>;expires=0", cseq=2))
                assert not worker.registrar.has_source(PHONE)

        run(main())

    def test_user_is_forgotten_when_somebody_else_has_removed_it(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.register(register(f"<{CONTACT}>", "<sip:alice@h2>"))
                assert worker.registrar.forget(9) == 2
                assert worker.registrar.forget(9) == 0
                assert not worker.registrar.has_source(PHONE)

        run(main())

    def test_registration_counts_when_it_cannot_be_remembered(
        self, run: Run, live_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mirror, "LIMIT", 0)

        async def main() -> None:
            async with worker_at(live_url) as worker:
                assert (await worker.register(register(f"<{CONTACT}>")))[0] == 200
                assert not worker.registrar.has_source(PHONE)
                assert await worker.contacts() == [CONTACT]

        run(main())

    def test_worker_lists_what_came_to_it(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            user = make_user()
            snapshot = Snapshot()
            snapshot.users.add(user)
            async with worker_at(live_url) as one, worker_at(live_url, "sip-2:b") as two:
                await one.register(register("<sip:alice@h2>;q=0.5", User_Agent="Phone"), user)
                await one.register(register("<sip:alice@h1>", call_id="r2"), user)
                await two.register(register("<sip:alice@h3>", call_id="r3"), user)
                listed = await one.registrar.registrations(snapshot, Wanted())
                assert listed["total"] == 2
                first, second = listed["registrations"]
                assert (first["contact"], second["contact"]) == ("sip:alice@h1", "sip:alice@h2")
                assert second["username"] == "alice"
                assert (second["account"], second["account_id"]) == ("CUST0001", 1)
                assert (second["source"], second["transport"], second["q"]) == (f"{PHONE}:5062", "udp", 0.5)
                assert (second["user_agent"], second["worker"]) == ("Phone", "sip-1")
                assert (await one.registrar.registrations(Snapshot(), Wanted()))["total"] == 0
                assert (await two.registrar.registrations(snapshot, Wanted()))["total"] == 1

        run(main())


class TestRemove:
    def test_one_contact_is_removed_wherever_it_came_to(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as one, worker_at(live_url, "sip-2:b") as two:
                await one.register(register(f"<{CONTACT}>", "<sip:alice@h2>"))
                assert await two.remove("sip:alice@h2") == 1
                assert await one.contacts() == [CONTACT]
                assert await one.remove("sip:alice@h2") == 0
                assert await two.remove(CONTACT) == 1
                # The other worker remembers it until it is told too.
                assert one.registrar.has_source(PHONE)
                assert await one.remove(CONTACT) == 0
                assert not one.registrar.has_source(PHONE)
                with store_at(live_url) as store:
                    assert store.keys("bindings:*") == []

        run(main())

    def test_contact_that_somebody_refreshes_meanwhile_is_removed_all_the_same(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                await worker.register(register("<sip:alice@h1>"))
                removing = spawn(worker.remove("sip:alice@h1"), "remove")
                await worker.register(register("<sip:alice@h2>", call_id="r2"))
                assert await removing == 1
                assert await worker.contacts() == ["sip:alice@h2"]

        run(main())

    def test_nothing_is_removed_when_the_store_is_away(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with worker_at(live_url) as worker:
                worker.connection.is_up = False
                assert isinstance(await worker.remove(CONTACT), StoreAway)

        run(main())


def test_stored_value_is_small(run: Run, live_url: str) -> None:
    async def main() -> None:
        async with worker_at(live_url) as worker:
            await worker.register(register(f"<{CONTACT}>", User_Agent="Yealink SIP-T46S 66.85.0.5"))
        with store_at(live_url) as store:
            value = store("GET", bindings_key(9))
        assert len(decode(value.encode())) == 1
        assert len(value) < 400

    run(main())
