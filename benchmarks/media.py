"""What a packet of media costs: passed on by the kernel, by our user space and, where it is installed, by rtpengine.

    python -m benchmarks.media                            200 calls for 10 s on each path
    python -m benchmarks.media --calls 500 --seconds 60 --paths kernel
                                                          more of them, for longer, compared with nothing

Needs root: caller, switch and callee are network namespaces with cables between them, and nothing else of the machine
is touched. One generator sends 20 ms G.711 both ways for all calls of each path in turn. User space and rtpengine: user
and system CPU time of the engine's process. The kernel works in the time of whoever sends, so its cost is what sending
costs more than to a socket of the switch itself, sent to in turns with it, together with the engine's process. The most
calls are those that fill one core by these figures, 100 packets a second each. The first second, in which sources are
learned and streams handed to the kernel, is not measured. Prints a table and, last, one line of JSON.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from media.client import MediaClient
from media.description import parse
from media.engine_address import EngineAddress
from media.ng import Options, Source
from media.rtp import pack
from tests.support.networks import CALLEE, CALLER, SWITCH, Networks, in_networks

PACKET_INTERVAL = 0.02
SLICES = 10
"""The calls take turns within an interval, so that packets do not all come at once."""

SDP = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP 0\r\n"
UNMEASURED = 50
"""Intervals before anything is measured."""

PAYLOAD = b"\xff" * 160
BUFFER = 64 * 1024 * 1024
RTPENGINE = shutil.which("rtpengine")
NAME = "engine"


@dataclass
class Side:
    """One end of all calls: a socket, and where it sends to for each of them."""

    socket: socket.socket
    targets: list[tuple[str, int]] = field(default_factory=list)
    sent: int = 0
    received: int = 0

    @property
    def sdp(self) -> bytes:
        """Its description."""
        return SDP.format(*self.socket.getsockname()).encode()

    def drain(self) -> None:
        """Count what has come."""
        try:
            while True:
                self.socket.recv(2048)
                self.received += 1
        except BlockingIOError:
            return


@dataclass
class Result:
    """One path."""

    sending_us: float
    """Of the generator, for each packet."""

    engine_us: float
    """Of the engine's process, likewise."""

    sent: int
    lost: int
    engine_share: float
    """Of a core, while it lasted."""

    direct_us: float
    """Of the generator, for each packet to a socket of the switch itself; 0 where none were sent."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--paths", default="direct,kernel,user,rtpengine", help="which of them, in this order")
    options = parser.parse_args()
    if options.calls % SLICES:
        parser.error(f"--calls must be a multiple of {SLICES}")
    if os.geteuid() != 0:
        sys.exit("only root may make network namespaces")
    paths = [path for path in options.paths.split(",") if path != "rtpengine" or RTPENGINE]
    how = options.calls, options.seconds, "direct" in paths
    results = {path: in_networks(partial(measure, path, *how)) for path in paths}
    show(results)


def measure(path: str, calls: int, seconds: float, is_compared: bool, networks: Networks) -> Result:
    """Send for some time over one path."""
    sides = [Side(networks.at(address, partial(open_socket, address))) for address in (CALLER, CALLEE)]
    sinks = [Side(open_socket(SWITCH[address])) for address in (CALLER, CALLEE)]
    straight = [Side(side.socket, [sink.socket.getsockname()] * calls) for side, sink in zip(sides, sinks, strict=True)]
    with tempfile.TemporaryDirectory(prefix="softswitch-bench-") as directory:
        if path == "direct":
            return generate(straight, sinks, calls, seconds)
        with engine(path, Path(directory)) as (pid, address):
            asyncio.run(connect(address, sides, calls))
            beside = (straight, sinks) if path == "kernel" and is_compared else ([], [])
            return generate(sides, sides[::-1], calls, seconds, pid, *beside)


def open_socket(address: str) -> socket.socket:
    """A socket that holds much."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, 33, BUFFER)  # SO_RCVBUFFORCE
    opened.bind((address, 0))
    opened.setblocking(False)
    return opened


@contextmanager
def engine(path: str, directory: Path) -> Iterator[tuple[int, EngineAddress]]:
    """Run an engine; yields its process and where it hears requests."""
    if path == "rtpengine":
        port = 22_223
        command = [
            RTPENGINE or "",
            "--foreground",
            "--log-stderr",
            "--log-level=3",
            "--table=-1",
            "--endpoint-learning=off",
        ]
        command += [f"--interface={name}/{SWITCH[end]}" for name, end in (("caller", CALLER), ("callee", CALLEE))]
        command += [
            f"--listen-ng=127.0.0.1:{port}",
            "--port-min=30000",
            "--port-max=39999",
            f"--pidfile={directory}/pid",
        ]
        address = EngineAddress(NAME, socket.AF_INET, ("127.0.0.1", port))
    else:
        command = [sys.executable, "-m", "media"]
        address = EngineAddress(NAME, socket.AF_UNIX, f"{directory}/run/media-1.sock")
    environ = {
        **os.environ,
        "SOFTSWITCH_SYSTEM__DIRECTORY": str(directory),
        "SOFTSWITCH_SYSTEM__LOG_LEVEL": "warning",
        "SOFTSWITCH_MEDIA__INTERFACES": f"caller={SWITCH[CALLER]},callee={SWITCH[CALLEE]}",
        "SOFTSWITCH_MEDIA__KERNEL": str(path == "kernel"),
    }
    process = subprocess.Popen(command, env=environ)
    try:
        yield process.pid, address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def connect(address: EngineAddress, sides: list[Side], calls: int) -> None:
    """Set all calls up, with sources that are known from the start."""
    client = MediaClient([address])
    client.open()
    deadline = time.monotonic() + 20
    while not client.is_answering(NAME):
        if time.monotonic() > deadline:
            sys.exit("the engine does not answer")
        await asyncio.sleep(0.05)
    caller, callee = sides
    options = Options(direction=("caller", "callee"), source=Source.STRICT)
    for number in range(calls):
        offered = await client.wait(client.offer, f"call{number}", "a", caller.sdp, options)
        answered = await client.wait(
            client.answer, f"call{number}", "a", "b", callee.sdp, Options(source=Source.STRICT)
        )
        for side, description in ((caller, answered), (callee, offered)):
            (medium,) = parse(description).media
            side.targets.append((medium.address, medium.port))
    client.close()


