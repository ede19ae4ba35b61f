"""What `softswitch doctor` looks at where audio crosses this machine: engines, and what could silence the kernel."""

from pathlib import Path
from typing import Any, Final

from b2bua.cli.checks import Finding, Scene, State
from media.client import MediaClient
from media.engine_address import OWN, engine_addresses, own_socket
from media.errors import MediaError
from media.report import read_figures

PROC: Final = Path("/proc/sys/net")

MOST_TRACKED: Final = 0.8
"""Part of the connections that the kernel may track, above which somebody should look."""


async def check_media(scene: Scene) -> list[Finding]:
    """Each media engine answers; ours says which way media take. One that is silent carries no call."""
    findings = []
    client = MediaClient(engine_addresses(scene.settings), is_logging=False)
    try:
        for name in client.engines_up:
            if name == OWN and not own_socket(scene.settings).exists():
                findings.append(Finding("media", State.FAULT, "our own media engine does not run"))
                continue
            try:
                figures = await client.wait(client.statistics, name)
            except MediaError as error:
                findings.append(Finding("media", State.FAULT, f"{error}"))
                continue
            findings.append(Finding("media", State.OK, f"{name} answers{_describe(figures)}"))
            if name == OWN and figures.get("path") == "kernel":
                findings += judge_kernel(PROC)
    finally:
        client.close()
    return findings


def _describe(figures: dict[str, Any]) -> str:
    known = read_figures(figures)
    sessions, rate, path = known["sessions"], known["packets_per_second"], known["path"]
    text = "" if sessions is None else f": {sessions} calls"
    if path == "kernel":
        text += f", {known['kernel_streams']} streams in the kernel"
        if decrypted := figures.get("decrypted streams"):
            text += f", {decrypted} of SRTP in user space"
    elif path is not None:
        text += f" in {path}"
    return text if rate is None else f"{text}, {rate} packets/s"


def judge_kernel(proc: Path) -> list[Finding]:
    """Find what keeps the kernel from passing media on, in a directory like /proc/sys/net."""
    findings = []
    strict = [path.parent.name for path in sorted(proc.glob("ipv4/conf/*/rp_filter")) if _number(path) == 1]
    if strict:
        text = f"rp_filter is 1 for {', '.join(strict)}: media that come another way than they go are dropped"
        findings.append(Finding("media", State.WARNING, text))
    most, now = (_number(proc / "netfilter" / f"nf_conntrack_{name}") for name in ("max", "count"))
    if most and now > MOST_TRACKED * most:
        text = f"the kernel tracks {now} of at most {most} connections (net.netfilter.nf_conntrack_max)"
        findings.append(Finding("media", State.WARNING, text))
    return findings


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
