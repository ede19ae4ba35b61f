"""How many calls a second one worker carries: the whole switch, sipp as caller and as carrier, 1 s of talk.

    python -m benchmarks.capacity                       400 calls/s for 20 s, then the highest rate
    python -m benchmarks.capacity --rate 200 --seconds 10 --no-search

Starts a switch of its own in a temporary directory with the demo data and ports of its own. Where there are two cores,
the SIP worker has one and everything else (sipp, PostgreSQL, Valkey, the writer) the other. CPU is user + system time
of the SIP worker. A call has failed when sipp says so; the search takes the highest rate with under 0.1 % of them.
Prints a table and, last, one line of JSON.
"""

import argparse
import contextlib
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.switch import NUMBER, Switch, descendants, free_port, switch_directory

HOLD_MS = 1000

CALLER = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send retrans="500" start_rtd="setup">
    <![CDATA[
      INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:441234567890@[local_ip]:[local_port]>;tag=[pid]T[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:441234567890@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=caller 53655765 2353687637 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio 6000 RTP/AVP 8 0 101
      a=rtpmap:8 PCMA/8000
      a=rtpmap:0 PCMU/8000
      a=rtpmap:101 telephone-event/8000
    ]]>
  </send>
  <recv response="100" optional="true"></recv>
  <recv response="180" optional="true"></recv>
  <recv response="183" optional="true"></recv>
  <recv response="200" rtd="setup" rrs="true"></recv>
  <send>
    <![CDATA[
      ACK [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:441234567890@[local_ip]:[local_port]>;tag=[pid]T[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 1 ACK
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>
  <pause/>
  <send retrans="500">
    <![CDATA[
      BYE [next_url] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:441234567890@[local_ip]:[local_port]>;tag=[pid]T[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
      Call-ID: [call_id]
      CSeq: 2 BYE
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>
  <recv response="200"></recv>
  <ResponseTimeRepartition value="1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000"/>
</scenario>
"""


@dataclass(slots=True)
class Outcome:
    """What one run of sipp showed."""

    rate: int
    calls: int
    failed: int
    cpu_seconds: float
    elapsed: float
    setup_ms: list[float]

    @property
    def cpu_ms_per_call(self) -> float:
        """Milliseconds of the worker's CPU a call."""
        return self.cpu_seconds * 1000 / max(1, self.calls)

    @property
    def busy(self) -> float:
        """Share of its core that the worker used."""
        return self.cpu_seconds / self.elapsed

    def setup(self, share: float) -> float:
        """The setup time that a share of the calls did not exceed, in milliseconds."""
        if not self.setup_ms:
            return 0.0
        return sorted(self.setup_ms)[min(len(self.setup_ms) - 1, int(len(self.setup_ms) * share))]


class MeasuredSwitch(Switch):
    """A switch whose worker has a core of its own, and whose CPU time is read."""

    worker = 0

    def prepare(self) -> None:
        """Load the demo, find the worker, and give it its core."""
        self.load_demo()
        for code in ("DEMO0001", "DEMO0002"):
            self.command("payment", "add", code, "1000000", "--reference", "benchmark")
        self.worker = self.child("sip")
        if (os.cpu_count() or 1) >= 2:
            assert self.process is not None
            _pin_tree(self.process.pid, self.worker)

    def cpu(self) -> float:
        """CPU seconds that the worker has used, user + system."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mb(self) -> float:
        """Most memory that the worker has had, in MB."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        match = re.search(r"VmHWM:\s+(\d+)", status)
        return int(match[1]) / 1024 if match else 0.0


def _pin_tree(supervisor: int, worker: int) -> None:
    for pid in [supervisor, *descendants(supervisor), os.getpid()]:
        cores = {0} if pid == worker else {1}
        with contextlib.suppress(OSError):  # a helper of PostgreSQL that has ended meanwhile
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), cores)


def load(switch: MeasuredSwitch, directory: Path, rate: int, seconds: int) -> Outcome:
    """Offer calls at a rate for some seconds and wait for their ends."""
    calls = rate * seconds
    scenario = directory / "caller.xml"
    scenario.write_text(CALLER)
    times = directory / "times.csv"
    times.unlink(missing_ok=True)
    common = ["-i", "127.0.0.1", "-nostdin", "-trace_err"]
    limit = ["-l", str(rate * 30), "-timeout", str(seconds + 40)]
    carrier = subprocess.Popen(
        ["sipp", "-sn", "uas", "-p", str(switch.carrier_ports[0]), *common],
        cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(0.5)
        before, began = switch.cpu(), time.monotonic()
        caller = subprocess.run(
            ["sipp", "-sf", str(scenario), "-p", str(free_port()), *common, f"127.0.0.1:{switch.port}",
             "-s", NUMBER, "-r", str(rate), "-m", str(calls), "-d", str(HOLD_MS), *limit,
             "-trace_rtt", "-rtt_freq", "200", "-trace_stat", "-stf", str(times)],
            cwd=directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        elapsed, cpu = time.monotonic() - began, switch.cpu() - before
    finally:
        carrier.terminate()
        carrier.wait(10)
    succeeded, failed = _read_statistics(times)
    outcome = Outcome(rate, succeeded, max(failed, calls - succeeded), cpu, elapsed, _read_setup(directory))
    if caller.returncode not in (0, 1):
        print(f"sipp ended with {caller.returncode}: {caller.stderr[-200:]}", file=sys.stderr)
    return outcome


def _read_statistics(path: Path) -> tuple[int, int]:
    lines = path.read_text().splitlines() if path.exists() else []
    if len(lines) < 2:
        return 0, 0
    last = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
    return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])


def _read_setup(directory: Path) -> list[float]:
    times: list[float] = []
    for path in directory.glob("*_rtt.csv"):
        for line in path.read_text().splitlines()[1:]:
            parts = line.split(";")
            if len(parts) >= 2:
                times.append(float(parts[1]))
        path.unlink()
    return times


def search(switch: MeasuredSwitch, directory: Path, start: int, seconds: int) -> int:
    """The highest rate with under 0.1 % failed calls, to about 3 %."""
    good, bad, rate = 0, 0, start
    while bad == 0 or bad - good > max(20, good // 32):
        outcome = load(switch, directory, rate, seconds)
        _print_row(outcome)
        if outcome.failed * 1000 < rate * seconds:
            good = rate
        else:
            bad = rate
        if rate > 20_000:
            break
        rate = (good + bad) // 2 if bad else good * 3 // 2
        time.sleep(2.0)
    return good


def _print_row(outcome: Outcome) -> None:
    print(
        f"{outcome.rate:7d} {outcome.calls:8d} {outcome.failed:7d} {outcome.cpu_ms_per_call:11.3f} {outcome.busy:7.0%}"
        f" {outcome.setup(0.5):9.1f} {outcome.setup(0.99):9.1f}",
        flush=True,
    )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=400, help="calls a second of the fixed part")
    parser.add_argument("--seconds", type=int, default=20, help="length of the fixed part")
    parser.add_argument("--search-seconds", type=int, default=6, help="length of each step of the search")
    parser.add_argument("--no-search", action="store_true", help="only the fixed part")
    arguments = parser.parse_args()
    if shutil.which("sipp") is None:
        raise SystemExit("sipp is missing: apt-get install sip-tester")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536) if hard > 0 else soft, hard))
    with switch_directory() as directory:
        switch = MeasuredSwitch(directory, SOFTSWITCH_SYSTEM__LOG_LEVEL="info")
        try:
            switch.start()
            switch.prepare()
            print(" calls/s    calls  failed  CPU ms/call    core   p50 ms    p99 ms", flush=True)
            load(switch, directory, 50, 2)  # warms what is made once
            fixed = load(switch, directory, arguments.rate, arguments.seconds)
            _print_row(fixed)
            memory = switch.peak_memory_mb()
            best = 0 if arguments.no_search else search(switch, directory, arguments.rate * 2, arguments.search_seconds)
        finally:
            switch.stop()
    result = {
        "cps": best,
        "cpu_ms_per_call": round(fixed.cpu_ms_per_call, 3),
        "failed": fixed.failed,
        "setup_p50_ms": round(fixed.setup(0.5), 1),
        "setup_p99_ms": round(fixed.setup(0.99), 1),
        "rss_mb": round(memory, 1),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