def generate(
    sides: list[Side],
    receivers: list[Side],
    calls: int,
    seconds: float,
    pid: int | None = None,
    straight: Sequence[Side] = (),
    sinks: Sequence[Side] = (),
) -> Result:
    """Send at the pace of speech; time only what sending takes.

    Args:
        sides: Who send.
        receivers: Where it comes out.
        calls: How many.
        seconds: For how long.
        pid: The engine's process.
        straight: Who send as much past the engine, in turns with the others, since machines change their pace.
        sinks: Where that comes out.
    """
    turns = round(seconds / PACKET_INTERVAL)
    began = time.monotonic()
    costs: list[float] = []
    straight_costs: list[float] = []
    for turn in range(UNMEASURED + turns):
        if turn == UNMEASURED:
            measured_from, before, softirq_before = time.monotonic(), cpu_of(pid), softirq_cpu()
            costs.clear()
            straight_costs.clear()
        packet = pack(0, turn, 160 * turn, 1, PAYLOAD)
        for part in range(SLICES):
            due = began + turn * PACKET_INTERVAL + part * PACKET_INTERVAL / SLICES
            if (left := due - time.monotonic()) > 0:
                time.sleep(left)
            # Whoever comes second finds the caches warm: each is that as often as the other.
            both = [(sides, costs), (straight, straight_costs)] if straight else [(sides, costs)]
            for who, cost in both[:: -1 if part % 2 else 1]:
                cost.append(send_part(who, packet, part))
            for receiver in (*receivers, *sinks):
                receiver.drain()
    lasted = time.monotonic() - measured_from
    softirq = softirq_cpu() - softirq_before
    used = cpu_of(pid) - before
    measured, sent = 2 * calls * turns, 2 * calls * (UNMEASURED + turns)
    deadline = time.monotonic() + 2
    while sum(receiver.received for receiver in receivers) < sent and time.monotonic() < deadline:
        time.sleep(0.01)
        for receiver in receivers:
            receiver.drain()
    lost = sent - sum(receiver.received for receiver in receivers)
    # The median, since noise only adds; the calls that are sent for at once are as many each time.
    sending, direct = (
        statistics.median(each) / (2 * calls / SLICES) if each else 0.0 for each in (costs, straight_costs)
    )
    return Result(1e6 * (sending + softirq / measured), 1e6 * used / measured, sent, lost, used / lasted, 1e6 * direct)


def send_part(sides: Sequence[Side], packet: bytes, part: int) -> float:
    """Send a packet for each of the calls whose turn it is; returns the CPU time that it took."""
    started = time.thread_time()
    for side in sides:
        send = side.socket.sendto
        for target in side.targets[part::SLICES]:
            send(packet, target)
    return time.thread_time() - started


def cpu_of(pid: int | None) -> float:
    """Seconds of CPU that a process with all its threads has used."""
    if pid is None:
        return 0.0
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def softirq_cpu() -> float:
    """Seconds of CPU of the kernel's threads that take over what senders leave."""
    found = 0
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text().startswith("ksoftirqd"):
                found += int((comm.parent / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return found / 1e9


def show(results: dict[str, Result]) -> None:
    """Print the table and the line of JSON."""
    figures: dict[str, float | int | None] = {"kernel_us": None, "user_us": None, "rtpengine_us": None}
    print("path       µs a packet  engine µs  sending µs      sent   lost  calls a core  engine's share of a core")
    for path, result in results.items():
        cost = result.engine_us
        if path == "kernel" and result.direct_us:
            cost += max(0.0, result.sending_us - result.direct_us)
        most = f"{cost:11.2f}", f"{1e6 * PACKET_INTERVAL / (2 * cost) if cost else 0:12.0f}"
        is_known = path in ("user", "rtpengine") or result.direct_us > 0
        first, last = most if is_known else (" " * 11, " " * 12)
        parts = f"{result.engine_us:9.2f}  {result.sending_us:10.2f} {result.sent:9} {result.lost:6}"
        print(f"{path:10} {first}  {parts}  {last}  {100 * result.engine_share:.1f} %")
        if is_known:
            figures[f"{path}_us"] = round(cost, 2)
    figures["lost"] = sum(result.lost for result in results.values())
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
