"""Paging by key."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from admin.paging import PageRequest, decode_cursor, encode_cursor, make_page, page_request
from admin.stores.records import KEY
from tests.admin.conftest import Play
from tests.admin.panel import Panel


def test_cursor_reads_back_as_the_key_it_was_made_from() -> None:
    key = (datetime(2026, 11, 23, 2, 14, 7, 123456, UTC), uuid4(), 2)
    assert decode_cursor(encode_cursor(key), KEY) == key
    assert decode_cursor(encode_cursor((Decimal("-1.50"), 7)), (Decimal, int)) == (Decimal("-1.50"), 7)


@pytest.mark.parametrize(
    "text", ["", "x", "%%%", "WzFd", "bnVsbA", "W251bGwsbnVsbCxudWxsXQ", "WyJhIiwiYiIsImMiXQ", "é"]
)
def test_cursor_is_taken_as_the_first_page_when_it_is_none(text: str) -> None:
    assert page_request({"after": text}, KEY) == PageRequest()
    assert page_request({"before": text}, KEY) == PageRequest()


def test_page_has_neighbours_where_there_are_rows() -> None:
    def page(rows: list[int], asked: PageRequest) -> tuple[list[int], bool, bool]:
        made = make_page(rows, asked, lambda row: (row,))
        return made.rows, made.previous is not None, made.next is not None

    assert page([1, 2, 3], PageRequest(size=2)) == ([1, 2], False, True)
    assert page([3, 4, 5], PageRequest((2,), size=2)) == ([3, 4], True, True)
    assert page([5], PageRequest((4,), size=2)) == ([5], True, False)
    assert page([2, 1], PageRequest((3,), backward=True, size=2)) == ([1, 2], False, True)
    assert page([4, 3, 2], PageRequest((5,), backward=True, size=2)) == ([3, 4], True, True)
    assert page([], PageRequest((9,), size=2)) == ([], False, False)


@pytest.mark.parametrize(
    "address",
    ["/customers", "/customers?sort=-code", "/customers?sort=name", "/customers?sort=-balance", "/call-records"],
)
def test_every_list_is_paged_and_shows_each_row_once_in_both_directions(play: Play, address: str) -> None:
    async def scenario(panel: Panel) -> None:
        await panel.signed_in()
        for number in range(1, 121):
            # Equal names and balances: the key has to tell such rows apart.
            account = await panel.data.account(
                f"CUST{number:04}", name=f"Name {number % 7}", balance=str(number % 5 - 2)
            )
            await panel.data.record(account)
        marker = 'id="record-' if "records" in address else 'id="customer-'
        forward, page = [], await panel.get(address)
        while True:
            forward.append([part.split('"')[0] for part in page.text.split(marker)[1:]])
            if (following := page.next_page()) is None:
                break
            page = await panel.get(following)
        assert [len(rows) for rows in forward] == [50, 50, 20]
        assert len({row for rows in forward for row in rows}) == 120
        backward = [forward[-1]]
        while (previous := page.next_page("Previous")) is not None:
            page = await panel.get(previous)
            backward.append([part.split('"')[0] for part in page.text.split(marker)[1:]])
        assert backward[::-1] == forward

    play(scenario)
