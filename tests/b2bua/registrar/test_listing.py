"""The list of registrations: narrowed, in order, a page at a time."""

import asyncio
from typing import Any

import pytest

from b2bua.policy.snapshot import Snapshot
from b2bua.registrar import listing
from b2bua.registrar.bindings import Binding
from b2bua.registrar.listing import Wanted, list_registrations
from b2bua.tasks import spawn
from tests.support.legs import on_loop
from tests.support.policy import make_account, make_device
from tests.support.registrations import make_binding


def make_snapshot() -> Snapshot:
    """Alice and bob of a customer below a reseller; carol of another customer."""
    accounts = [make_account(1, 10), make_account(10), make_account(2)]
    snapshot = Snapshot(accounts={account.id: account for account in accounts})
    snapshot.link_accounts()
    for number, (name, account) in enumerate({"alice": 0, "bob": 0, "carol": 2}.items()):
        snapshot.users.add(make_device(number + 1, accounts[account], "user", username=name))
    return snapshot


BINDINGS = [
    (2, make_binding(contact="sip:bob@h1", user_agent="Desk 3000")),
    (1, make_binding(contact="sip:alice@h2", source="203.0.113.9", host="203.0.113.9", port=5999)),
    (3, make_binding(contact="sip:carol@h1")),
    (1, make_binding(contact="sip:alice@h1")),
    (99, make_binding(contact="sip:nobody@h1")),  # its SIP user is gone
]


def nothing(_: int, __: Binding) -> dict[str, Any]:
    return {}


async def listed(**wanted: Any) -> tuple[int, list[str]]:
    answer = await list_registrations(BINDINGS, make_snapshot(), Wanted(**wanted), nothing)
    return answer["total"], [row["contact"].removeprefix("sip:") for row in answer["registrations"]]


@on_loop
async def test_list_is_in_the_order_of_names_and_contacts() -> None:
    assert await listed() == (4, ["alice@h1", "alice@h2", "bob@h1", "carol@h1"])


@on_loop
async def test_account_takes_those_below_it_along_and_no_others() -> None:
    assert await listed(account_ids=frozenset([10])) == (3, ["alice@h1", "alice@h2", "bob@h1"])
    assert await listed(account_ids=frozenset([2])) == (1, ["carol@h1"])
    assert await listed(account_ids=frozenset()) == (0, [])


@on_loop
@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ALICE", ["alice@h1", "alice@h2"]),
        ("desk", ["bob@h1"]),
        ("203.0.113.9:5999", ["alice@h2"]),
        ("cust0002", ["carol@h1"]),
        ("@h2", ["alice@h2"]),
        ("nothing", []),
    ],
)
async def test_search_looks_at_what_is_shown(search: str, found: list[str]) -> None:
    wanted = Wanted.read({"search": search}, 100)
    assert await listed(search=wanted.search) == (len(found), found)


@on_loop
async def test_pages_go_on_after_a_place_and_end_before_one() -> None:
    assert await listed(limit=2) == (4, ["alice@h1", "alice@h2"])
    assert await listed(limit=2, after=("alice", "sip:alice@h2")) == (4, ["bob@h1", "carol@h1"])
    assert await listed(limit=2, before=("carol", "sip:carol@h1")) == (4, ["alice@h2", "bob@h1"])
    assert await listed(after=("carol", "sip:carol@h1")) == (4, [])
    assert await listed(before=("alice", "sip:alice@h1")) == (4, [])


@on_loop
async def test_others_have_their_turn_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_AT_ONCE", 1)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while turns < 100:
            turns += 1
            await asyncio.sleep(0)

    task = spawn(other(), "other")
    await listed()
    assert turns >= len(BINDINGS)
    task.cancel()


def test_request_is_read_with_its_bounds() -> None:
    request = {"account_ids": [1, 2], "search": "Über", "after": ["a", "b"], "limit": 5000}
    assert Wanted.read(request, 1000) == Wanted(frozenset([1, 2]), "über", ("a", "b"), None, 1000)
    assert Wanted.read({"search": None, "before": ["a", "b"]}, 1000) == Wanted(before=("a", "b"))
