"""Those that have most calls are found exactly, however calls are spread over days and keys."""

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from admin.stores import traffic
from tests.admin.conftest import Play
from tests.admin.panel import Panel

FIRST = date(2026, 3, 20)
DAYS = 20
SHOWN = 10


def spread(name: str, chance: random.Random) -> dict[tuple[str, date], int]:
    """Calls by device and day."""
    calls: Counter[tuple[str, date]] = Counter()
    for number in range(400):
        for day in range(DAYS + 2):
            at = FIRST + timedelta(days=day - 1)
            if name == "few have most":
                calls[f"ip:{number}", at] += chance.randrange(1 + 4000 // (number + 1))
            elif name == "all the same":
                calls[f"ip:{number}", at] += chance.randrange(3)
            elif number < 15 or day % 7 == number % 7:  # some every day a little, the others much on one day
                calls[f"ip:{number}", at] += 10 if number < 15 else chance.randrange(70)
    return calls


@pytest.mark.parametrize("name", ["few have most", "all the same", "now and then"])
@pytest.mark.parametrize("candidates", [2000, 20])
def test_most_are_those_with_the_highest_sums(
    play: Play, monkeypatch: pytest.MonkeyPatch, name: str, candidates: int
) -> None:
    monkeypatch.setattr(traffic, "CANDIDATES", candidates)

    async def scenario(panel: Panel) -> None:
        connection = panel.data.connection
        await connection.execute("SELECT cdr_ensure_partition('2026-03-20'), cdr_ensure_partition('2026-04-01')")
        calls = spread(name, random.Random(7))
        await connection.executemany(
            "INSERT INTO traffic SELECT 0, 'device', $1, $2, $3, $3, 0, 0, 0, 0",
            [(day, key, count) for (key, day), count in calls.items()],
        )
        sums: Counter[str] = Counter()
        for (key, day), count in calls.items():
            if FIRST <= day < FIRST + timedelta(days=DAYS):
                sums[key] += count
        rows = await traffic.most(connection, "device", 0, FIRST, FIRST + timedelta(days=DAYS), SHOWN)
        best = sorted(sums.items(), key=lambda each: (-each[1], each[0]))[:SHOWN]
        assert [(row["key"], row["calls"]) for row in rows] == best

    play(scenario)
