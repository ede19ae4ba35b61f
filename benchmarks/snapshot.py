"""The large tables of the snapshot: `python -m benchmarks.snapshot`.

    python -m benchmarks.snapshot                   a million rates, 100,000 devices
    python -m benchmarks.snapshot --rates 100000

Starts a PostgreSQL of its own, fills it, and has `softswitch snapshot` write the files. A fresh process then loads
them, looks rates and devices up, and sees a rate change. Its memory is counted twice: `own_mb` is what it wrote itself;
`alone_mb` is all that nobody else has mapped, to which the pages of the files belong that it touched, as long as no
second worker runs. Lookups are of a thousand numbers over and over; `cold` ones are all different, and spread evenly
over a million prefixes, which calls never are. Prints a table and, last, one line of JSON; ends with 1 when a goal is
missed.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from b2bua.policy.packed_files import read_version, snapshot_directory
from b2bua.policy.packed_tables import PackedTables, load_packed
from conf.settings import DatabaseSettings, Settings, SystemSettings
from tests.support.servers import running_servers

ACCOUNTS: Final = 1000
WANTED: Final = {"load_seconds": 2.0, "own_mb": 50.0, "alone_mb": 50.0, "change_seconds": 1.0, "lookup_us": 3.0}
LOOKUPS: Final = 20_000


async def fill(url: str, rates: int, devices: int) -> None:
    """Make a ratecard and the devices of a thousand accounts, half of them addresses and half users."""
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO ratecard (name) VALUES ('benchmark')")
    await connection.execute(
        "INSERT INTO rate (ratecard_id, prefix, rate_per_minute, connection_charge, minimum, resolution, destination)"
        " SELECT ratecard.id, (1000000 + n)::text, (n::bigint * 7919 % 200000)::numeric / 1000000,"
        " CASE WHEN n % 50 = 0 THEN 0.01 ELSE 0 END, interval.seconds, interval.seconds,"
        " 'Country ' || n / 5000 || ' mobile ' || n / 500 % 10"
        " FROM ratecard, generate_series(0, $1 - 1) AS n,"
        " LATERAL (SELECT (ARRAY[1, 6, 30, 60])[n % 4 + 1] AS seconds) AS interval",
        rates,
        timeout=600,
    )
    await connection.execute(
        "INSERT INTO account (code, kind, name, currency)"
        " SELECT 'CUST' || to_char(n, 'FM0000'), 'customer', 'n' || n, 'EUR' FROM generate_series(1, $1) AS n",
        ACCOUNTS,
    )
    await connection.execute(
        "WITH owner AS (SELECT array_agg(id) AS ids FROM account)"
        " INSERT INTO ip_device (account_id, address, max_sessions)"
        " SELECT owner.ids[n % $2 + 1], ('10.0.0.0'::inet + n)::cidr, 10 FROM owner, generate_series(0, $1 - 1) AS n",
        devices // 2,
        ACCOUNTS,
    )
    await connection.execute(
        "WITH owner AS (SELECT array_agg(id) AS ids FROM account)"
        " INSERT INTO sip_user (account_id, username, ha1_md5, extension)"
        " SELECT owner.ids[n % $2 + 1], 'user' || n, md5(n::text), n::text FROM owner, generate_series(0, $1 - 1) AS n",
        devices // 2,
        ACCOUNTS,
    )
    await connection.close()


def build(settings: Settings) -> tuple[float, float]:
    """Write the files; seconds and megabytes that it took."""
    environ = {
        **os.environ,
        "SOFTSWITCH_DATABASE__URL": settings.database.url,
        "SOFTSWITCH_SYSTEM__DIRECTORY": settings.system.directory,
    }
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "b2bua", "snapshot", "--once"], env=environ)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit("the files cannot be written")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def memory_mb(*kinds: str) -> float:
    """Megabytes of this process of some kinds: Anonymous, Private_."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) / 1024


def lookup_us(find: Callable[[str], object], wanted: list[str]) -> float:
    """Microseconds of a lookup."""
    began = time.perf_counter()
    for each in wanted:
        find(each)
    return (time.perf_counter() - began) / len(wanted) * 1e6


