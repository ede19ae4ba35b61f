"""What the panel says of the journal, from what the workers answer."""

import pytest

from admin.health import Part, _with_journal

WRITES = Part("cdr", "Record writer", True, "writes")
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("waiting", "limit", "up", "detail"),
    [
        (0, 0, True, "writes"),
        (15 * MEGABYTE, 8000 * MEGABYTE, True, "writes"),
        (900 * MEGABYTE, 8000 * MEGABYTE, True, "writes; 900 MB of records wait"),
        (8000 * MEGABYTE, 8000 * MEGABYTE, False, "writes; 8,000 MB of records wait, new calls are refused"),
    ],
)
def test_panel_says_how_much_waits_when_it_is_much(waiting: int, limit: int, up: bool, detail: str) -> None:
    part = _with_journal(WRITES, [None, {"journal_waiting": waiting, "journal_limit": limit}])
    assert (part.up, part.detail) == (up, detail)
