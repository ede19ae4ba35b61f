"""Kill everything at random moments while calls run, and count what is lost: `python -m tests.support.crash`.

Each round offers 2,000 calls at 50 a second through a whole switch and kills its SIP worker, panel, live store and
database with SIGKILL, each once at a random moment. Afterwards, to the last decimal: every call that the caller saw end
has its record, no record is there twice, debits are the sum of the records' charges, and nothing is held. Prints a line
a round and, last, one line of JSON.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from benchmarks.capacity import CALLER
from tests.support.sipp import carrier
from tests.support.switch import NUMBER, Switch, free_port, running_switch, wait_until

VICTIMS = ("sip", "admin", "valkey-server", "postgres")
FIRST_KILL, LAST_KILL = 0.1, 0.9
"""Share of a round's time between which somebody is killed."""

_LAST_ANSWER = '<recv response="200"></recv>'
_LOGGED = '<recv response="200"><action><log message="ended [call_id]"/></action></recv>'


@dataclass(slots=True)
class Tally:
    """What all rounds together showed."""

    rounds: int = 0
    calls: int = 0
    """That the caller saw end."""
    lost: int = 0
    doubled: int = 0
    drift: Decimal = Decimal(0)
    holds: int = 0

    def as_json(self) -> str:
        """The one line."""
        return json.dumps(
            {
                "rounds": self.rounds,
                "calls": self.calls,
                "lost": self.lost,
                "doubled": self.doubled,
                "drift": f"{self.drift.normalize():f}" if self.drift else "0",
                "holds": self.holds,
            }
        )


def find_victim(switch: Switch, word: str) -> int:
    """Process id of a part of the switch; 0 where it is just being started again."""
    if word in ("sip", "admin"):
        return switch.child(word)
    assert switch.process is not None
    children = Path(f"/proc/{switch.process.pid}/task/{switch.process.pid}/children").read_text().split()
    for pid in children:
        try:
            program = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if program == word:
            return int(pid)
    return 0


def run_round(switch: Switch, source: random.Random, calls: int, rate: int) -> set[str]:
    """Offer the calls, kill everybody once, and return the Call-IDs that the caller saw end."""
    directory = switch.directory
    for old in directory.glob("*_logs.log"):
        old.unlink()
    scenario = directory / "crash.xml"
    scenario.write_text(CALLER.replace(_LAST_ANSWER, _LOGGED))
    duration = calls / rate
    with carrier(switch.carrier_ports[0], directory):
        load = subprocess.Popen(
            ["sipp", "-sf", str(scenario), "-i", "127.0.0.1", "-p", str(free_port()), "-nostdin",
             f"127.0.0.1:{switch.port}", "-s", NUMBER, "-r", str(rate), "-m", str(calls), "-d", "1500",
             "-l", str(calls), "-trace_logs", "-timeout", f"{duration + 60:.0f}s", "-recv_timeout", "40000"],
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        began = time.monotonic()
        victims = list(VICTIMS)
        source.shuffle(victims)
        moments = sorted(source.uniform(FIRST_KILL, LAST_KILL) * duration for _ in victims)
        for moment, victim in zip(moments, victims, strict=True):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            pid = wait_until(partial(find_victim, switch, victim), victim)
            os.kill(pid, signal.SIGKILL)
        load.wait(duration + 90)
    return {
        line.partition("ended ")[2].strip()
        for log in directory.glob("*_logs.log")
        for line in log.read_text(errors="replace").splitlines()
        if "ended " in line
    }


def settle(switch: Switch, patience: float = 90.0) -> None:
    """Wait until everything is up again, calls are over and records are posted."""
    wait_until(lambda: switch.ask("ping").get("live_up") and switch.ask("ping")["calls"] == 0, "calls to end", patience)
    wait_until(lambda: _try(switch.all_is_written), "records to be posted", 60.0)


def _try(look: object) -> bool:
    try:
        return bool(look())  # type: ignore[operator]
    except OSError:  # PostgreSQL is just coming up
        return False
    except Exception as error:
        if type(error).__module__.startswith("asyncpg"):
            return False
        raise


def held(switch: Switch) -> int:
    """Everything that the live store still holds: sessions, funds and debits that are not posted."""
    total = 0
    for key in switch.live("KEYS", "sessions:*"):
        total += sum(int(value) for value in switch.live("HVALS", key.decode()))
    for key in switch.live("KEYS", "funds:*"):
        fields = switch.live("HGETALL", key.decode())
        pairs = zip(fields[::2], fields[1::2], strict=True)
        total += sum(abs(int(value)) for name, value in pairs if name[:2] in (b"h:", b"p:"))
    return total


def check(switch: Switch, ended: set[str], tally: Tally) -> None:
    """Add what a round shows to the tally."""
    records = Counter(
        row["a_call_id"]
        for row in switch.query(
            "SELECT a_call_id FROM cdr WHERE code = 'ANSWERED' AND is_last AND ended_by <> 'system'"
        )
    )
    everything = Counter(row["a_call_id"] for row in switch.query("SELECT a_call_id FROM cdr WHERE is_last"))
    tally.rounds += 1
    tally.calls += len(ended)
    tally.lost += sum(call not in records for call in ended)
    # A caller that repeats its INVITE to a new worker begins a new call with the same Call-ID: it is charged once.
    answered = Counter(row["a_call_id"] for row in switch.query("SELECT a_call_id FROM cdr WHERE code = 'ANSWERED'"))
    tally.doubled += sum(count - 1 for count in answered.values())
    assert set(records) <= set(everything)
    tally.drift = switch.query(
        "SELECT coalesce((SELECT sum(gross) FROM cdr_charge WHERE account_id IS NOT NULL), 0)"
        " + coalesce((SELECT sum(amount) FROM ledger_entry WHERE kind = 'usage'), 0) AS drift"
    )[0]["drift"]
    off = switch.query(
        "SELECT account_balance.account_id FROM account_balance"
        " LEFT JOIN (SELECT account_id, sum(amount) AS total FROM ledger_entry WHERE kind <> 'credit' GROUP BY 1) AS e"
        " USING (account_id) WHERE balance <> coalesce(total, 0)"
    )
    assert not off, f"balances are not the sums of their entries: {off}"
    deadline = time.monotonic() + 15
    while (holds := held(switch)) and time.monotonic() < deadline:
        time.sleep(0.2)
    tally.holds = holds


def run_rounds(rounds: int, seed: int, calls: int = 2000, rate: int = 50) -> Tally:
    """Run all rounds on one switch."""
    source = random.Random(seed)
    tally = Tally()
    with running_switch() as switch:
        for code in ("DEMO0001", "DEMO0002"):
            switch.command("payment", "add", code, "100000", "--reference", "crash")
        wait_until(lambda: switch.ask("ping")["calls"] == 0, "an idle switch")
        for _ in range(rounds):
            try:
                ended = run_round(switch, source, calls, rate)
                settle(switch)
                check(switch, ended, tally)
            except AssertionError:
                print(switch.log()[-6000:], switch.ask("ping"), switch.ask("calls", limit=3), file=sys.stderr)
                raise
            print(f"round {tally.rounds}: {len(ended)} calls ended, {tally.as_json()}", flush=True)
    return tally


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=2000, help="of each round")
    parser.add_argument("--rate", type=int, default=50, help="calls a second")
    arguments = parser.parse_args()
    tally = run_rounds(arguments.rounds, arguments.seed, arguments.calls, arguments.rate)
    print(tally.as_json())
    return 1 if tally.lost or tally.doubled or tally.drift or tally.holds else 0


if __name__ == "__main__":
    sys.exit(main())
