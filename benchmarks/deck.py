"""A deck of a million rates in and out: `python -m benchmarks.deck`.

    python -m benchmarks.deck                     a million rates as CSV
    python -m benchmarks.deck --xlsx              as XLSX too
    python -m benchmarks.deck --rates 100000

Starts a PostgreSQL of its own in a temporary directory. Each step is a process of its own, `softswitch rate …`, so
that its time and memory are those of the command: import into an empty ratecard, export, import of what was exported as
a dry run (which has to find nothing new, changed or removed), import of the deck with every tenth price changed, and
undo of that, after which the export has to be the same file again. Prints a table and, last, one line of JSON; ends
with 1 when something is not as it has to be.
"""

import argparse
import asyncio
import csv
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.servers import Servers, running_servers

RATECARD = "benchmark"
WANTED_SECONDS = 60.0
WANTED_MB = 500.0


@dataclass(slots=True)
class Step:
    """What a command took."""

    name: str
    seconds: float
    memory_mb: float
    output: dict[str, Any]


def write_deck(path: Path, rates: int, *, dearer: bool = False) -> None:
    """Write a deck: prefixes of 7 digits, and prices, intervals and destinations of which a carrier has as many."""
    chance = random.Random(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Code", "Destination", "Rate", "Connection fee", "Min", "Increment", "Grace period", "Status"])
        for number in range(rates):
            price = chance.randrange(1, 200_000) + (dearer and number % 10 == 0)
            destination = f"Country {number // 5000} mobile {number // 500 % 10}"
            interval = chance.choice((1, 6, 30, 60))
            fee = "0.01" if number % 50 == 0 else "0"
            writer.writerow([1_000_000 + number, destination, f"0.{price:06}", fee, interval, interval, 0, "active"])


def run_step(name: str, url: str, *arguments: str) -> Step:
    """Run a command and see how long it took and how much memory it had at most."""
    environ = {**os.environ, "SOFTSWITCH_DATABASE__URL": url}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "b2bua", "rate", *arguments], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name} ended with {process.returncode}: {text}")
    step = Step(name, time.monotonic() - began, usage.ru_maxrss / 1024, json.loads(text) if text else {})
    counts = " ".join(f"{step.output[key]} {key}" for key in ("new", "changed", "removed") if key in step.output)
    print(f"{name:34} {step.seconds:7.1f} s  {step.memory_mb:7.0f} MB  {counts}", flush=True)
    return step


async def make_ratecard(url: str) -> None:
    """Make the ratecard that the steps use."""
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO ratecard (name) VALUES ($1)", RATECARD)
    await connection.close()


def digest(path: Path) -> str:
    """Fingerprint of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(servers: Servers, directory: Path, rates: int, *, xlsx: bool) -> bool:
    """Run all steps and say whether everything is as it has to be."""
    url = servers.make_database()
    asyncio.run(make_ratecard(url))
    deck, dearer, out, again = (directory / name for name in ("deck.csv", "dearer.csv", "out.csv", "again.csv"))
    write_deck(deck, rates)
    write_deck(dearer, rates, dearer=True)
    to_card = ("--ratecard", RATECARD, "--format", "json")
    made = run_step("import", url, "import", str(deck), *to_card)
    run_step("export", url, "export", "--ratecard", RATECARD, str(out))
    same = run_step("import of the export, dry run", url, "import", str(out), *to_card, "--replace", "--dry-run")
    changed = run_step("import with a tenth changed", url, "import", str(dearer), *to_card, "--replace")
    run_step("undo", url, "undo", "--ratecard", RATECARD)
    run_step("export", url, "export", "--ratecard", RATECARD, str(again))
    steps = [made, same, changed]
    if xlsx:
        sheet = directory / "out.xlsx"
        steps.append(run_step("export as XLSX", url, "export", "--ratecard", RATECARD, str(sheet)))
        steps.append(
            run_step("import of the XLSX, dry run", url, "import", str(sheet), *to_card, "--replace", "--dry-run")
        )
    differences = sum(same.output[key] for key in ("new", "changed", "removed"))
    is_undone = digest(out) == digest(again)
    worst = max(step.memory_mb for step in steps)
    figures = {
        "rates": rates,
        "import_seconds": round(made.seconds, 1),
        "dry_run_seconds": round(same.seconds, 1),
        "memory_mb": round(worst),
        "differences": differences,
        "undone": is_undone,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    print(json.dumps(figures))
    return (
        made.output["new"] == rates
        and changed.output["changed"] == -(-rates // 10)
        and not differences
        and is_undone
        and made.seconds < WANTED_SECONDS
        and worst < WANTED_MB
    )


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description="Import, export, compare and undo a large rate deck.")
    parser.add_argument("--rates", type=int, default=1_000_000)
    parser.add_argument("--xlsx", action="store_true", help="export and compare an XLSX file too, which takes minutes")
    options = parser.parse_args()
    with running_servers() as servers:
        directory = Path(servers.settings.system.directory).parent
        return 0 if measure(servers, directory, options.rates, xlsx=options.xlsx) else 1


if __name__ == "__main__":
    sys.exit(main())
