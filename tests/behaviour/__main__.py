"""Every row of docs/behaviour.md §2 and §3 as a real call: `make behaviour`.

Starts a switch of its own with the demo data. For each row: the configuration is changed in SQL, sipp calls, what the
caller heard, what the callee got and what the record says is compared with the row. Prints a line a row and, last, one
line of JSON. Exit status 1 when any row failed.

    python -m tests.behaviour                     all rows
    python -m tests.behaviour LOOP "§3 44"        those whose name has one of these in it
"""

import json
import sys
from collections.abc import Sequence

from tests.behaviour.rows import MAX_CALLS, ROWS
from tests.behaviour.runner import Runner
from tests.support.switch import running_switch


def main(wanted: Sequence[str]) -> int:
    """Run the rows; returns the exit status."""
    rows = [row for row in ROWS if not wanted or any(part in row.id for part in wanted)]
    failed = 0
    settings = {"SOFTSWITCH_SIP__MAX_CALLS": str(MAX_CALLS), "SOFTSWITCH_LIVE__TIMEOUT": "0.5"}
    with running_switch(**settings) as switch, Runner(switch) as runner:
        for row in rows:
            expected, came = runner.run(row)
            is_same = expected == came
            failed += not is_same
            line = f"{row.id}: expected {expected}; came {came}: {'ok' if is_same else 'FAILED'}\n"
            sys.stdout.write(line)
            sys.stdout.flush()
    sys.stdout.write(json.dumps({"rows": len(rows), "failed": failed}) + "\n")
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
