"""Bindings in the real live store."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from b2bua.live.connection import LiveConnection, StoreAway
from b2bua.registrar.bindings import Binding, bindings_key, decode, encode
from b2bua.registrar.store import BindingStore, read_bindings
from tests.support.live import PATIENCE, connection_to, make_connection, store_at
from tests.support.registrations import make_binding
from tests.support.servers import Run

USER = 9


class Asker:
    """Asks the store and waits for the answer."""

    def __init__(self, connection: LiveConnection) -> None:
        self._connection = connection
        self.store = BindingStore(connection)

    async def read(self, user: int = USER) -> Any:
        return await self._ask(lambda answered: self.store.read(user, answered))

    async def replace(self, seen: bytes, *bindings: Binding, user: int = USER) -> Any:
        return await self._ask(lambda answered: self.store.replace(user, seen, bindings, answered))

    async def _ask(self, ask: Callable[[Callable[[Any], None]], None]) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        ask(answer.set_result)
        self._connection.flush()
        async with asyncio.timeout(PATIENCE):
            return await answer


def lasting(seconds: float = 3600.0, **changed: Any) -> Binding:
    return make_binding(expires_at=time.time() + seconds, **changed)


class TestReplace:
    def test_bindings_are_found_by_everybody_when_they_were_stored(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with connection_to(live_url) as one, connection_to(live_url) as two:
                assert await Asker(one).read() == b""
                binding = lasting()
                assert await Asker(one).replace(b"", binding) is None
                assert decode(await Asker(two).read()) == [binding]
                assert await Asker(two).read(user=10) == b""

        run(main())

    def test_nothing_is_stored_when_somebody_else_was_quicker(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with connection_to(live_url) as connection:
                asker = Asker(connection)
                first, second = lasting(), lasting(contact="sip:b@h")
                assert await asker.replace(b"", first) is None
                assert await asker.replace(b"", second) == encode([first])
                assert await asker.replace(encode([first]), second) is None
                assert await asker.replace(encode([first])) == encode([second])
                assert await asker.replace(encode([second])) is None
                assert await asker.replace(encode([second]), first) == b""

        run(main())

    def test_value_goes_with_the_last_binding(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with connection_to(live_url) as connection:
                asker = Asker(connection)
                bindings = (lasting(60), lasting(600, contact="sip:b@h"))
                await asker.replace(b"", *bindings)
                with store_at(live_url) as store:
                    wanted = int(bindings[1].expires_at * 1000)
                    assert store("PEXPIRETIME", bindings_key(USER)) == wanted
                    await asker.replace(encode(bindings))
                    assert store.keys() == []
                    await asker.replace(b"", lasting(-1))
                    assert store.keys() == []

        run(main())

    def test_script_is_sent_again_when_the_store_has_forgotten_it(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            async with connection_to(live_url) as connection:
                asker, binding = Asker(connection), lasting()
                await asker.replace(b"", binding)
                with store_at(live_url) as store:
                    store("SCRIPT", "FLUSH")
                assert await asker.replace(encode([binding])) is None
                operations = connection.operations
                await asker.replace(b"", binding)
                assert connection.operations == operations + 1

        run(main())


class TestAway:
    def test_asker_hears_that_the_store_is_away(self, run: Run) -> None:
        async def main() -> None:
            connection, _ = make_connection()
            asker = Asker(connection)
            assert isinstance(await asker.read(), StoreAway)
            assert isinstance(await asker.replace(b"", make_binding()), StoreAway)
            with pytest.raises(StoreAway):
                await asker.store.scan(lambda *_: None)

        run(main())

    def test_refusal_of_the_store_is_as_good_as_its_absence(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            with store_at(live_url) as store:
                store("HSET", bindings_key(USER), "a", 1)
            async with connection_to(live_url) as connection:
                assert isinstance(await Asker(connection).read(), StoreAway)
                assert isinstance(await Asker(connection).replace(b"", lasting()), StoreAway)

        run(main())


class TestScan:
    def test_everything_is_found_once_or_more(self, run: Run, live_url: str) -> None:
        async def main() -> None:
            with store_at(live_url) as store:
                for user in range(1, 1001):
                    store("SET", bindings_key(user), encode([lasting(contact=f"sip:{user}@h")]).decode())
                store("SET", "bindings:x", "x")
                store("SET", "bindings:{u:1001}", "x")
                store("SET", "other", "x")
            found: dict[int, list[str]] = {}

            def note(user: int, bindings: list[Binding]) -> None:
                found[user] = [binding.contact for binding in bindings]

            async with connection_to(live_url) as connection:
                await BindingStore(connection).scan(note)
            assert found == {**{user: [f"sip:{user}@h"] for user in range(1, 1001)}, 1001: []}

        run(main())


def test_value_that_cannot_be_read_is_as_good_as_none() -> None:
    assert read_bindings(b"") == []
    assert read_bindings(b"nonsense") == []
