"""Mailboxes on a real Valkey."""

from typing import Any

import pytest

from b2bua.live.connection import LiveConnection, StoreAway
from b2bua.registrar import mailbox
from b2bua.registrar.mailbox import UNKNOWN, MailboxStore
from b2bua.registrar.subscription import Mailbox
from tests.support.live import connection_to, store_at
from tests.support.servers import Run


class Client:
    """A store of its own, whose answers are waited for."""

    def __init__(self, connection: LiveConnection) -> None:
        self.connection = connection
        self.store = MailboxStore(connection)

    async def report(self, user: int, new: int, old: int) -> bool:
        answers: list[bool] = []
        self.store.report(user, new, old, answers.append)
        return bool(await self._answer(answers))

    async def read(self, *users: int) -> Any:
        answers: list[Any] = []
        self.store.read(users, answers.append)
        return await self._answer(answers)

    async def changes(self, version: int) -> Any:
        answers: list[Any] = []
        self.store.changes(version, answers.append)
        return await self._answer(answers)

    async def _answer(self, answers: list[Any]) -> Any:
        await self.connection.call("PING")
        (answer,) = answers
        return answer


def test_report_is_read_and_found_by_whoever_looks(run: Run, live_url: str) -> None:
    async def scenario() -> None:
        async with connection_to(live_url) as connection:
            client = Client(connection)
            start, _, nothing = await client.changes(UNKNOWN)
            assert nothing == []
            assert await client.report(9, 2, 5)
            assert await client.report(10, 1, 0)
            assert await client.report(9, 3, 5)
            assert await client.read(9, 10, 11) == {9: Mailbox(3, 5), 10: Mailbox(1, 0), 11: Mailbox(0, 0)}
            version, is_more, changed = await client.changes(start)
            assert (is_more, changed) == (False, [(10, Mailbox(1, 0)), (9, Mailbox(3, 5))])
            assert await client.changes(version) == (version, False, [])
            assert await client.changes(UNKNOWN) == (version, False, [])
            assert await client.report(9, 3, 5)  # no change
            assert await client.changes(version) == (version, False, [])

    run(scenario())


def test_changes_come_in_pages_in_their_order(run: Run, live_url: str) -> None:
    async def scenario() -> None:
        async with connection_to(live_url) as connection:
            client, seen, version, is_more = Client(connection), [], 0, True
            for user in range(5):
                await client.report(user, user, 0)
            while is_more:
                reply = await connection.call(*mailbox.changes(version, 2))
                version, is_more, changed = mailbox.read_changes(reply)
                seen += [user for user, _ in changed]
            assert seen == [0, 1, 2, 3, 4]

    run(scenario())


def test_version_is_smaller_when_the_store_has_lost_its_data_and_never_one_that_was_seen(
    run: Run, live_url: str
) -> None:
    async def scenario() -> None:
        async with connection_to(live_url) as connection:
            client = Client(connection)
            await client.report(9, 1, 0)
            version, _, _ = await client.changes(0)
            with store_at(live_url) as store:
                store("FLUSHALL")
            assert await client.changes(version) == (0, False, [])
            await client.report(9, 1, 0)
            assert (await client.changes(0))[0] > version

    run(scenario())


def test_store_that_is_away_takes_nothing_and_tells_nothing(run: Run, live_url: str) -> None:
    async def scenario() -> None:
        async with connection_to(live_url) as connection:
            client = Client(connection)
            answers: list[Any] = []
            connection.is_up = False
            client.store.report(9, 1, 0, answers.append)
            client.store.read((9,), answers.append)
            client.store.changes(0, answers.append)
            await connection.call("PING")
            taken, read, changed = answers
            assert taken is False
            assert isinstance(read, StoreAway)
            assert isinstance(changed, StoreAway)

    run(scenario())


def test_value_of_another_type_is_refused_and_not_raised(run: Run, live_url: str) -> None:
    async def scenario() -> None:
        async with connection_to(live_url) as connection:
            await connection.call("SET", mailbox.KEYS[0], "nonsense")
            client = Client(connection)
            assert not await client.report(9, 1, 0)
            assert isinstance(await client.read(9), StoreAway)

    run(scenario())


@pytest.mark.parametrize(("new", "old"), [(-1, 0), (0, -1), (mailbox.MOST + 1, 0)])
def test_report_of_what_cannot_be_is_our_fault(new: int, old: int) -> None:
    with pytest.raises(ValueError, match="a mailbox holds"):
        mailbox.report(9, new, old)