async def change_seconds(connection: asyncpg.Connection, tables: PackedTables, url: str) -> float:
    """Seconds from the commit of a change of one rate until it is found."""
    told = asyncio.Event()
    await connection.add_listener("config", lambda *_: told.set())
    other = await asyncpg.connect(url)
    card_id, now = next(iter(tables.ratecards)), datetime.now(UTC)
    await other.execute("UPDATE rate SET rate_per_minute = 7 WHERE prefix = '1000500'")
    began = time.perf_counter()
    async with asyncio.timeout(10):
        while tables.ratecards[card_id].find("10005001234", now)[0].rate_per_minute != 7:
            await told.wait()
            told.clear()
            await refresh(connection, tables)
    await other.close()
    return time.perf_counter() - began


async def refresh(connection: asyncpg.Connection, tables: PackedTables) -> None:
    """Bring the tables to the newest revision."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        update = await tables.prepare(connection)
    tables.take(update)


async def measure(settings: Settings, rates: int, devices: int) -> dict[str, float]:
    """What a worker sees."""
    connection = await asyncpg.connect(settings.database.url)
    async with connection.transaction():
        await read_version(connection)
    before = memory_mb("Anonymous"), memory_mb("Private_")
    began = time.perf_counter()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        tables = await load_packed(connection, snapshot_directory(settings))
    figures = {"load_seconds": time.perf_counter() - began}
    (card,) = tables.ratecards.values()
    chance, now = random.Random(1), datetime.now(UTC)
    first = (memory_mb("Anonymous") - before[0], memory_mb("Private_") - before[1])
    few = [f"{1_000_000 + chance.randrange(rates)}1234" for _ in range(1000)]
    figures["lookup_us"] = min(lookup_us(lambda number: card.find(number, now), few) for _ in range(7))
    numbers = [f"{1_000_000 + chance.randrange(rates)}1234" for _ in range(LOOKUPS)]
    figures["lookup_cold_us"] = lookup_us(lambda number: card.find(number, now), numbers)
    users = [f"user{chance.randrange(devices // 2)}" for _ in range(LOOKUPS)]
    figures["user_us"] = lookup_us(tables.devices.get_user, users)
    addresses = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in random.sample(range(devices // 2), 4000)]
    figures["address_cold_us"] = lookup_us(lambda address: tables.devices.find(address, "44"), addresses)
    figures["address_us"] = lookup_us(lambda address: tables.devices.find(address, "44"), addresses[-1000:])
    del numbers, users, addresses, few
    figures |= {"loaded_own_mb": first[0], "loaded_alone_mb": first[1]}
    figures["own_mb"] = memory_mb("Anonymous") - before[0]
    figures["alone_mb"] = memory_mb("Private_") - before[1]
    figures["change_seconds"] = await change_seconds(connection, tables, settings.database.url)
    began = time.perf_counter()
    await refresh(connection, tables)
    figures["refresh_ms"] = (time.perf_counter() - began) * 1000
    await connection.close()
    return figures


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, default=1_000_000)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--inside", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--directory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = Settings(system=SystemSettings(directory=options.directory or ""))
    if options.inside:
        settings = replace(settings, database=DatabaseSettings(options.inside))
        print(json.dumps(asyncio.run(measure(settings, options.rates, options.devices))))
        return 0
    with running_servers() as servers:
        return run(servers.make_database(), servers.settings, options.rates, options.devices)


def run(url: str, settings: Settings, rates: int, devices: int) -> int:
    """Fill, build, measure in a process of its own, and print."""
    asyncio.run(fill(url, rates, devices))
    settings = replace(settings, database=DatabaseSettings(url))
    seconds, memory = build(settings)
    figures = {"build_seconds": seconds, "build_mb": memory}
    sizes = [file.stat().st_size / 1e6 for file in snapshot_directory(settings).glob("*.pack")]
    figures["files_mb"] = sum(sizes)
    command = [sys.executable, "-m", "benchmarks.snapshot", "--inside", url, "--directory", settings.system.directory]
    command += ["--rates", str(rates), "--devices", str(devices)]
    figures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    for name, value in figures.items():
        wanted = f"   at most {WANTED[name]:g} wanted" if name in WANTED else ""
        print(f"{name:20} {value:10.3f}{wanted}")
    good = all(figures[name] <= wanted for name, wanted in WANTED.items())
    machine = {"rates": rates, "devices": devices, "python": platform.python_version(), "cpus": os.cpu_count()}
    print(json.dumps({**{name: round(value, 3) for name, value in figures.items()}, **machine, "ok": good}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
