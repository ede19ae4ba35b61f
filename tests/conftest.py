"""Fixtures for every test: real servers when they are asked for, and a runner for coroutines."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.servers import Run, Servers, running_servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Valkey, started for the first test that asks and stopped after the last."""
    with running_servers() as servers:
        yield servers


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """URL of a migrated database that this test has for itself."""
    url = servers.make_database()
    yield url
    servers.drop_database(url)


@pytest.fixture
def live_url(servers: Servers) -> str:
    """URL of the Valkey of the session, without any key."""
    servers.empty_live_store()
    return servers.live_url


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a coroutine to its end on the test's own loop: `run(main())`; more than once if need be."""
    with asyncio.Runner() as runner:
        yield runner.run
