"""A million rates in, out and back, by the commands."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_million_rates_are_imported_exported_compared_and_undone() -> None:
    line = [sys.executable, "-m", "benchmarks.deck"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["rates"], figures["differences"], figures["undone"]) == (1_000_000, 0, True)
